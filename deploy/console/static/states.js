// What a view shows while it has no data: loading, nothing there, an error with a way to try again.

import { get } from "./api.js";
import { element, fill, prose } from "./dom.js";

/** Return the place of what loads; it appears after a moment, so that fast replies do not flicker. */
export function loading(text = "Loading…") {
  return element("p", { class: "state loading", role: "status" }, text);
}

/** Return what is shown where nothing is there: a title and sentences with what to do. */
export function empty(title, ...hints) {
  return element(
    "div",
    { class: "state", data: { state: "empty" } },
    element("h2", {}, title),
    hints.map((hint) => (typeof hint === "string" ? element("p", {}, prose(hint)) : hint)),
  );
}

/** Return an error with its code and a button that tries again. */
export function failed(error, again) {
  return element(
    "div",
    { class: "state failed", role: "alert", data: { state: "error" } },
    element("h2", {}, titleOf(error)),
    element("p", {}, error.status ? prose(error.message) : "It may be restarting. The page tries again by itself."),
    error.status ? element("p", { class: "muted" }, `${error.status} ${error.code}`) : null,
    again ? element("button", { type: "button", on: { click: again } }, "Try again") : null,
  );
}

function titleOf({ status }) {
  if (!status) return "The console does not answer.";
  return status < 500 ? "The console rejected the request." : "The console cannot answer now.";
}

/** Return a note above data, for example that a search ended early. */
export function note(text, kind = "note") {
  return element("p", { class: `callout ${kind}` }, prose(text));
}

/**
 * Show in `root` what `load` returns, as `show(value)` makes it; errors with a button.
 *
 * Returns whether it was loaded. An aborted `signal` leaves `root` as it is.
 */
export async function load(root, loader, show, signal) {
  const again = () => load(root, loader, show, signal);
  fill(root, loading());
  try {
    const value = await loader();
    if (signal.aborted) return false;
    fill(root, show(value));
    return true;
  } catch (error) {
    if (signal.aborted) return false;
    if (error.status === undefined) throw error;
    fill(root, failed(error, again));
    return false;
  }
}

/**
 * Run `work` now and every `seconds`, while the page is visible, until `signal` is aborted.
 *
 * A run ends before the next begins. `work` handles its errors itself. While somebody marks text, it waits.
 */
export function poll(work, seconds, signal) {
  let timer = null;
  let isRunning = false;
  let hasRun = false;
  const run = async () => {
    clearTimeout(timer);
    if (isRunning || signal.aborted || document.hidden) return;
    isRunning = true;
    try {
      if (!isMarking() || !hasRun) await work();
      hasRun = true;
    } finally {
      isRunning = false;
      if (!signal.aborted && !document.hidden) timer = setTimeout(run, seconds * 1000);
    }
  };
  document.addEventListener("visibilitychange", run, { signal });
  signal.addEventListener("abort", () => clearTimeout(timer));
  run();
  return run;
}

/**
 * Show in `root` what `show` makes of the reply to `path`, again every `seconds`; for others than operators `refused`.
 *
 * `title` is for screen readers. `wait` is shown until the first reply.
 */
export function mountForOperators(root, { signal, isOperator }, { title, refused, wait, path, seconds, show }) {
  const hint = "Sign in with an operator token: `sequence token create --scope operate` makes one.";
  const place = element("div", {}, isOperator ? loading(wait) : empty(refused, hint));
  fill(root, element("h1", { class: "offscreen" }, title), place);
  if (!isOperator) return;
  const refresh = async () => {
    try {
      fill(place, show(await get(path, {}, { signal })));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error;
      fill(place, failed(error, () => again()));
    }
  };
  const again = poll(refresh, seconds, signal);
}

/** Whether text of the view is marked, perhaps to be copied: it should stay as it is. */
function isMarking() {
  const selection = getSelection();
  return !selection.isCollapsed && document.getElementById("view").contains(selection.anchorNode);
}
