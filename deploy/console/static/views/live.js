// Live items: the newest on top, and a panel for one item.
//
// A stream brings new items. Each time it opens, what was received before is loaded and shown below what it brings.
// While the list is paused, new items wait; those that do not fit are counted and shown as a gap.

import { get } from "../api.js";
import { element, fill } from "../dom.js";
import { ItemsTable } from "../items.js";
import { gapText, LiveQueue } from "../live_queue.js";
import { describe } from "../live_state.js";
import { LiveStream } from "../live_stream.js";
import { Pace } from "../pace.js";
import { ItemPanel } from "../panel.js";
import { Retry } from "../retry.js";
import { focusRows } from "../rows.js";
import { empty, failed, loading, note } from "../states.js";
import { count, parseExact } from "../text.js";
import { LiveBar } from "./live_bar.js";

const SHOWN_ITEMS = 500;
const FIRST_ITEMS = 100;
const HIDDEN_MILLISECONDS = 15000;
const FILTER = ["project", "verdict", "event", "userId", "search"];

export const title = "Live";

/** Show the view in `root`. */
export function mount(root, context) {
  const view = new LiveView(root, context);
  const rows = () => view.focusRows();
  return { keys: { p: () => view.togglePause(), f: () => view.bar.focus(), j: rows, ArrowDown: rows }, escape: () => view.escape() };
}

class LiveView {
  constructor(root, context) {
    this._context = context;
    this._pace = new Pace(() => this._render());
    this._retry = new Retry(() => this._load());
    this._paused = { byUser: false, bySelection: false, byPointer: false, byOlder: false };
    this.bar = new LiveBar(this._filter, {
      onSearch: (filter) => this._search(filter),
      onPause: () => this.togglePause(),
      signal: context.signal,
    });
    this._panel = new ItemPanel(context.panel, { onClose: () => this._closed() });
    this._table = new ItemsTable({
      limit: SHOWN_ITEMS,
      hasProject: context.isOperator && !this._filter.project,
      label: "Items, the newest first",
      onOpen: (item, row) => this._open(item, row),
      onMove: (item, row) => this._panel.isOpen && this._open(item, row),
    });
    this._problem = element("div");
    this._source = element("div");
    this._below = element("div", { class: "below" });
    fill(root, element("h1", { class: "offscreen" }, "Live items"), this.bar.node, this._source, this._problem, this._table.node, this._below);
    this._watchPage();
    this._begin();
  }

  /** Pause, or resume whatever paused the list. */
  togglePause() {
    if (this._isPaused) {
      this._panel.close();
      if (this._table.body.contains(document.activeElement)) document.activeElement.blur();
      for (const reason of Object.keys(this._paused)) this._paused[reason] = false;
    } else {
      this._paused.byUser = true;
    }
    this._render();
  }

  /** Focus a row; return whether there is one. */
  focusRows() {
    return focusRows(this._table.body);
  }

  /** Close the panel, or leave the rows; return whether there was anything to leave. */
  escape() {
    const isAtRow = this._table.body.contains(document.activeElement);
    if (this._panel.isOpen) this._panel.close();
    else if (isAtRow) document.activeElement.blur();
    else return false;
    return true;
  }

  get _isPaused() {
    return Object.values(this._paused).some(Boolean);
  }

  get _filter() {
    return Object.fromEntries(FILTER.map((name) => [name, this._context.route.query.get(name) ?? ""]));
  }

  _search(filter) {
    if (this._context.signal.aborted) return;
    this._context.setQuery(filter);
    this._begin();
  }

  /** Begin with an empty list and a new stream. */
  _begin() {
    this._stream?.stop();
    this._panel.close();
    for (const reason of Object.keys(this._paused)) this._paused[reason] = false;
    this._queue = new LiveQueue(SHOWN_ITEMS);
    this._hasLoaded = false;
    this._retry.reset();
    this._unread = null;
    this._table.clear();
    fill(this._problem);
    fill(this._below, loading("Loading the newest items…"));
    const stream = new LiveStream(this._filter, {
      onState: (name, detail) => stream === this._stream && this._changed(name, detail),
      onEvent: (name, data) => stream === this._stream && this._received(name, data),
    });
    this._stream = stream;
    stream.start();
  }

  _changed(name, detail) {
    this._streamState = name;
    this._detail = detail;
    if (name === "open") {
      this._unread = null;
      this._load();
    }
    if (name === "failed") {
      fill(this._problem, failed(detail.error, () => this._begin()));
      if (!this._table.size) fill(this._below);
    }
    if (name === "waiting") this._retryAt = Date.now() + detail.seconds * 1000;
    if (name !== "open") this.bar.showRates(null);
    this._showState();
  }

  _received(name, data) {
    if (name === "rates") this.bar.showRates(JSON.parse(data));
    else if (name === "item") this._queue.add(parseExact(data));
    else if (name === "skipped") this._queue.skip(JSON.parse(data));
    else if (name === "source") this._sourced(JSON.parse(data));
    if (name === "item" || name === "skipped") this._pace.soon();
  }

  /** The console reads Kafka, or does not. Once it reads again, what was received meanwhile is loaded. */
  _sourced({ isRead, message }) {
    this._unread = isRead ? null : message;
    if (isRead) this._load();
    else this.bar.showRates(null);
    this._showState();
  }

  /** Load what was received before the stream was open; again after a while if ClickHouse did not search anything. */
  async _load() {
    const stream = this._stream;
    this._retry.stop();
    this._isLoading = true;
    try {
      const page = await get("api/events", { ...this._filter, limit: FIRST_ITEMS }, { signal: this._context.signal, exact: true });
      if (stream !== this._stream) return;
      this._queue.load(page);
      const isSearched = page.isComplete || page.items.length || page.next; // Otherwise the time was over at once.
      this._hasLoaded ||= Boolean(isSearched);
      if (isSearched) this._retry.reset();
      else this._retry.later();
      fill(this._problem, page.isComplete === false && page.message ? note(page.message) : null);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error;
      if (stream !== this._stream) return;
      fill(this._problem, failed(error, () => this._load()));
      if (error.status >= 500) this._retry.later();
    }
    if (stream !== this._stream) return;
    this._isLoading = false;
    this._render();
  }

  _render() {
    if (this._context.signal.aborted) return;
    if (!this._isPaused && !this._isLoading && !document.hidden) {
      for (const { items, ...gap } of this._queue.take()) {
        if (items) this._table.prepend(items);
        else this._table.interrupt(gapText(gap));
      }
      this._showBelow();
    }
    this._showState();
  }

  _showBelow() {
    if (!this._table.size && !this._hasLoaded) {
      fill(this._below); // The problem is shown above.
    } else if (!this._table.size) {
      const { project: _, ...filter } = this._filter;
      fill(this._below, Object.values(filter).some(Boolean) ? this._nothing() : empty("No items yet.", "Items appear here as they arrive. `sequence up` prints a command that sends one."));
    } else if (this._table.size >= SHOWN_ITEMS) {
      fill(this._below, element("p", { class: "muted" }, `The newest ${count(SHOWN_ITEMS)} items are shown. Use the filters to find older ones.`));
    } else {
      fill(this._below, this._queue.next ? element("button", { type: "button", on: { click: () => this._older() } }, "Load older items") : null);
    }
  }

  _nothing() {
    const clear = element("button", { type: "button", on: { click: () => this.bar.clear() } }, "Clear the filters");
    const further = element("button", { type: "button", on: { click: () => this._older() } }, "Search older items");
    const buttons = element("p", { class: "buttons" }, this._queue.next ? further : null, clear);
    return empty("No item matches.", "New items that match appear here as they arrive.", buttons);
  }

  async _older() {
    const stream = this._stream;
    this._paused.byOlder = true;
    this._showState();
    fill(this._below, loading());
    const limit = Math.min(FIRST_ITEMS, SHOWN_ITEMS - this._table.size);
    try {
      const page = await get("api/events", { ...this._filter, limit, before: this._queue.next }, { signal: this._context.signal, exact: true });
      if (stream !== this._stream) return;
      this._table.append(page.items);
      this._queue.next = page.next;
      this._showBelow();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error;
      fill(this._below, failed(error, () => this._older()));
    }
  }

  _open(item, row) {
    this._paused.bySelection = true;
    this._opened = row;
    this._table.mark(row);
    this._panel.open(item);
    this._showState();
  }

  _closed() {
    this._table.mark(null);
    if (this._opened?.isConnected) this._opened.focus({ preventScroll: true });
    else this._select(false);
    this._opened = null;
  }

  _select(isSelected) {
    this._paused.bySelection = isSelected;
    this._showState();
    if (!isSelected) this._pace.soon();
  }

  _watchPage() {
    const { signal } = this._context;
    const { body } = this._table;
    body.addEventListener("focusin", () => this._select(true));
    body.addEventListener("focusout", ({ relatedTarget }) => {
      if (!body.contains(relatedTarget) && !this._panel.isOpen) this._select(false);
    });
    // A row stays where it is between press and release, so that a click opens the row that was pressed.
    body.addEventListener("pointerdown", () => (this._paused.byPointer = true));
    for (const end of ["pointerup", "pointercancel"]) addEventListener(end, () => this._release(), { signal });
    document.addEventListener("visibilitychange", () => this._turned(), { signal });
    addEventListener("online", () => this._stream.retry(), { signal });
    // A page that the browser keeps for the way back holds no stream.
    addEventListener("pagehide", () => this._stream.stop(), { signal });
    addEventListener("pageshow", () => this._turned(), { signal });
    const counting = setInterval(() => this._streamState === "waiting" && this._showState(), 1000);
    signal.addEventListener("abort", () => {
      clearInterval(counting);
      clearTimeout(this._leaving);
      this._retry.stop();
      this._pace.stop();
      this._stream.stop();
      this._panel.close();
    });
  }

  _release() {
    if (!this._paused.byPointer) return;
    this._paused.byPointer = false;
    this._pace.soon();
  }

  /** A page in the background leaves the stream; when it is shown again it loads what it missed. */
  _turned() {
    clearTimeout(this._leaving);
    if (document.hidden) {
      this._leaving = setTimeout(() => this._stream.stop(), HIDDEN_MILLISECONDS);
    } else {
      if (this._streamState === "stopped") this._stream.start();
      this._pace.soon();
    }
  }

  _showState() {
    fill(this._source, this._unread ? note(this._unread, "failed") : null);
    const { _streamState: stream, _detail: detail, _retryAt: retryAt, _unread: unread, _paused: paused } = this;
    const shown = describe({ stream, detail, retryAt, unread, paused, isPaused: this._isPaused, size: this._queue.size });
    this.bar.showState({ ...shown, isPaused: this._isPaused });
  }
}
