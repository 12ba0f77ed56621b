// A chart of lines over time, with a legend of its own: the values under the cursor, or the newest.

import uPlot from "./vendor/uplot/uPlot.esm.js";
import { element, fill } from "./dom.js";
import { isLocalZone, rate } from "./text.js";

const HEIGHT = 170;
const FONT = '12px -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", Arial, sans-serif';
const GRID = { stroke: () => colour("--line"), width: 1 };

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A chart of `series` ({name, colour: a custom property}), all with `unit`. */
export class Chart {
  constructor({ label, unit, series }) {
    this._label = label;
    this._unit = unit;
    this._series = series;
    this._data = [[], ...series.map(() => [])];
    this._values = series.map(() => element("b", {}, "–"));
    this._at = element("span", { class: "muted" });
    this._place = element("div", { class: "plot", role: "img", "aria-label": label });
    this.node = element("figure", { class: "chart" }, element("figcaption", {}, this._legend()), this._place);
    this._plot = null;
  }

  /** Draw in the page, as wide as its place; `signal` removes it. */
  mount(signal) {
    const isDark = matchMedia("(prefers-color-scheme: dark)");
    const sizes = new ResizeObserver(() => this._plot?.setSize({ width: this._place.clientWidth, height: HEIGHT }));
    this._plot = new uPlot(this._options(), this._data, this._place);
    sizes.observe(this._place);
    isDark.addEventListener("change", () => this._plot.redraw(), { signal });
    signal.addEventListener("abort", () => {
      sizes.disconnect();
      this._plot.destroy();
    });
  }

  /** Show `times` (seconds since 1970) with the values of each series, null where there is none. */
  show(times, values) {
    this._data = [times, ...values];
    this._plot.setData(this._data);
    this._showValues(null);
    const newest = this._series.map(({ name }, number) => `${name} ${text(last(values[number]), this._unit)}`);
    this._place.setAttribute("aria-label", `${this._label}. Newest: ${newest.join(", ")}.`);
  }

  _legend() {
    const entries = this._series.map(({ name, colour: property }, number) =>
      element("li", {}, element("span", { class: `swatch ${property.slice(2)}` }), `${name} `, this._values[number]),
    );
    return [element("h2", {}, this._label), element("ul", { class: "legend" }, entries), this._at];
  }

  _options() {
    const axis = { stroke: () => colour("--muted"), grid: GRID, ticks: { show: false }, font: FONT };
    return {
      width: this._place.clientWidth,
      height: HEIGHT,
      padding: [8, 12, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, sync: { key: "rates" }, points: { size: 7 } },
      tzDate: (seconds) => (isLocalZone() ? new Date(seconds * 1000) : uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC")),
      scales: { y: { range: (_plot, _low, high) => [0, Math.max(high ?? 0, 1) * 1.1] } },
      axes: [
        { ...axis, space: 70, size: 26, values: (plot, splits) => splits.map((at) => clock(plot, at)) },
        { ...axis, size: 52, space: 34, values: (_plot, splits) => splits.map((value) => rate(value)) },
      ],
      series: [{}, ...this._series.map(({ name, colour: property }) => this._line(name, property))],
      hooks: { setCursor: [(plot) => this._showValues(plot.cursor.idx)] },
    };
  }

  _line(name, property) {
    return { label: name, stroke: () => colour(property), width: 1.75, spanGaps: false, points: { show: false } };
  }

  _showValues(index) {
    const [times, ...values] = this._data;
    const isHovered = index !== null && index !== undefined && index < times.length;
    this._values.forEach((node, number) => {
      const shown = text(isHovered ? values[number]?.[index] : last(values[number] ?? []), this._unit);
      if (node.textContent !== shown) node.textContent = shown;
    });
    fill(this._at, isHovered ? `at ${at(times[index])}` : "newest");
  }
}

function clock(plot, seconds) {
  const date = plot.opts?.tzDate?.(seconds) ?? new Date(seconds * 1000);
  const two = (value) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}`;
}

function at(seconds) {
  const date = isLocalZone() ? new Date(seconds * 1000) : uPlot.tzDate(new Date(seconds * 1000), "Etc/UTC");
  const two = (value) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

function last(values) {
  for (let number = values.length - 1; number >= 0; number -= 1) if (values[number] !== null) return values[number];
  return null;
}

function text(value, unit) {
  return value === null || value === undefined ? "–" : `${rate(value)} ${unit}`;
}
