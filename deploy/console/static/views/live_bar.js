// The bar above live items: filters, pause, the state of the stream, rates.

import { announce, element, fill, icon } from "../dom.js";
import { rate } from "../text.js";

const TYPING_MILLISECONDS = 350;
const LABELS = { event: "Event name", userId: "User ID", search: "Text in the JSON" };
const VERDICTS = ["accepted", "duplicate", "rejected"];

/** The bar. `onSearch(filter)` follows a change of the filter, `onPause()` the button. */
export class LiveBar {
  constructor(filter, { onSearch, onPause, signal }) {
    this._onSearch = onSearch;
    this._fields = Object.fromEntries(Object.keys(LABELS).map((name) => [name, this._field(name, filter[name])]));
    this._verdict = element(
      "select",
      { "aria-label": "Verdict", on: { change: () => this._search() } },
      ["", ...VERDICTS].map((value) => element("option", { value }, value || "All verdicts")),
    );
    this._verdict.value = filter.verdict;
    this._pause = element("button", { type: "button", class: "pause", on: { click: onPause } });
    this._state = element("span", { class: "live-state" });
    this._rates = Object.fromEntries(VERDICTS.map((name) => [name, element("b", {}, "–")]));
    this.node = element("div", { class: "toolbar" }, this._form(), this._strip());
    signal.addEventListener("abort", () => clearTimeout(this._typing));
  }

  /** Focus the first field. */
  focus() {
    this._fields.event.select();
  }

  /** Search without a filter. */
  clear() {
    for (const field of Object.values(this._fields)) field.value = "";
    this._verdict.value = "";
    this._search();
  }

  /** Show rates, null for unknown ones. */
  showRates(now) {
    for (const [name, node] of Object.entries(this._rates)) node.textContent = now ? rate(now[name]) : "–";
  }

  /** Show the state of the stream: `kind` for its colour, `why` as its tooltip; and whether the list is paused. */
  showState({ kind, text, why, isPaused }) {
    if (kind === "broken" && !this._state.classList.contains(kind)) announce(text);
    this._state.className = `live-state ${kind}`;
    this._state.title = why || text;
    if (this._state.textContent !== text) this._state.textContent = text;
    const label = isPaused ? "Resume" : "Pause";
    if (this._pause.dataset.label === label) return;
    const isFirst = this._pause.dataset.label === undefined;
    this._pause.dataset.label = label;
    this._pause.title = `${label} (p)`;
    fill(this._pause, icon(isPaused ? "play" : "pause"), label);
    if (!isFirst) announce(isPaused ? "Paused." : "Live.");
  }

  _form() {
    const submit = (event) => {
      event.preventDefault();
      this._search();
    };
    const properties = { class: "filters", role: "search", "aria-label": "Filter", on: { submit } };
    return element("form", properties, this._verdict, Object.values(this._fields));
  }

  _strip() {
    const rates = VERDICTS.map((name) => element("li", { class: name }, this._rates[name], ` ${name}/s`));
    return element("div", { class: "live-bar" }, this._pause, this._state, element("ul", { class: "live-rates", "aria-label": "Items a second" }, rates));
  }

  _field(name, value) {
    const label = LABELS[name];
    const field = element("input", { type: "search", name, placeholder: label, "aria-label": label, autocomplete: "off", spellcheck: "false", value });
    field.addEventListener("input", () => {
      clearTimeout(this._typing);
      this._typing = setTimeout(() => this._search(), TYPING_MILLISECONDS);
    });
    return field;
  }

  _search() {
    clearTimeout(this._typing);
    const given = Object.fromEntries(Object.entries(this._fields).map(([name, field]) => [name, field.value.trim()]));
    this._onSearch({ ...given, verdict: this._verdict.value });
  }
}
