// The state of all parts, what is wrong, and what to do: `sequence status`, for operators.

import { element, fill, prose } from "../dom.js";
import { mountForOperators } from "../states.js";
import { cell, count, rate, span, time, visible } from "../text.js";

const SECONDS = 5;

export const title = "Parts";

/** Show the view in `root`. */
export function mount(root, context) {
  const refused = "The parts are shown to operators.";
  const wait = "Asking Kafka, ClickHouse and the workers…";
  mountForOperators(root, context, { title, refused, wait, path: "api/status", seconds: SECONDS, show: status });
}

function status(found) {
  return [
    findings(found.findings, found.at),
    found.rates ? rates(found) : null,
    stages(found.stages),
    servers(found),
    found.processes.length ? processes(found) : null,
    found.lastRejection ? lastRejection(found.lastRejection) : null,
  ];
}

function findings(list, at) {
  const when = element("span", { class: "muted" }, "Checked ", time(at, "clock"));
  if (!list.length) return element("p", { class: "callout good", role: "status" }, element("strong", {}, "Nothing is wrong. "), when);
  return element(
    "section",
    { class: "findings", "aria-label": "What is wrong" },
    list.map((each) =>
      element(
        "article",
        { class: `callout ${each.level === "error" ? "failed" : "warning"}` },
        element("h3", {}, element("span", { class: "level" }, each.level), ` ${visible(each.check)}: `, prose(visible(each.what))),
        element("p", {}, prose(visible(each.why))),
        element("p", {}, element("b", {}, "Do: "), prose(visible(each.remedy))),
      ),
    ),
    element("p", {}, when),
  );
}

function table(caption, headings, rows) {
  const labels = headings.map(([name]) => name);
  return element(
    "section",
    {},
    element("h2", {}, caption),
    element(
      "table",
      { class: "parts", "aria-label": caption },
      element("thead", {}, element("tr", {}, headings.map(([name, kind]) => element("th", { scope: "col", class: kind }, name)))),
      element("tbody", {}, rows.map((cells) => element("tr", {}, cells.map((value, number) => element("td", { class: headings[number][1], data: { label: labels[number] } }, value))))),
    ),
  );
}

function state(isGood, text) {
  return element("span", { class: `part-state ${isGood ? "good" : "bad"}` }, text);
}

function rates({ rates: now, seconds }) {
  const shown = [
    ["accepted", now.accepted],
    ["unique", now.unique],
    ["duplicate", now.duplicates],
    ["rejected", now.rejected],
  ];
  return element("ul", { class: "numbers", "aria-label": `Items a second, over ${rate(seconds)} s` }, shown.map(([name, value]) => element("li", { class: name }, element("b", {}, rate(value)), ` ${name}/s`)));
}

function stages(list) {
  const rows = list.map((each) => [
    each.name,
    state(each.members > 0 && each.state === "Stable", each.members ? each.state : "no worker"),
    each.suspended ? state(false, `${count(each.members)}, ${count(each.suspended)} suspended`) : count(each.members),
    count(each.lagRecords),
    each.lagSeconds === null ? "unknown" : span(each.lagSeconds),
    each.processedPerSecond === null ? "–" : rate(each.processedPerSecond),
  ]);
  return table("Stages", [["Stage", ""], ["Group", ""], ["Workers", "number"], ["Lag", "number"], ["Behind", "number"], ["Records/s", "number"]], rows);
}

function servers(found) {
  const rows = [found.kafka, found.clickhouse].map((each) => [each.name, state(each.isUp && each.state === "up", visible(each.state)), visible(each.address), visible(each.about)]);
  const gateways = found.gateways.map((each) => ["Gateway", state(each.isReady && each.state === "ready", visible(each.state)), visible(each.url), visible(each.about)]);
  return table("Servers", [["Part", ""], ["State", ""], ["Address", ""], ["About", ""]], [...rows, ...gateways]);
}

function processes(found) {
  const now = Date.parse(found.at);
  const rows = found.processes.map((each) => [
    each.name,
    processState(each),
    each.pid === null ? "–" : String(each.pid),
    each.startedAt ? span(Math.max(0, (now - Date.parse(each.startedAt)) / 1000)) : "–",
    count(each.restarts),
    each.lastWarning ? warning(each) : "–",
  ]);
  return table("Processes", [["Process", ""], ["State", ""], ["PID", "number"], ["Up", "number"], ["Restarts", "number"], ["Last warning", "wide"]], rows);
}

/** What the process says of itself; one that says nothing runs. */
function processState(each) {
  if (each.pid === null) return state(false, "down");
  const said = each.state ?? "runs";
  const shown = state(said === "runs" || said === "ready", visible(said));
  return each.about ? element("div", {}, shown, element("p", { class: "muted" }, visible(each.about))) : shown;
}

function warning(each) {
  return [each.lastWarningAt ? [time(each.lastWarningAt, "relative"), ": "] : null, element("span", { title: cell(each.lastWarning) }, cell(each.lastWarning))];
}

function lastRejection(last) {
  return element(
    "p",
    { class: "muted" },
    "Last rejected ",
    time(last.rejectedAt, "relative"),
    ` by ${visible(last.stage)}, project ${visible(last.projectId)}: `,
    element("code", {}, cell(last.code)),
    ". ",
    prose(visible(last.message)),
  );
}
