// The panel of one item: why it was rejected, what became of it, and its JSON.

import { get } from "./api.js";
import { copyButton, element, fill, icon, prose } from "./dom.js";
import { nameOf, verdict } from "./items.js";
import { fragment } from "./route.js";
import { load } from "./states.js";
import { cell, pretty, time, visible } from "./text.js";
import { isWaiting, timeline } from "./timeline.js";

const SHOWN_CHARACTERS = 50000;
const WAIT_MILLISECONDS = 2000;
const TOKENS = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(?:true|false|null)\b|-?\d[\d.eE+-]*/g;

/** The panel beside a list. `onClose` is called when it closes. */
export class ItemPanel {
  constructor(root, { onClose }) {
    this._root = root;
    this._onClose = onClose;
    this._abort = new AbortController();
  }

  /** Whether it shows an item. */
  get isOpen() {
    return !this._root.hidden;
  }

  /** Show `item`. */
  open(item) {
    this._abort.abort();
    this._abort = new AbortController();
    const { signal } = this._abort;
    const trace = element("div");
    this._root.hidden = false;
    this._root.scrollTop = 0;
    fill(
      this._root,
      this._header(item),
      item.verdict === "rejected" ? rejection(item) : null,
      facts(item),
      element("section", {}, element("h3", {}, "Trace"), trace),
      json(item),
    );
    showTrace(trace, item, signal);
  }

  /** Close it. */
  close() {
    if (!this.isOpen) return;
    this._abort.abort();
    this._root.hidden = true;
    fill(this._root);
    this._onClose();
  }

  _header(item) {
    const close = element("button", { type: "button", class: "plain", "aria-label": "Close", title: "Close (Esc)" }, icon("close"));
    close.addEventListener("click", () => this.close());
    return element(
      "header",
      {},
      verdict(item.verdict),
      element("h2", {}, element("bdi", {}, cell(nameOf(item)))),
      close,
    );
  }
}

function rejection(item) {
  return element(
    "p",
    { class: "callout failed" },
    element("strong", {}, `${item.stage ?? "gateway"}: ${item.code}`),
    element("br"),
    prose(visible(item.message ?? "")),
  );
}

function facts(item) {
  const rows = [
    ["Received", [time(item.receivedAt, "exact"), element("span", { class: "muted" }, " (", time(item.receivedAt, "relative"), ")")]],
    ["Project", element("bdi", {}, cell(item.projectId))],
    ["Type", item.type],
    ["User", item.userId === null ? null : personLink(item)],
    ["messageId", item.messageId === null ? null : [element("code", {}, element("bdi", {}, cell(item.messageId))), copyButton(item.messageId, "Copy the messageId")]],
    ["Stored", item.offset === null ? null : `items.v1, partition ${item.partition}, offset ${item.offset}`],
    ...item.warnings.map((warning) => ["Warning", warningText(warning)]),
  ];
  return element("dl", { class: "facts" }, rows.map(([name, value]) => (value === null ? null : [element("dt", {}, name), element("dd", {}, value)])));
}

function personLink(item) {
  return element("a", { href: fragment("person", [item.projectId, item.userId]) }, element("bdi", {}, cell(item.userId)));
}

function warningText({ code, field, sent }) {
  return [element("code", {}, code), field ? [", field ", element("code", {}, cell(field))] : null, sent ? [", sent ", element("bdi", {}, cell(sent))] : null];
}

async function showTrace(root, item, signal) {
  if (item.messageId === null) {
    fill(root, element("p", { class: "muted" }, "An item without a messageId cannot be traced."));
    return;
  }
  const href = fragment("trace", [item.messageId], { project: item.projectId });
  const link = element("p", {}, element("a", { href }, "Open the trace"));
  let found = null;
  const loader = async () => {
    found = await get("api/trace", { messageId: item.messageId, project: item.projectId }, { signal });
    return found;
  };
  const isLoaded = await load(root, loader, (trace) => [timeline(trace), link], signal);
  const again = () => refresh(root, loader, link, signal);
  if (isLoaded && isWaiting(found)) setTimeout(again, WAIT_MILLISECONDS);
}

async function refresh(root, loader, link, signal) {
  if (signal.aborted) return;
  try {
    const found = await loader();
    if (signal.aborted) return;
    fill(root, timeline(found), link);
    if (isWaiting(found)) setTimeout(() => refresh(root, loader, link, signal), WAIT_MILLISECONDS);
  } catch (error) {
    if (error.status === undefined && error.name !== "AbortError") throw error;
  }
}

/** Return the content of `item` as JSON with colours and a copy button; a text as it is. */
export function json({ content, isContentCut = false }, title = "JSON") {
  const isText = typeof content === "string";
  const text = isText ? content : pretty(content);
  const block = element("pre", { tabindex: "0", "aria-label": title });
  const all = element("button", { type: "button" }, `Show all ${text.length.toLocaleString("en-US")} characters`);
  all.addEventListener("click", () => {
    block.textContent = visibleLines(text);
    all.remove();
  });
  const isLong = text.length > SHOWN_CHARACTERS;
  if (isText) block.textContent = visibleLines(text.slice(0, SHOWN_CHARACTERS));
  else paint(block, text.slice(0, SHOWN_CHARACTERS));
  const about = isContentCut ? "The beginning of a large item." : isText ? "Not a JSON object: shown as it was sent." : null;
  return element(
    "section",
    { class: "json" },
    element("h3", {}, title, copyButton(text, `Copy the ${isText ? "content" : "JSON"}`)),
    about ? element("p", { class: "muted" }, about) : null,
    block,
    isLong ? all : null,
  );
}

function visibleLines(text) {
  return text.split("\n").map(visible).join("\n");
}

function paint(block, text) {
  let end = 0;
  const parts = [];
  for (const found of text.matchAll(TOKENS)) {
    const [token, quoted, colon] = found;
    parts.push(text.slice(end, found.index), element("span", { class: colon ? "key" : quoted ? "string" : "literal" }, quoted ?? token), colon ?? "");
    end = found.index + token.length;
  }
  block.replaceChildren(...parts, text.slice(end));
}
