// Items that wait to be shown, and which have been shown, so that none is shown twice. No I/O.

import { keyOf } from "./items.js";
import { counted, time } from "./text.js";

const KNOWN_ITEMS = 2000;

/** The queue before a list of at most `limit` items. */
export class LiveQueue {
  constructor(limit) {
    this._limit = limit;
    this._pending = [];
    this._skipped = 0;
    this._isEstimate = false;
    this._page = null;
    this._newest = null;
    this._known = new Set();
    /** The cursor of what is older than the first page; null if there is nothing. */
    this.next = null;
  }

  /** How many new items wait, those that cannot be shown any more included. */
  get size() {
    return this._pending.length + this._skipped;
  }

  /** Add an item of the stream. The oldest gives way if there are too many. */
  add(item) {
    this._pending.push(item);
    if (this._pending.length <= this._limit) return;
    this._pending.shift();
    this._skipped += 1;
  }

  /** Add `count` items of the stream that the console did not send; it may only know about how many match. */
  skip({ count, isEstimate = false }) {
    this._skipped += count;
    this._isEstimate ||= isEstimate;
  }

  /** Add a page of the newest items, which were received before the stream was open. */
  load(page) {
    this._page = page;
  }

  /**
   * Return what is to be put above the list, one on top of the other, and be empty.
   *
   * Each is {items}, the newest first; {skipped, isEstimate}, a count; or {after, before}, two times with items between that are
   * not shown.
   */
  take() {
    const streamed = this._pending.reverse();
    const steps = this._page ? this._stepsOf(this._page, streamed) : [];
    if (this._skipped) steps.push({ skipped: this._skipped, isEstimate: this._isEstimate });
    if (streamed.length) steps.push({ items: streamed });
    for (const { items } of steps) if (items) this._remember(items);
    this._pending = [];
    this._skipped = 0;
    this._isEstimate = false;
    this._page = null;
    return steps;
  }

  _stepsOf({ items, next }, streamed) {
    const ahead = new Set(streamed.map(keyOf));
    const unseen = items.filter((item) => !this._known.has(keyOf(item)) && !ahead.has(keyOf(item)));
    const isFirst = this._newest === null;
    if (isFirst) this.next = next;
    const steps = unseen.length ? [{ items: unseen }] : [];
    if (isFirst || next === null || !unseen.length || unseen.length < items.length) return steps;
    return [{ after: this._newest, before: unseen.at(-1).receivedAt }, ...steps];
  }

  _remember(items) {
    for (const item of items) this._known.add(keyOf(item));
    if (this._known.size > KNOWN_ITEMS) this._known = new Set([...this._known].slice(-KNOWN_ITEMS / 2));
    this._newest = items[0].receivedAt;
  }
}

/** Return the text of a gap that `take` returned. */
export function gapText({ skipped, isEstimate, after, before }) {
  if (skipped) return `${isEstimate ? "About " : ""}${counted(skipped, "item")} not shown: more arrive than can be shown.`;
  return ["Items between ", time(after), " and ", time(before), " are not shown here."];
}
