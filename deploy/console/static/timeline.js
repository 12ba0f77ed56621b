// What became of the items with a messageId: a list of steps for each occurrence, in the words of `sequence trace`.

import { copyButton, element, prose } from "./dom.js";
import { verdict } from "./items.js";
import { fragment } from "./route.js";
import { cell, count, counted, span, time, visible } from "./text.js";

/** Return whether a later answer may differ: a stage has not processed an occurrence. */
export function isWaiting(trace) {
  return trace.occurrences.some((each) => [each.dedupe, each.persons, each.row].includes("waiting"));
}

/** Return the occurrences of `trace`, the notes below them. */
export function timeline(trace) {
  return element(
    "div",
    { class: "timeline" },
    trace.occurrences.map(occurrence),
    trace.notes.map((text) => element("p", { class: "callout note" }, prose(text))),
  );
}

/** Return the summary of what was searched, for a messageId of which nothing is known. */
export function searched(trace) {
  return element(
    "ul",
    { class: "searched" },
    element("li", {}, "Tables: ", trace.tables.join(", ") || "none"),
    trace.topics.map((each) => element("li", {}, looked(each))),
  );
}

function occurrence(each) {
  const outcome = each.verdict === "accepted" && each.dedupe === "duplicate" ? "duplicate" : each.verdict;
  return element(
    "section",
    { class: "occurrence", data: { verdict: outcome } },
    element(
      "h3",
      {},
      verdict(outcome),
      " ",
      element("bdi", {}, cell(each.event || each.type || "item")),
      each.userId ? [element("span", { class: "muted" }, " of user "), person(each)] : null,
    ),
    element("ol", { class: "steps" }, [...steps(each)]),
  );
}

function person({ projectId, userId }) {
  return element("a", { href: fragment("person", [projectId, userId]) }, element("bdi", {}, cell(userId)));
}

function* steps(each) {
  const isRefused = each.verdict === "rejected";
  yield step(isRefused ? "rejected" : "done", "Received", [time(each.receivedAt, "exact"), " ", ago(each.receivedAt)], [
    ["Project", visible(each.projectId)],
    ...(each.possibleTokens.length ? [["Token", tokens(each.possibleTokens)]] : []),
    ...each.warnings.map((warning) => ["Warning", warningText(warning)]),
  ]);
  if (each.offset !== null) {
    yield step("done", "Stored", `items.v1, partition ${each.partition}, offset ${count(each.offset)}`);
  }
  if (each.dedupe !== null) yield step(state(each.dedupe), "Dedupe", dedupe(each));
  if (each.persons !== null) {
    yield step(state(each.persons), "Persons", each.persons === "waiting" ? `not folded yet${ahead(each, "persons")}` : each.persons);
  }
  if (each.row !== null) yield step(state(each.row), "Row", row(each));
  if (each.rejected) yield rejected(each.rejected);
}

function step(kind, title, text, facts = []) {
  const list = facts.length
    ? element("dl", {}, facts.map(([name, value]) => [element("dt", {}, name), element("dd", {}, element("bdi", {}, value))]))
    : null;
  return element(
    "li",
    { data: { step: kind } },
    element("span", { class: "step-title" }, title),
    element("div", { class: "step-text" }, element("div", {}, text), list),
  );
}

function state(name) {
  const states = { waiting: "waiting", rejected: "rejected", missing: "rejected", unknown: "unknown", duplicate: "duplicate" };
  return states[name] ?? "done";
}

function dedupe(each) {
  if (each.dedupe === "waiting") return `not processed yet${ahead(each, "dedupe")}`;
  if (each.dedupe === "duplicate" && each.first) {
    const content = { true: ", same content", false: ", other content" }[each.sameContent] ?? "";
    const when = each.first.receivedAt ? [", received ", time(each.first.receivedAt, "exact")] : [];
    return [`duplicate of offset ${count(each.first.offset)}`, ...when, content];
  }
  return each.dedupe === "unknown" ? "processed; its record on events.v1 or duplicates.v1 was not found" : each.dedupe;
}

function row(each) {
  const table = element("code", {}, each.table ?? "the table");
  if (each.row === "visible") {
    const by = each.visibleBy ? [" by ", time(each.visibleBy, "exact")] : [];
    return ["visible in ", table, ...by];
  }
  if (each.row === "waiting") return prose(`not visible yet${ahead(each, "sink")}`);
  if (each.row === "erased") return ["not in ", table, ": erasure ", element("code", {}, visible(each.erasure)), " covers it"];
  if (each.row === "removed") {
    return ["not in ", table, ...prose(": it was removed on purpose, by retention or before `sequence positions keep`")];
  }
  if (each.row === "missing") {
    return ["not in ", table, ...prose(", although the sink has processed it. It was deleted, or run `sequence audit`.")];
  }
  return each.row;
}

function ahead({ waiting }, stage) {
  if (!waiting || waiting.stage !== stage) return "";
  const before = waiting.records ? `${counted(waiting.records, "record")} ${waiting.records === 1 ? "is" : "are"} before it` : "it is next";
  const age = waiting.records && waiting.seconds !== null ? `, the oldest is ${span(waiting.seconds)} old` : "";
  return `: ${before}${age}`;
}

function rejected(why) {
  const place = `${why.place.topic}, partition ${why.place.partition}, offset ${count(why.place.offset)}`;
  return step("rejected", "Rejected", [`by ${why.stage}: `, element("code", {}, why.code), why.field ? [", field ", element("code", {}, cell(why.field))] : null], [
    ["Reason", prose(visible(why.message))],
    ["Time", [time(why.rejectedAt, "exact"), " ", ago(why.rejectedAt)]],
    ["Content", place],
    ...(why.requestId ? [["Request", [element("code", {}, cell(why.requestId)), copyButton(why.requestId, "Copy the request ID")]]] : []),
  ]);
}

function ago(text) {
  return element("span", { class: "muted" }, "(", time(text, "relative"), ")");
}

function tokens(list) {
  const shown = list.map(({ id, hint }) => `${visible(id)} (${visible(hint)})`).join(", ");
  return list.length === 1 ? shown : `one of ${shown}`;
}

function warningText({ code, field, sent }) {
  return [element("code", {}, code), field ? [", field ", element("code", {}, cell(field))] : null, sent ? `, sent ${cell(sent)}` : null];
}

function looked(each) {
  if (each.records === 0 && each.isComplete) return `${each.topic}: no records to read`;
  const since = each.since ? [" since ", time(each.since, "exact")] : [];
  const read = [`${each.topic}: read ${counted(each.records, "record")}`, ...since];
  if (each.isComplete) return [...read, ", all that can have this messageId"];
  const begins = each.reachesBackTo ? [", which has records since ", time(each.reachesBackTo, "exact")] : [];
  return [...read, ", a part of the topic", ...begins];
}
