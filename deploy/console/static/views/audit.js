// Whether the numbers add up: the newest result of the audit that the console repeats, for operators.

import { command, element, fill, prose } from "../dom.js";
import { empty, mountForOperators, note } from "../states.js";
import { count, span, time, visible } from "../text.js";

const SECONDS = 10;

export const title = "Audit";

/** Show the view in `root`. */
export function mount(root, context) {
  const refused = "The audit is shown to operators.";
  mountForOperators(root, context, { title, refused, path: "api/audit", seconds: SECONDS, show: shown });
}

function shown(found) {
  if (found.state === "off") {
    return empty("The audit is switched off.", "Set `SEQUENCE_CONSOLE_AUDIT` to true and restart the console, or look at the metrics of `sequence audit --watch`.");
  }
  if (found.completedAt === null) return waiting(found);
  return [verdict(found), overdue(found), steps(found), equation(found), topics(found), about(found)];
}

function waiting(found) {
  const isLate = found.state === "overdue";
  const title = isLate ? "No audit has completed yet, and it should have." : "The first audit has not completed yet.";
  return [
    empty(title, `An audit runs every ${span(found.intervalSeconds)}. It needs Kafka and ClickHouse.`),
    found.message ? note(visible(found.message), isLate ? "failed" : "warning") : null,
  ];
}

function verdict(found) {
  const when = element("span", { class: "muted" }, "Measured ", time(found.completedAt, "relative"));
  if (!found.items) return element("p", { class: "callout", role: "status" }, element("strong", {}, "No item to compare. "), when);
  const text = found.addsUp ? "The numbers add up. " : "The numbers do not add up. ";
  return element(
    "div",
    { class: `callout ${found.addsUp ? "good" : "failed"}`, role: "status" },
    element("p", {}, element("strong", {}, text), when),
    found.differences.map((line) => element("p", {}, visible(line))),
  );
}

function overdue(found) {
  if (found.state !== "overdue" && !found.message) return null;
  const late = found.state === "overdue" ? "This result is old: no audit has completed since. " : "The last audit did not complete. ";
  return note(`${late}${visible(found.message ?? "The log of the console may say why.")}`, "warning");
}

function steps(found) {
  if (!found.steps.length) return null;
  return element(
    "section",
    {},
    element("h2", {}, "What to run"),
    found.steps.map((step) => [element("p", {}, prose(step.why)), command(step.command)]),
  );
}

/** Received = unique + duplicates + rejected + missing. */
function equation(found) {
  const missing = Math.max(0, found.items - found.unique - found.duplicates - found.rejected);
  const terms = [
    ["", found.items, "received"],
    ["=", found.unique, "unique"],
    ["+", found.duplicates, "duplicates"],
    ["+", found.rejected, "rejected by workers"],
    ["+", missing, "missing"],
  ];
  const shownTerms = terms.map(([sign, value, name]) =>
    element("li", { class: name === "missing" && value ? "rejected" : null }, sign ? element("span", { class: "sign" }, sign) : null, element("b", {}, count(value)), ` ${name}`),
  );
  return element("section", {}, element("h2", {}, "Where the items are"), element("ul", { class: "equation" }, shownTerms));
}

function topics(found) {
  const headings = ["Topic", "Compared", "Missing", "Too many", "Stored twice"];
  const row = (each) => [each.topic, count(each.compared), differing(each.missing), differing(each.unexpected), count(each.repeated)];
  return element(
    "section",
    {},
    element("h2", {}, "By topic"),
    element(
      "table",
      { class: "parts", "aria-label": "What should be further on, by topic" },
      element("thead", {}, element("tr", {}, headings.map((name, number) => element("th", { scope: "col", class: number ? "number" : "" }, name)))),
      element("tbody", {}, found.topics.map((each) => element("tr", {}, row(each).map((value, number) => element("td", { class: number ? "number" : "", data: { label: headings[number] } }, value))))),
    ),
  );
}

function differing(value) {
  return value ? element("span", { class: "part-state bad" }, count(value)) : "0";
}

function about(found) {
  return element(
    "p",
    { class: "muted" },
    "Items received since ",
    time(found.since, "exact"),
    `, without the last ${span(found.safeSeconds)} and what is on its way. The audit took ${span(found.seconds)} and runs every ${span(found.intervalSeconds)}. Rows that are stored twice are removed by a merge. `,
    prose("`sequence audit` compares everything that the topics have."),
  );
}
