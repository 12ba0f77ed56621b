// Tries again what failed, with growing delays.

const FIRST_SECONDS = 2;
const LONGEST_SECONDS = 30;

/** Calls `work` some time after each `later`, until `stop`. */
export class Retry {
  constructor(work) {
    this._work = work;
    this._failures = 0;
    this._timer = null;
  }

  /** Let `work` run after a delay that grows until `reset`. */
  later() {
    this.stop();
    const seconds = Math.min(LONGEST_SECONDS, FIRST_SECONDS * 2 ** this._failures++);
    this._timer = setTimeout(this._work, seconds * 1000);
  }

  /** Begin with the first delay. */
  reset() {
    this._failures = 0;
  }

  /** Let it not run. */
  stop() {
    clearTimeout(this._timer);
  }
}
