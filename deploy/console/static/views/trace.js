// The trace of a messageId, as `sequence trace` prints it.

import { get } from "../api.js";
import { command, copyButton, element, fill } from "../dom.js";
import { empty, failed, loading } from "../states.js";
import { cell, counted, shellQuoted } from "../text.js";
import { isWaiting, searched, timeline } from "../timeline.js";

const SECONDS = 2;
const PARTIAL_SECONDS = 5;
const PARTIAL_SEARCHES = 6; // of what a server did not answer

export const title = "Trace";

/** Show the view in `root`. */
export function mount(root, { route, signal, isOperator }) {
  const [messageId] = route.segments;
  const project = route.query.get("project");
  if (!messageId) {
    fill(root, element("h1", { class: "offscreen" }, "Trace"), empty("What became of an item?", "Enter its messageId in the field at the top of the page. The replies of the gateway, every row and every record have it."));
    return;
  }
  const heading = element("h1", { class: "id-heading" }, element("bdi", {}, cell(messageId)), copyButton(messageId, "Copy the messageId"));
  const summary = element("p", { class: "muted", role: "status" });
  const place = element("div", {}, loading("Searching tables and topics…"));
  fill(root, element("header", { class: "trace" }, heading, summary), place);

  let timer = null;
  let partial = 0;
  signal.addEventListener("abort", () => clearTimeout(timer));
  const search = async () => {
    try {
      const found = await get("api/trace", { messageId, project }, { signal });
      fill(place, found.occurrences.length ? timeline(found) : unknown(found, isOperator));
      fill(summary, found.occurrences.length ? counted(found.occurrences.length, "occurrence") : "", isWaiting(found) ? ", not all processed yet" : "");
      if (isWaiting(found)) timer = setTimeout(search, SECONDS * 1000);
      else if (found.notes.length && partial++ < PARTIAL_SEARCHES) timer = setTimeout(search, PARTIAL_SECONDS * 1000);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error;
      fill(place, failed(error, search));
      if (error.status === 0) timer = setTimeout(search, SECONDS * 1000);
    }
  };
  search();
}

function unknown(found, isOperator) {
  const scope = isOperator && !found.projectId ? "" : ` of project ${found.projectId ?? "this token"}`;
  const isCut = found.topics.some((each) => !each.isComplete);
  const longer = [element("h3", {}, "Search longer on the command line"), command(`sequence trace --seconds 60 ${shellQuoted(found.messageId)}`)];
  return element(
    "div",
    {},
    element("h2", {}, `No item${scope} with this messageId was found.`),
    element("p", { class: "muted" }, "Check the messageId and the project. An item that was not answered with 200 was not stored."),
    element("section", {}, element("h3", {}, "Searched"), searched(found)),
    isCut ? element("section", {}, longer) : null,
  );
}
