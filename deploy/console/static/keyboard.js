// Keys of the page. A view adds its own; keys with Ctrl, Alt or Meta belong to the browser.

import { element, fill } from "./dom.js";

const PREFIX_MILLISECONDS = 1200;

const HELP = [
  ["Anywhere", [["/", "Trace a messageId"], ["1 or g l", "Live"], ["2 or g r", "Rates"], ["3 or g x", "Rejected"], ["4 or g u", "Person"], ["5 or g c", "Catalogue"], ["6 or g p", "Parts"], ["7 or g a", "Audit"], ["?", "These shortcuts"], ["Esc", "Close, leave the field or the rows"]]],
  ["Rows", [["j k or ↓ ↑", "Next, previous"], ["Home End", "First, last"], ["Enter", "Open"]]],
  ["Live", [["p", "Pause, resume"], ["f", "Filter by event"]]],
];

/** Handle keys: `keys` (by character), `prefixed` (after g), and `escape`, which returns whether it did something. */
export function listen({ keys, prefixed, escape }) {
  let prefixAt = -Infinity;
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || event.defaultPrevented) return;
    if (document.querySelector("dialog[open]")) return;
    const isTyping = event.target.matches?.("input, textarea, select");
    if (event.key === "Escape") {
      if (isTyping) event.target.blur();
      else if (escape()) event.preventDefault();
      return;
    }
    if (isTyping) return;
    const isPrefixed = event.timeStamp - prefixAt < PREFIX_MILLISECONDS;
    prefixAt = event.key === "g" && !isPrefixed ? event.timeStamp : -Infinity;
    const handler = (isPrefixed && prefixed[event.key]) || keys(event.key);
    if (!handler || (isPrefixed && !prefixed[event.key])) return;
    event.preventDefault();
    handler();
  });
}

/** Show the shortcuts. */
export function showHelp(dialog) {
  const close = element("button", { type: "button", on: { click: () => dialog.close() } }, "Close");
  fill(
    dialog,
    element("h2", { id: "help-title" }, "Keyboard shortcuts"),
    element("div", { class: "shortcuts" }, HELP.map(([name, rows]) =>
      element("section", {}, element("h3", {}, name), element("dl", {}, rows.map(([key, meaning]) => [element("dt", {}, keycaps(key)), element("dd", {}, meaning)])))),
    ),
    close,
  );
  dialog.showModal();
}

function keycaps(text) {
  return text.split(/( or )/).map((part, number) => (number % 2 ? part : part.split(" ").flatMap((key) => [element("kbd", {}, key), " "]).slice(0, -1)));
}
