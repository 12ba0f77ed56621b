// Addresses of views: `#/view/segment?name=value`. They survive a reload and can be sent to a colleague.

/** Return view, segments and query of a fragment. */
export function parse(fragment) {
  const text = fragment.replace(/^#?\/?/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const [view, ...segments] = path.split("/").map(decode);
  return { view, segments, query: new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1)) };
}

/** Return the fragment of a view; values of the query that are empty are left out. */
export function fragment(view, segments = [], query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const text = new URLSearchParams(given).toString();
  return `#/${[view, ...segments].map(encodeURIComponent).join("/")}${text && `?${text}`}`;
}

function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
