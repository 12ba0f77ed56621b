// Rows that are walked by keyboard: arrows or j and k, Home, End, Enter. One row is in the tab order.

/**
 * Make the children of `body` that have `data-row` walkable.
 *
 * `onOpen(row)` follows Enter or a click, `onMove(row)` a change of the focused row by keyboard.
 */
export function walkable(body, { onOpen, onMove = () => {} }) {
  const rows = () => body.querySelectorAll(":scope > [data-row]");
  body.addEventListener("click", (event) => {
    const row = event.target.closest("[data-row]");
    // A text that somebody marks to copy it is no click, and links and buttons have their own effect.
    if (!row || event.target.closest("a, button") || String(getSelection())) return;
    row.focus({ preventScroll: true });
    onOpen(row);
  });
  body.addEventListener("focusin", (event) => {
    const row = event.target.closest("[data-row]");
    if (row) enter(body, row);
  });
  body.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const row = event.target.closest("[data-row]");
    if (!row) return;
    if ((event.key === "Enter" || event.key === " ") && event.target === row) {
      event.preventDefault();
      onOpen(row);
      return;
    }
    const next = target(event.key, row, rows());
    if (!next) return;
    event.preventDefault();
    event.stopPropagation();
    focus(next);
    onMove(next);
  });
}

/** Focus the first row of `body`, or the one that is in the tab order; return whether there is one. */
export function focusRows(body) {
  const row = body.querySelector(':scope > [data-row][tabindex="0"]') ?? body.querySelector(":scope > [data-row]");
  if (!row) return false;
  focus(row);
  return true;
}

/** Let Tab reach the first row if it reaches none. */
export function keepReachable(body) {
  if (body.querySelector(':scope > [data-row][tabindex="0"]')) return;
  const first = body.querySelector(":scope > [data-row]");
  if (first) first.tabIndex = 0;
}

function enter(body, row) {
  for (const other of body.querySelectorAll(':scope > [data-row][tabindex="0"]')) other.tabIndex = -1;
  row.tabIndex = 0;
}

function focus(row) {
  row.focus({ preventScroll: true });
  row.scrollIntoView({ block: "nearest" });
}

function target(key, row, rows) {
  const all = [...rows];
  const number = all.indexOf(row);
  switch (key) {
    case "ArrowDown":
    case "j":
      return all[number + 1];
    case "ArrowUp":
    case "k":
      return all[number - 1];
    case "Home":
      return all[0];
    case "End":
      return all.at(-1);
    default:
      return undefined;
  }
}
