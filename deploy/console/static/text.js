// Values as people read them: times, numbers, and texts that may contain anything.

const HIDDEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u200b\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb]/g;
// In JSON every mark without a width is escaped, those of right-to-left scripts as well.
const HIDDEN_IN_JSON = /[\u007f-\u009f\u00ad\u200b\u200e\u200f\u2028-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufff9-\ufffb]/g;
const LONGEST_CELL = 200;
const ZONE = "sequence-zone";

/** Return `value` with control characters, and marks that turn the direction of text, as escapes. */
export function visible(value) {
  return value.replace(HIDDEN, escaped);
}

/** Return at most 200 characters of `value` for a cell. */
export function cell(value) {
  if (value.length <= LONGEST_CELL) return visible(value);
  return `${visible([...value.slice(0, LONGEST_CELL * 2)].slice(0, LONGEST_CELL).join(""))}…`;
}

/** Return `value` as indented JSON, numbers as they were sent. */
export function pretty(value) {
  return JSON.stringify(value, null, 2).replace(HIDDEN_IN_JSON, escaped);
}

/** Return `value` as JSON on one line. */
export function compact(value) {
  return JSON.stringify(value).replace(HIDDEN_IN_JSON, escaped);
}

function escaped(character) {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

/** Return `text` as an argument that a POSIX shell takes as it is. */
export function shellQuoted(text) {
  const shown = /^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
  return text.startsWith("-") ? `-- ${shown}` : shown;
}

/**
 * Parse `text` and keep the digits of numbers that JavaScript cannot represent or would print in another form.
 *
 * Browsers without `JSON.rawJSON` show those numbers as JavaScript rounds them.
 */
export function parseExact(text) {
  if (!JSON.rawJSON) return JSON.parse(text);
  return JSON.parse(text, (_key, value, context) =>
    typeof value === "number" && context?.source !== undefined && String(value) !== context.source
      ? JSON.rawJSON(context.source)
      : value,
  );
}

const counts = new Intl.NumberFormat("en-US");
const rates = new Intl.NumberFormat("en-US", { maximumSignificantDigits: 3 });

/** Return a count with separators. */
export function count(value) {
  return counts.format(value);
}

/** Return `count noun`, the noun in its form. */
export function counted(value, noun, plural = `${noun}s`) {
  return `${counts.format(value)} ${value === 1 ? noun : plural}`;
}

/** Return a rate or a span with three digits. */
export function rate(value) {
  return value >= 1000 ? counts.format(Math.round(value)) : rates.format(value);
}

/** Return `seconds` as the largest unit that fits: `12 s`, `3 min`, `2 h`, `4 d`. */
export function span(seconds) {
  if (seconds === 0) return "0 s";
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** Whether times are shown in the zone of the browser instead of UTC. */
export function isLocalZone() {
  try {
    return localStorage.getItem(ZONE) === "local";
  } catch {
    return false;
  }
}

/** Choose the zone of all times, those on the page included. */
export function setLocalZone(isLocal) {
  try {
    localStorage.setItem(ZONE, isLocal ? "local" : "utc");
  } catch {
    // Without storage the choice ends with the page.
  }
  refreshTimes(document, isLocal);
}

/**
 * Return an element for a time of the API.
 *
 * `form`: `clock` (to the millisecond, the day if it is not today), `exact` (to the microsecond, with its zone) or
 * `relative` (how long ago). The tooltip has the other forms.
 */
export function time(text, form = "clock") {
  const made = document.createElement("time");
  made.dateTime = text;
  made.dataset.form = form;
  write(made, isLocalZone());
  return made;
}

/** Write the times below `root` anew: they age, and their zone may have changed. */
export function refreshTimes(root = document, isLocal = isLocalZone()) {
  for (const each of root.querySelectorAll("time[data-form]")) write(each, isLocal);
}

function write(node, isLocal) {
  const { dateTime, dataset } = node;
  const date = new Date(dateTime);
  if (Number.isNaN(date.getTime())) {
    node.textContent = visible(dateTime);
    return;
  }
  const exact = exactTime(dateTime, date, isLocal);
  const forms = { exact, clock: () => clock(date, isLocal), relative: () => relative(date) };
  const shown = dataset.form === "exact" ? exact : forms[dataset.form]();
  if (node.textContent !== shown) node.textContent = shown;
  node.title = dataset.form === "relative" ? exact : `${exact}, ${relative(date)}`;
}

/** Return how long ago `date` was. */
export function relative(date, now = Date.now()) {
  const seconds = (now - date.getTime()) / 1000;
  if (Math.abs(seconds) < 1) return "now";
  return seconds > 0 ? `${span(seconds)} ago` : `in ${span(-seconds)}`;
}

function clock(date, isLocal) {
  const shown = parts(date, isLocal);
  const today = parts(new Date(), isLocal);
  if (shown.day === today.day) return `${shown.seconds}.${shown.milliseconds}`;
  return `${shown.day.slice(5)} ${shown.seconds}`;
}

function exactTime(text, date, isLocal) {
  const shown = parts(date, isLocal);
  const fraction = /\.(\d+)/.exec(text)?.[1] ?? shown.milliseconds;
  return `${shown.day} ${shown.seconds}.${fraction} ${isLocal ? offset(date) : "UTC"}`;
}

function parts(date, isLocal) {
  const moved = isLocal ? new Date(date.getTime() - date.getTimezoneOffset() * 60000) : date;
  const text = moved.toISOString();
  return { day: text.slice(0, 10), seconds: text.slice(11, 19), milliseconds: text.slice(20, 23) };
}

function offset(date) {
  const minutes = -date.getTimezoneOffset();
  const digits = (value) => String(Math.floor(value)).padStart(2, "0");
  return `${minutes < 0 ? "-" : "+"}${digits(Math.abs(minutes) / 60)}:${digits(Math.abs(minutes) % 60)}`;
}
