// The stream of live items: server-sent events read with fetch, so that an error's message can be shown.

import { open } from "./api.js";

const FIRST_DELAY_SECONDS = 1;
const LONGEST_DELAY_SECONDS = 30;
const SILENCE_SECONDS = 20;

/**
 * A stream that connects again when it ends, with growing delays.
 *
 * `onState(name, detail)`: `connecting`, `open`, `waiting` (detail: error and seconds), `failed` (detail: error; it does
 * not try again), `stopped`. `onEvent(name, data)` is called for each event.
 */
export class LiveStream {
  constructor(parameters, { onState, onEvent }) {
    this._parameters = parameters;
    this._onState = onState;
    this._onEvent = onEvent;
    this._abort = null;
    this._wake = () => {};
  }

  /** Connect, and stay connected until `stop`. */
  start() {
    if (this._abort) return;
    this._abort = new AbortController();
    this._run(this._abort.signal);
  }

  /** End the stream. */
  stop() {
    if (!this._abort) return;
    this._abort.abort();
    this._abort = null;
    this._wake();
    this._onState("stopped");
  }

  /** Do not wait any longer before the next attempt. */
  retry() {
    this._wake();
  }

  async _run(signal) {
    let failures = 0;
    while (!signal.aborted) {
      let error = null;
      this._onState("connecting");
      try {
        await this._read(signal, () => {
          failures = 0;
          this._onState("open");
        });
      } catch (caught) {
        if (caught.status === undefined && caught.name !== "AbortError" && !(caught instanceof TypeError)) throw caught;
        error = caught;
      }
      if (signal.aborted) return;
      if (error && error.status >= 400 && error.status < 500 && error.status !== 429) {
        this._abort = null;
        this._onState("failed", { error });
        return;
      }
      await this._wait(failures, error, signal);
      failures += 1;
    }
  }

  async _wait(failures, error, signal) {
    const longest = Math.min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2 ** failures);
    const seconds = longest * (0.75 + Math.random() / 4);
    this._onState("waiting", { error, seconds });
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, seconds * 1000);
      this._wake = () => {
        clearTimeout(timer);
        resolve();
      };
      signal.addEventListener("abort", this._wake, { once: true });
    });
  }

  async _read(signal, onOpen) {
    const silence = new AbortController();
    let timer = setTimeout(() => silence.abort(), SILENCE_SECONDS * 1000);
    try {
      const response = await open("api/live", this._parameters, AbortSignal.any([signal, silence.signal]));
      onOpen();
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      const events = new EventParser(this._onEvent);
      for (;;) {
        const { done, value } = await reader.read();
        if (done || signal.aborted) return;
        clearTimeout(timer);
        timer = setTimeout(() => silence.abort(), SILENCE_SECONDS * 1000);
        events.add(value);
      }
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Splits a text/event-stream into events (https://html.spec.whatwg.org/multipage/server-sent-events.html). */
export class EventParser {
  constructor(onEvent) {
    this._onEvent = onEvent;
    this._rest = "";
    this._name = "message";
    this._data = [];
  }

  /** Take the next characters of the stream. */
  add(text) {
    const lines = (this._rest + text).split(/\r\n|\n|\r(?!$)/);
    this._rest = lines.pop();
    for (const line of lines) this._line(line);
  }

  _line(line) {
    if (line === "") {
      if (this._data.length) this._onEvent(this._name, this._data.join("\n"));
      this._name = "message";
      this._data = [];
      return;
    }
    const colon = line.indexOf(":");
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (name === "event") this._name = value;
    else if (name === "data") this._data.push(value);
  }
}
