// Items a second by verdict, and the lag of each stage, over time.

import { get } from "../api.js";
import { Chart } from "../chart.js";
import { element, fill } from "../dom.js";
import { failed, loading, note, poll } from "../states.js";
import { count, rate, span } from "../text.js";

const SECONDS = 10;
const SPANS = { "10m": "10 minutes", "30m": "30 minutes", "1h": "1 hour" };
const VERDICTS = ["accepted", "duplicate", "rejected"];
const STAGES = ["dedupe", "persons", "sink"];

// Duplicates and rejections are few beside what is accepted: on its scale they would be a line at zero.
const CHARTS = [
  { label: "Accepted items", unit: "/s", prefix: "", names: ["accepted"], of: (found) => found },
  { label: "Duplicates and rejected items", unit: "/s", prefix: "", names: ["duplicate", "rejected"], of: (found) => found },
  { label: "Lag of each stage", unit: "s", prefix: "stage-", names: STAGES, of: (found) => found.lag },
];

export const title = "Rates";

/** Show the view in `root`. */
export function mount(root, { route, setQuery, signal, reload }) {
  const since = Object.hasOwn(SPANS, route.query.get("since") ?? "") ? route.query.get("since") : "1h";
  const project = route.query.get("project");
  const charts = CHARTS.map(({ label, unit, prefix, names }) => new Chart({ label, unit, series: names.map((name) => ({ name, colour: `--${prefix}${name}` })) }));
  const numbers = element("div", { class: "numbers" });
  const problem = element("div", {}, loading());
  const choose = element(
    "select",
    { "aria-label": "Time span", on: { change: () => (setQuery({ since: choose.value === "1h" ? "" : choose.value }), reload()) } },
    Object.entries(SPANS).map(([value, name]) => element("option", { value, selected: value === since }, `last ${name}`)),
  );
  const isShared = project && element("p", { class: "muted hint" }, "The lag is that of all projects: they share the stages.");
  fill(root, element("h1", { class: "offscreen" }, "Rates"), element("div", { class: "toolbar" }, choose, numbers), problem, charts.map(({ node }) => node), isShared || null);
  for (const chart of charts) chart.mount(signal);

  const refresh = async () => {
    try {
      const found = await get("api/rates", { project, since }, { signal });
      fill(problem, found.message ? note(found.message, "failed") : null);
      CHARTS.forEach(({ names, of }, number) => charts[number].show(found.times, names.map((name) => of(found)[name] ?? found.times.map(() => null))));
      fill(numbers, summary(found, since));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error;
      fill(problem, failed(error, () => again()));
    }
  };
  const again = poll(refresh, SECONDS, signal);
}

function summary(found, since) {
  const rows = VERDICTS.map((name) => {
    const known = found[name].filter((value) => value !== null);
    const total = known.length ? count(Math.round(known.reduce((sum, value) => sum + value, 0) * found.stepSeconds)) : "–";
    return element("li", { class: name }, element("b", {}, total), ` ${name}`, peak(known));
  });
  const lags = STAGES.flatMap((name) => (found.lag[name] ?? []).filter((value) => value !== null));
  const longest = lags.length ? element("li", {}, element("b", {}, span(Math.max(...lags))), " longest lag") : null;
  return element("ul", { "aria-label": `Totals of the last ${SPANS[since]}` }, rows, longest);
}

function peak(values) {
  return values.length ? element("span", { class: "muted" }, `, at most ${rate(Math.max(...values))}/s`) : null;
}
