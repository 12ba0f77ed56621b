// Rejected items in groups of one reason, each with an example and the command that replays them.

import { get } from "../api.js";
import { command, element, fill, prose } from "../dom.js";
import { json } from "../panel.js";
import { fragment } from "../route.js";
import { focusRows, keepReachable, walkable } from "../rows.js";
import { empty, failed, loading, note, poll } from "../states.js";
import { cell, count, counted, time, visible } from "../text.js";

const SPANS = { "1h": "hour", "24h": "24 hours", "7d": "7 days" };
const SECONDS = 15;
const SHOWN_CHARACTERS = 200;

export const title = "Rejected";

/** Show the view in `root`. */
export function mount(root, context) {
  const { route, setQuery, signal, reload, isOperator } = context;
  const since = Object.hasOwn(SPANS, route.query.get("since") ?? "") ? route.query.get("since") : "24h";
  const project = route.query.get("project");
  const place = element("div", {}, loading());
  const total = element("span", { class: "muted", role: "status" });
  const choose = element(
    "select",
    { "aria-label": "Time span", on: { change: () => (setQuery({ since: choose.value === "24h" ? "" : choose.value, group: "" }), reload()) } },
    Object.entries(SPANS).map(([value, name]) => element("option", { value, selected: value === since }, `last ${name}`)),
  );
  fill(root, element("h1", { class: "offscreen" }, "Rejected items"), element("div", { class: "toolbar" }, choose, total), place);

  const list = new Groups({ hasProject: isOperator && !project, opened: route.query.get("group"), onOpen: (group) => setQuery({ group }) });
  const refresh = async () => {
    try {
      const found = await get("api/rejected", { project, since }, { signal, exact: true });
      list.show(found.groups);
      fill(total, found.groups.length ? summary(found.groups) : "");
      if (!found.groups.length) fill(place, nothing(since));
      else if (!place.contains(list.node)) fill(place, found.message ? note(found.message) : null, list.node);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error;
      fill(place, failed(error, () => again()));
    }
  };
  const again = poll(refresh, SECONDS, signal);
  return { keys: { j: () => focusRows(list.body), ArrowDown: () => focusRows(list.body) }, escape: () => list.close() };
}

function summary(groups) {
  const items = groups.reduce((sum, group) => sum + group.count, 0);
  return `${counted(items, "item")} in ${counted(groups.length, "group")}`;
}

function nothing(since) {
  return empty(`Nothing was rejected in the last ${SPANS[since]}.`, "An item that breaks a rule is listed here with its reason, its content and the command that sends it again.");
}

function keyOf(group) {
  return [group.projectId, group.stage, group.table ?? "", group.code, group.field ?? ""].join("|");
}

class Groups {
  constructor({ hasProject, opened, onOpen }) {
    this._hasProject = hasProject;
    this._opened = opened;
    this._onOpen = onOpen;
    this.body = element("tbody");
    const headings = ["Items", ...(hasProject ? ["Project"] : []), "Reason", "Field", "Stage", "Last"];
    this.node = element(
      "table",
      { class: hasProject ? "groups with-project" : "groups", role: "grid", "aria-label": "Rejected items by reason" },
      element("thead", {}, element("tr", {}, headings.map((name) => element("th", { scope: "col" }, name)))),
      this.body,
    );
    this._columns = headings.length;
    walkable(this.body, { onOpen: (row) => this._toggle(row.dataset.row) });
  }

  /** Show `groups`; the focused row keeps the focus, and the open one stays as it is. */
  show(groups) {
    const focused = this.body.contains(document.activeElement) ? document.activeElement.closest("[data-row]")?.dataset.row : undefined;
    const details = this.body.querySelector(".details");
    const opened = details?.previousElementSibling.dataset.row;
    this._groups = new Map(groups.map((group) => [keyOf(group), group]));
    fill(this.body, groups.map((group) => this._row(group)));
    if (this._opened && this._groups.has(this._opened)) {
      const row = this._find(this._opened);
      row.setAttribute("aria-expanded", "true");
      row.after(opened === this._opened ? details : this._details(this._groups.get(this._opened)));
    }
    if (focused !== undefined) this._find(focused)?.focus({ preventScroll: true });
    keepReachable(this.body);
  }

  /** Close the open group; return whether there was one. */
  close() {
    const details = this.body.querySelector(".details");
    if (!details) return false;
    details.previousElementSibling.setAttribute("aria-expanded", "false");
    details.previousElementSibling.focus({ preventScroll: true });
    details.remove();
    this._opened = null;
    this._onOpen("");
    return true;
  }

  _find(key) {
    return [...this.body.children].find((row) => row.dataset.row === key);
  }

  _toggle(key) {
    const wasOpen = this._opened === key && this.body.querySelector(".details");
    this.close();
    if (wasOpen) return;
    const row = this._find(key);
    row.setAttribute("aria-expanded", "true");
    row.after(this._details(this._groups.get(key)));
    row.focus({ preventScroll: true });
    this._opened = key;
    this._onOpen(key);
  }

  _row(group) {
    return element(
      "tr",
      { tabindex: "-1", "aria-expanded": "false", data: { row: keyOf(group) } },
      element("td", { class: "number" }, count(group.count)),
      this._hasProject ? element("td", { class: "project" }, element("bdi", {}, cell(group.projectId))) : null,
      element("td", { class: "reason" }, element("code", {}, cell(group.code)), element("span", { class: "why" }, prose(cell(group.message ?? "")))),
      element("td", { class: "field" }, group.field ? element("code", {}, cell(group.field)) : element("span", { class: "muted" }, "–")),
      element("td", { class: "stage" }, group.stage, group.table ? element("span", { class: "muted" }, ` ${group.table}`) : null),
      element("td", { class: "at" }, time(group.lastAt, "relative")),
    );
  }

  _details(group) {
    const { example } = group;
    const trace = example?.messageId ? element("a", { href: fragment("trace", [example.messageId], { project: group.projectId }) }, "Trace of the example") : null;
    const live = element("a", { href: fragment("live", [], { project: group.projectId, verdict: "rejected", search: group.field ?? "" }) }, "Show rejected items");
    return element(
      "tr",
      { class: "details" },
      element(
        "td",
        { colspan: this._columns },
        group.message?.length > SHOWN_CHARACTERS ? element("p", { class: "callout failed" }, prose(visible(group.message))) : null,
        element("p", {}, "First ", time(group.firstAt, "exact"), ", last ", time(group.lastAt, "exact"), "."),
        replay(group),
        example ? json(example, "Newest example") : null,
        element("p", { class: "links" }, trace, live),
      ),
    );
  }
}

function replay(group) {
  if (!group.replayCommand) return null;
  return element(
    "section",
    {},
    element("h3", {}, "Replay"),
    element("p", { class: "muted" }, prose("The command shows how the first items change, and sends nothing. Replace `.` by a jq program that corrects them, then run it without `--dry-run`.")),
    command(group.replayCommand),
  );
}
