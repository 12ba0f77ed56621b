// Shows news soon, and the less often the longer the browser takes to show them.

const SHORTEST_MILLISECONDS = 400;
const LONGEST_MILLISECONDS = 2000;
const SHARE = 0.1; // of the time of the browser

/** Calls `work` some time after `soon`, once for any number of calls. */
export class Pace {
  constructor(work) {
    this._work = work;
    this._delay = SHORTEST_MILLISECONDS;
    this._timer = null;
  }

  /** Let `work` run once more. */
  soon() {
    this._timer ??= setTimeout(() => this._run(), this._delay);
  }

  /** Let it not run. */
  stop() {
    clearTimeout(this._timer);
    this._timer = null;
  }

  _run() {
    this._timer = null;
    const began = performance.now();
    this._work();
    // The browser lays out and paints after the frame's callbacks.
    requestAnimationFrame(() => setTimeout(() => this._measured(performance.now() - began)));
  }

  _measured(milliseconds) {
    this._delay = Math.min(Math.max(milliseconds / SHARE, SHORTEST_MILLISECONDS), LONGEST_MILLISECONDS);
  }
}
