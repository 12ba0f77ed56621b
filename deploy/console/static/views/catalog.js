// The catalogue: events and traits with what is in conflict, and one of them with its paths and its typed view.

import { get } from "../api.js";
import { command, copyButton, element, fill, prose } from "../dom.js";
import { fragment } from "../route.js";
import { focusRows, keepReachable, walkable } from "../rows.js";
import { empty, failed, load, loading, note } from "../states.js";
import { cell, count, counted, time, visible } from "../text.js";

const KINDS = { "": "Events and traits", event: "Events", trait: "Traits" };
const CONFLICTS_SHOWN = 3;

export const title = "Catalogue";

/** Show the view in `root`: the list, or with segments the event or the traits that they name. */
export function mount(root, context) {
  const [project, kind, event] = context.route.segments;
  fill(root, element("h1", { class: "offscreen" }, "Catalogue"));
  if (project && kind === "trait") return mountOne(root, context, { project, kind });
  if (project && kind === "event" && event !== undefined) return mountOne(root, context, { project, kind, event });
  return mountList(root, context);
}

function mountList(root, { route, setQuery, signal, reload, navigate, isOperator }) {
  const project = route.query.get("project");
  const kind = Object.hasOwn(KINDS, route.query.get("kind") ?? "") ? (route.query.get("kind") ?? "") : "";
  const conflicts = route.query.get("conflicts") === "true";
  const place = element("div");
  const total = element("span", { class: "muted", role: "status" });
  const kinds = element(
    "select",
    { "aria-label": "Kind", on: { change: () => (setQuery({ kind: kinds.value }), reload()) } },
    Object.entries(KINDS).map(([value, name]) => element("option", { value, selected: value === kind }, name)),
  );
  const only = element("input", { type: "checkbox", checked: conflicts, on: { change: () => (setQuery({ conflicts: only.checked ? "true" : "" }), reload()) } });
  root.append(element("div", { class: "toolbar" }, kinds, element("label", { class: "check" }, only, "Only conflicts"), total), place);
  const body = element("tbody");
  walkable(body, { onOpen: (row) => navigate(row.dataset.row) });
  const show = ({ events, isComplete }) => {
    total.textContent = counted(events.length, "entry", "entries");
    if (!events.length) return nothing(conflicts);
    fill(body, events.map((each) => eventRow(each, isOperator && !project)));
    keepReachable(body);
    return [isComplete ? null : note(`The first ${count(events.length)} are shown. Choose a project or a kind.`), table(isOperator && !project, body)];
  };
  load(place, () => get("api/catalog", { project, kind, conflicts: conflicts ? "true" : "" }, { signal }), show, signal);
  return { keys: { j: () => focusRows(body), ArrowDown: () => focusRows(body) } };
}

function nothing(conflicts) {
  if (conflicts) return empty("Nothing is in conflict.", "A property whose values have several types, such as text beside numbers, is listed here.");
  return empty("The catalogue is empty.", "New rows are counted within a minute.");
}

function table(hasProject, body) {
  const headings = [...(hasProject ? ["Project"] : []), "Event", "Rows", "Properties", "Conflicts", "First seen", "Last seen"];
  return element(
    "table",
    { class: "catalog", role: "grid", "aria-label": "Events and traits" },
    element("thead", {}, element("tr", {}, headings.map((name) => element("th", { scope: "col", class: ["Rows", "Properties"].includes(name) ? "number" : "" }, name)))),
    body,
  );
}

function eventRow(each, hasProject) {
  const data = (label) => ({ data: { label } });
  const address = each.kind === "trait" ? fragment("catalog", [each.projectId, "trait"]) : fragment("catalog", [each.projectId, "event", each.event]);
  return element(
    "tr",
    { tabindex: "-1", data: { row: address } },
    hasProject ? element("td", data("Project"), element("bdi", {}, cell(each.projectId))) : null,
    element("td", { class: "event", ...data("Event") }, nameOf(each)),
    element("td", { class: "number", ...data("Rows") }, count(each.count)),
    element("td", { class: "number", ...data("Properties") }, count(each.paths)),
    element("td", { class: "conflicts", ...data("Conflicts") }, conflictsOf(each)),
    element("td", { class: "at", ...data("First seen") }, time(each.firstSeen, "relative")),
    element("td", { class: "at", ...data("Last seen") }, time(each.lastSeen, "relative")),
  );
}

function nameOf(each) {
  return each.kind === "trait" ? element("span", { class: "muted" }, "Traits of users") : element("bdi", {}, cell(each.event) || "(empty)");
}

function conflictsOf(each) {
  if (!each.conflictCount) return element("span", { class: "muted" }, "–");
  const names = each.conflicts.slice(0, CONFLICTS_SHOWN).map(cell).join(", ");
  const more = each.conflictCount - Math.min(each.conflicts.length, CONFLICTS_SHOWN);
  return element("span", { class: "conflict" }, more ? `${names} and ${count(more)} more` : names);
}

function mountOne(root, { signal }, { project, kind, event }) {
  const place = element("div");
  const back = element("a", { href: fragment("catalog", [], { project }) }, "All events and traits");
  const heading = element("h2", {}, element("bdi", {}, kind === "trait" ? "Traits of users" : cell(event) || "(empty)"), event ? copyButton(event, "Copy the name") : null);
  root.append(element("header", { class: "person" }, heading, element("p", { class: "muted" }, `Project ${visible(project)}. `, back)), place);
  const asked = kind === "trait" ? { project, kind } : { project, event };
  load(place, () => get("api/catalog/paths", asked, { signal }), (found) => [summary(found), paths(found), viewSection(asked, signal)], signal);
}

function summary({ event, isComplete, paths: list }) {
  return [
    element("p", {}, counted(event.count, "row"), ", first seen ", time(event.firstSeen, "exact"), ", last seen ", time(event.lastSeen, "exact"), "."),
    isComplete ? null : note(`The ${count(list.length)} most frequent of ${count(event.paths)} properties are shown.`),
  ];
}

function paths({ paths: list }) {
  if (!list.length) return element("p", { class: "muted" }, "No properties.");
  const headings = ["Property", "Rows", "Of all", "Types", "Last seen"];
  return element(
    "section",
    {},
    element(
      "table",
      { class: "parts catalog-paths", "aria-label": "Properties with their types" },
      element("thead", {}, element("tr", {}, headings.map((name, number) => element("th", { scope: "col", class: number === 1 || number === 2 ? "number" : "" }, name)))),
      element("tbody", {}, list.map((each) => pathRow(each, headings))),
    ),
  );
}

function pathRow(each, headings) {
  const types = each.isRest ? "properties beyond the limit of 10,000" : typesOf(each);
  const cells = [
    element("bdi", {}, each.isRest ? "(other)" : cell(each.path)),
    count(each.count),
    each.isRest ? "" : percent(each.share),
    types,
    time(each.lastSeen, "relative"),
  ];
  return element("tr", {}, cells.map((value, number) => element("td", { class: number === 1 || number === 2 ? "number" : number === 3 ? "wide" : "", data: { label: headings[number] } }, value)));
}

function typesOf(each) {
  const text = each.types.length === 1 ? each.types[0].type : each.types.map(({ type, share }) => `${type} ${percent(share)}`).join(", ");
  return each.conflict ? element("span", {}, text, " ", element("span", { class: "conflict" }, "conflict")) : text;
}

function percent(share) {
  if (share > 0 && share < 0.001) return "<0.1 %";
  if (share < 1 && share > 0.999) return ">99.9 %";
  return `${share === 1 ? "100" : (share * 100).toFixed(1)} %`;
}

/** The typed view of an event or of the users, which is loaded after the paths. */
function viewSection(asked, signal) {
  const place = element("div");
  const show = async () => {
    fill(place, loading());
    try {
      fill(place, view(await get("api/views", asked, { signal })));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error;
      fill(place, error.code === "view_unknown" ? element("p", { class: "muted" }, prose(error.message)) : failed(error, show));
    }
  };
  show();
  return element("section", {}, element("h2", {}, "Typed view"), place);
}

function view(found) {
  const properties = found.columns.filter(({ isProperty }) => isProperty);
  return [
    element("p", {}, element("code", {}, `${found.database}.${found.view}`), ` has ${counted(found.columns.length, "column")}, ${count(properties.length)} of properties. The query reads the newest rows:`),
    command(found.sql),
    element(
      "table",
      { class: "parts", "aria-label": "Columns of the typed view" },
      element("thead", {}, element("tr", {}, ["Column", "Type"].map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, properties.map((each) => element("tr", {}, element("td", { data: { label: "Column" } }, element("code", {}, cell(each.name))), element("td", { data: { label: "Type" } }, each.type)))),
    ),
  ];
}
