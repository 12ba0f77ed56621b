// The table of items, newest on top, and what an item is called.

import { element, fill } from "./dom.js";
import { keepReachable, walkable } from "./rows.js";
import { cell, time } from "./text.js";

const COLUMNS = ["Time", "Verdict", "Event", "User", "messageId", "Warning or reason"];

/** Return a verdict as text with its colour. */
export function verdict(name) {
  const known = ["accepted", "duplicate", "rejected"].includes(name) ? name : "unknown";
  return element("span", { class: `verdict ${known}` }, name);
}

/** Return what an item is called: its event, or its type. */
export function nameOf(item) {
  return item.event ?? item.type ?? "item";
}

/** Return what identifies an item in different replies. */
export function keyOf(item) {
  const place = item.offset === null ? compactContent(item.content) : `${item.partition}:${item.offset}`;
  return [item.projectId, item.receivedAt, item.verdict, item.messageId, place].join("\n");
}

function compactContent(content) {
  const text = typeof content === "string" ? content : (JSON.stringify(content) ?? "");
  return text.slice(0, 2000);
}

/** A table of at most `limit` items. `onOpen(item)` is called for a row that somebody opens or walks to. */
export class ItemsTable {
  constructor({ limit, hasProject, onOpen, onMove, label }) {
    this._limit = limit;
    this._hasProject = hasProject;
    this._items = new WeakMap();
    this.body = element("tbody");
    this.node = element(
      "table",
      { class: hasProject ? "items with-project" : "items", role: "grid", "aria-label": label },
      element("thead", {}, element("tr", {}, this._headings().map((name) => element("th", { scope: "col" }, name)))),
      this.body,
    );
    walkable(this.body, {
      onOpen: (row) => onOpen(this._items.get(row), row),
      onMove: (row) => onMove?.(this._items.get(row), row),
    });
  }

  /** The number of items. */
  get size() {
    return this.body.childElementCount;
  }

  /** Add `items`, the newest first, above the others, and return how many of the oldest gave way. */
  prepend(items) {
    this.body.prepend(...items.slice(0, this._limit).map((item) => this._row(item)));
    let removed = 0;
    while (this.size > this._limit) {
      this.body.lastElementChild.remove();
      removed += 1;
    }
    keepReachable(this.body);
    return removed;
  }

  /** Add older `items` below the others, while there is room; return how many were added. */
  append(items) {
    const fitting = items.slice(0, this._limit - this.size);
    this.body.append(...fitting.map((item) => this._row(item)));
    keepReachable(this.body);
    return fitting.length;
  }

  /** Add a line above the items that says what is not shown. */
  interrupt(text) {
    const columns = this._headings().length;
    this.body.prepend(element("tr", { class: "gap" }, element("td", { colspan: columns }, text)));
  }

  /** Remove every item. */
  clear() {
    fill(this.body);
  }

  /** Show `row` as the one that is open, null for none. */
  mark(row) {
    for (const other of this.body.querySelectorAll('[aria-selected="true"]')) other.setAttribute("aria-selected", "false");
    row?.setAttribute("aria-selected", "true");
  }

  _headings() {
    return this._hasProject ? ["Time", "Verdict", "Project", ...COLUMNS.slice(2)] : COLUMNS;
  }

  _row(item) {
    const warnings = item.warnings ?? [];
    const row = element(
      "tr",
      { tabindex: "-1", "aria-selected": "false", data: { row: item.verdict } },
      element("td", { class: "at" }, time(item.receivedAt)),
      element("td", { class: "is" }, verdict(item.verdict)),
      this._hasProject ? value("project", item.projectId) : null,
      element("td", { class: "event" }, named(item)),
      value("user", item.userId),
      value("id", item.messageId),
      element("td", { class: "warnings" }, item.code ? reason(item) : warned(warnings)),
    );
    this._items.set(row, item);
    return row;
  }
}

function named(item) {
  if (item.event !== null && item.event !== undefined) return element("bdi", {}, cell(item.event));
  return element("span", { class: "muted" }, item.type ?? "–");
}

function value(name, text) {
  const shown = text === null || text === undefined ? null : cell(text);
  return element("td", { class: name }, shown === null ? element("span", { class: "muted" }, "–") : element("bdi", {}, shown));
}

function reason(item) {
  return element("span", { class: "reason", title: item.message }, cell(item.code));
}

function warned(warnings) {
  if (!warnings.length) return null;
  const text = warnings.map(({ code, field }) => (field ? `${code}: ${field}` : code)).join(", ");
  return element("span", { class: "warned", title: cell(text) }, cell(text));
}
