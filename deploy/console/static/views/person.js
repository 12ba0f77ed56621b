// A person: traits with the time and the messageId that set each, removed traits, and the latest events.

import { get } from "../api.js";
import { copyButton, element, fill } from "../dom.js";
import { ItemsTable } from "../items.js";
import { ItemPanel } from "../panel.js";
import { fragment } from "../route.js";
import { focusRows } from "../rows.js";
import { empty, failed, load, loading, note } from "../states.js";
import { cell, compact, count, counted, time, visible } from "../text.js";

const SHOWN_EVENTS = 500;
const LONG_VALUE = 400;

export const title = "Person";

/** Show the view in `root`. */
export function mount(root, context) {
  const [project, userId] = context.route.segments;
  const place = element("div");
  fill(root, element("h1", { class: "offscreen" }, "Person"), form(context, project ?? "", userId ?? ""), place);
  if (!userId) {
    fill(place, empty("Whose traits and events?", "Enter a user ID. `identify` calls set the traits of a user."));
    root.querySelector('input[name="userId"]').focus();
    return {};
  }
  const panel = new ItemPanel(context.panel, { onClose: () => table.mark(null) });
  const table = new ItemsTable({
    limit: SHOWN_EVENTS,
    hasProject: false,
    label: "Latest items of the person",
    onOpen: (item, row) => (table.mark(row), panel.open(item)),
    onMove: (item, row) => panel.isOpen && (table.mark(row), panel.open(item)),
  });
  context.signal.addEventListener("abort", () => panel.close());
  const loader = () => get("api/persons", { userId, project }, { signal: context.signal, exact: true }).catch((error) => {
    if (error.code === "person_unknown") return null;
    throw error;
  });
  load(place, loader, (person) => (person ? shown(person, table, context.signal) : unknown(project, userId)), context.signal);
  return { keys: { j: () => focusRows(table.body), ArrowDown: () => focusRows(table.body) }, escape: () => panel.isOpen && (panel.close(), focusRows(table.body)) };
}

function form({ session, isOperator, navigate, route }, project, userId) {
  const chosen = project || route.query.get("project") || session.projects[0]?.id || "";
  const known = session.projects.some(({ id }) => id === chosen) ? session.projects : [...session.projects, { id: chosen, name: chosen }];
  const projects = element(
    "select",
    { name: "project", "aria-label": "Project" },
    known.map(({ id, name }) => element("option", { value: id, selected: id === chosen }, name === id ? id : `${name} (${id})`)),
  );
  const user = element("input", { type: "search", name: "userId", placeholder: "User ID", "aria-label": "User ID", value: userId, autocomplete: "off", spellcheck: "false", required: true });
  const submit = (event) => {
    event.preventDefault();
    if (user.value) navigate(fragment("person", [isOperator ? projects.value : session.projectId, user.value]));
  };
  return element("form", { class: "toolbar filters", role: "search", on: { submit } }, isOperator ? projects : null, user, element("button", {}, "Show"));
}

function unknown(project, userId) {
  const events = element("a", { href: fragment("live", [], { project, userId }) }, "Look for items of this user");
  return empty(
    `No person ${cell(userId)} in project ${cell(project)}.`,
    "A person exists from the first `identify` of the user on. A user ID is case sensitive.",
    element("p", {}, events),
  );
}

function shown(person, table, signal) {
  table.append(person.events);
  return [
    element(
      "header",
      { class: "person" },
      element("h2", {}, element("bdi", {}, cell(person.userId)), copyButton(person.userId, "Copy the user ID")),
      seen(person),
    ),
    person.isComplete === false ? note(person.message ?? "The search for events ended early: the newest may be missing.") : null,
    element("section", {}, element("h3", {}, `Traits (${person.traits.length})`), traits(person)),
    person.removed.length ? element("section", {}, element("h3", {}, `Removed (${person.removed.length})`), removed(person.removed)) : null,
    history(person, signal),
    element("section", {}, element("h3", {}, "Latest items"), person.events.length ? table.node : element("p", { class: "muted" }, "No items."), more(person)),
  ];
}

function seen(person) {
  if (!person.firstSeen) return element("p", { class: "muted" }, "Never identified: this user has events only.");
  return element("p", { class: "muted" }, "First identified ", time(person.firstSeen, "exact"), ", last ", time(person.lastSeen, "exact"), ".");
}

function more(person) {
  const href = fragment("live", [], { project: person.projectId, userId: person.userId });
  return element("p", { class: "links" }, element("a", { href }, "Live items of this user"), person.events.length ? element("span", { class: "muted" }, ` ${counted(person.events.length, "item")} shown`) : null);
}

function traits(person) {
  if (!person.traits.length) return element("p", { class: "muted" }, "No traits.");
  return element(
    "table",
    { class: "traits" },
    element("thead", {}, element("tr", {}, ["Trait", "Value", "Set at", "By messageId"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, person.traits.map((trait) => traitRow(trait, person.projectId))),
  );
}

function traitRow(trait, projectId) {
  return element(
    "tr",
    {},
    element("th", { scope: "row" }, element("bdi", {}, cell(trait.name))),
    element("td", { class: "value" }, value(trait.value)),
    element("td", { class: "at" }, trait.setAt ? time(trait.setAt, "exact") : "–"),
    element("td", { class: "id" }, trait.messageId ? traceLink(trait.messageId, projectId) : "–"),
  );
}

function traceLink(messageId, project) {
  return element("a", { href: fragment("trace", [messageId], { project }) }, element("bdi", {}, cell(messageId)));
}

function value(of) {
  const text = compact(of);
  const code = element("code", {}, text.slice(0, LONG_VALUE));
  if (text.length <= LONG_VALUE) return code;
  const rest = element("button", { type: "button", class: "plain" }, `… all ${text.length.toLocaleString("en-US")} characters`);
  rest.addEventListener("click", () => {
    code.textContent = text;
    rest.remove();
  });
  return [code, rest];
}

function removed(list) {
  return element(
    "table",
    { class: "traits" },
    element("thead", {}, element("tr", {}, ["Trait", "Removed at"].map((name) => element("th", { scope: "col" }, name)))),
    element("tbody", {}, list.map((each) => element("tr", {}, element("th", { scope: "row" }, element("bdi", {}, cell(each.name))), element("td", { class: "at" }, time(each.removedAt, "exact"))))),
  );
}

/** The values that the traits had, which are loaded after the person. */
function history(person, signal) {
  const place = element("div");
  const show = async () => {
    fill(place, loading());
    try {
      fill(place, values(await get("api/history", { userId: person.userId, project: person.projectId }, { signal })));
    } catch (error) {
      if (error.name === "AbortError") return;
      if (error.status === undefined) throw error;
      fill(place, error.code === "person_unknown" ? element("p", { class: "muted" }, "No values.") : failed(error, show));
    }
  };
  show();
  return element("section", {}, element("h3", {}, "History of the traits"), place);
}

function values(found) {
  const rows = found.values.map((each) =>
    element(
      "tr",
      {},
      element("th", { scope: "row" }, element("bdi", {}, cell(each.trait))),
      element("td", { class: "value" }, element("code", {}, visible(each.value), each.isCut ? "…" : "")),
      element("td", { class: "at" }, time(each.validFrom, "exact")),
      element("td", { class: "at" }, each.validTo ? time(each.validTo, "exact") : "now"),
    ),
  );
  return [
    found.isComplete ? null : note(`The newest ${count(found.values.length)} values are shown. \`person_history\` has all.`),
    element(
      "table",
      { class: "traits history" },
      element("thead", {}, element("tr", {}, ["Trait", "Value", "From", "To"].map((name) => element("th", { scope: "col" }, name)))),
      element("tbody", {}, rows),
    ),
  ];
}
