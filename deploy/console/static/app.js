// The page: session, views, and what surrounds them.

import { connection, get, signIn, signOut } from "./api.js";
import { element, fill } from "./dom.js";
import { listen, showHelp } from "./keyboard.js";
import { fragment, parse } from "./route.js";
import { failed, loading } from "./states.js";
import { isLocalZone, refreshTimes, setLocalZone } from "./text.js";
import * as audit from "./views/audit.js";
import * as catalog from "./views/catalog.js";
import * as live from "./views/live.js";
import * as parts from "./views/parts.js";
import * as person from "./views/person.js";
import * as rates from "./views/rates.js";
import * as rejected from "./views/rejected.js";
import * as signInForm from "./views/sign_in.js";
import * as trace from "./views/trace.js";

const VIEWS = { live, rates, rejected, person, catalog, parts, audit, trace };
const TABS = ["live", "rates", "rejected", "person", "catalog", "parts", "audit"];
const FOR_OPERATORS = new Set(["parts", "audit"]);
const PREFIXED = { l: "live", r: "rates", x: "rejected", u: "person", c: "catalog", p: "parts", a: "audit" };
const OF_A_PROJECT = new Set(["person", "catalog"]); // Their first segment is the project.
const AGING_MILLISECONDS = 10000;
const AGAIN_MILLISECONDS = 2000;

const nodes = Object.fromEntries(
  ["lookup", "message-id", "account", "project", "scope", "zone", "show-help", "sign-out", "views", "connection", "view", "panel", "help", "skip"].map((id) => [id, document.getElementById(id)]),
);

let session = null;
let route = null;
let shown = {};
let leaving = new AbortController();

/** Show the view that the address names. */
function show() {
  leaving.abort();
  leaving = new AbortController();
  if (!session) return;
  route = parse(location.hash);
  if (!Object.hasOwn(VIEWS, route.view)) {
    history.replaceState(null, "", fragment("live"));
    route = parse(location.hash);
  }
  const { signal } = leaving;
  showSurroundings();
  nodes.panel.hidden = true;
  scrollTo(0, 0);
  const context = {
    session,
    route,
    signal,
    navigate,
    setQuery,
    reload: show,
    panel: nodes.panel,
    isOperator: session.scope === "operate",
  };
  shown = VIEWS[route.view].mount(nodes.view, context) ?? {};
}

function showSurroundings() {
  const [first] = route.segments;
  const name = VIEWS[route.view].title;
  const subject = OF_A_PROJECT.has(route.view) ? route.segments.slice(1).at(-1) ?? "" : first ?? "";
  document.title = `${name} ${subject}`.trim() + " · Sequence";
  nodes["message-id"].value = route.view === "trace" ? first ?? "" : "";
  nodes.project.value = projectOfRoute();
  for (const link of nodes.views.children) {
    link.href = fragment(link.dataset.view, [], { project: projectOfRoute() });
    if (link.dataset.view !== route.view) {
      link.removeAttribute("aria-current");
      continue;
    }
    link.setAttribute("aria-current", "page");
    link.scrollIntoView({ block: "nearest", inline: "nearest" }); // On a narrow page not all are in sight.
  }
}

function projectOfRoute() {
  return (OF_A_PROJECT.has(route.view) && route.segments[0]) || route.query.get("project") || "";
}

function navigate(to) {
  if (location.hash === to) show();
  else location.hash = to;
}

/** Write values of the query into the address, without a new entry in the history. */
function setQuery(values) {
  const query = { ...Object.fromEntries(route.query), ...values };
  const to = fragment(route.view, route.segments, query);
  history.replaceState(null, "", to);
  route.query = parse(to).query;
}

function chooseProject() {
  const project = nodes.project.value;
  if (OF_A_PROJECT.has(route.view)) navigate(fragment(route.view, [], { ...Object.fromEntries(route.query), project }));
  else navigate(fragment(route.view, route.segments, { ...Object.fromEntries(route.query), project, group: "" }));
}

function begin(made) {
  session = made;
  const isOperator = session.scope === "operate";
  for (const name of ["lookup", "account", "views"]) nodes[name].hidden = false;
  nodes.project.hidden = !isOperator;
  const projects = session.projects.map(({ id, name }) => element("option", { value: id }, name === id ? id : `${name} (${id})`));
  fill(nodes.project, element("option", { value: "" }, "All projects"), projects);
  nodes.scope.textContent = isOperator ? "operator" : session.projectId;
  nodes.scope.title = isOperator ? `Sees all projects and the parts. Console ${session.version}` : `Sees this project only. Console ${session.version}`;
  fill(nodes.views, TABS.filter((name) => isOperator || !FOR_OPERATORS.has(name)).map((name) => element("a", { href: fragment(name), data: { view: name } }, VIEWS[name].title)));
  show();
}

function end(reason, isError = true) {
  session = null;
  leaving.abort();
  shown = {};
  for (const name of ["lookup", "account", "views", "panel"]) nodes[name].hidden = true;
  document.title = "Sign in · Sequence";
  signInForm.mount(nodes.view, { reason, isError, onSession: begin });
}

/** Sign in with the token of the fragment, or go on with the session that there is. */
async function start() {
  fill(nodes.view, loading());
  const given = new URLSearchParams(location.hash.slice(1)).get("token");
  if (given !== null) history.replaceState(null, "", location.pathname + location.search);
  try {
    begin(given ? await signIn(given) : await get("api/session"));
  } catch (error) {
    if (error.status === undefined) throw error;
    if (error.status === 401 || error.status === 403) {
      end(given ? error.message : "");
      return;
    }
    fill(nodes.view, failed(error, start));
    if (!given) setTimeout(() => session ?? start(), AGAIN_MILLISECONDS);
  }
}

async function leave() {
  try {
    await signOut();
  } catch (error) {
    if (error.status === undefined) throw error;
    return; // The connection's message says why.
  }
  end("You have signed out.", false);
}

function showZone() {
  const isLocal = isLocalZone();
  nodes.zone.textContent = isLocal ? "Local time" : "UTC";
  nodes.zone.title = isLocal ? "Times are in your zone. Show UTC" : "Times are in UTC. Show your zone";
}

nodes.lookup.addEventListener("submit", (event) => {
  event.preventDefault();
  const messageId = nodes["message-id"].value.trim();
  if (!messageId) return;
  nodes["message-id"].blur();
  navigate(fragment("trace", [messageId], { project: projectOfRoute() }));
});
nodes.project.addEventListener("change", chooseProject);
nodes.skip.addEventListener("click", (event) => {
  event.preventDefault(); // The fragment is the address of a view.
  nodes.view.focus();
});
nodes.zone.addEventListener("click", () => {
  setLocalZone(!isLocalZone());
  showZone();
});
nodes["show-help"].addEventListener("click", () => showHelp(nodes.help));
nodes["sign-out"].addEventListener("click", leave);
addEventListener("hashchange", () => (location.hash.startsWith("#token=") ? start() : show()));

connection.addEventListener("lost", () => {
  nodes.connection.textContent = "The console does not answer. The page tries again by itself.";
  nodes.connection.hidden = false;
});
connection.addEventListener("found", () => (nodes.connection.hidden = true));
connection.addEventListener("signedout", ({ detail }) => session && end(detail));

listen({
  keys: (key) => {
    if (!session) return null;
    if (key === "/") return () => nodes["message-id"].select();
    if (key === "?") return () => showHelp(nodes.help);
    const tab = [...nodes.views.children][Number(key) - 1];
    return tab ? () => tab.click() : shown.keys?.[key];
  },
  prefixed: Object.fromEntries(Object.entries(PREFIXED).map(([key, name]) => [key, () => nodes.views.querySelector(`[data-view="${name}"]`)?.click()])),
  escape: () => shown.escape?.() ?? false,
});
setInterval(() => document.hidden || refreshTimes(), AGING_MILLISECONDS);
document.addEventListener("visibilitychange", () => document.hidden || refreshTimes());
showZone();
start();
