// Elements. Every value becomes a text node or an attribute: no text is ever parsed as markup.

const SVG = "http://www.w3.org/2000/svg";

const ICONS = {
  copy: "M5.5 5.5v-3h8v8h-3M2.5 5.5h8v8h-8z",
  done: "M3 8.5l3.2 3.2L13 5",
  close: "M3.5 3.5l9 9M12.5 3.5l-9 9",
  pause: "M5.5 3.5v9M10.5 3.5v9",
  play: "M4.5 3v10l8-5z",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7L14 14",
};

/**
 * Return a new element.
 *
 * `properties`: `class`, `on` (handlers by event), `data` (data attributes); all others are attributes. A value of
 * null, undefined or false leaves the attribute out, true makes it empty. Children are nodes or texts; null is left out.
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "class") made.className = value;
    else if (name === "on") for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    else if (name === "data") Object.assign(made.dataset, value);
    else made.setAttribute(name, value === true ? "" : String(value));
  }
  made.append(...present(children));
  return made;
}

/** Replace the children of `parent`. */
export function fill(parent, ...children) {
  parent.replaceChildren(...present(children));
}

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/** Return the drawing `name`, which a screen reader skips. */
export function icon(name) {
  const drawing = document.createElementNS(SVG, "svg");
  drawing.setAttribute("viewBox", "0 0 16 16");
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", ICONS[name]);
  drawing.append(path);
  return drawing;
}

/** Return a button that copies `text`; its label says what it copies. */
export function copyButton(text, label) {
  const button = element("button", { type: "button", class: "copy", "aria-label": label, title: label }, icon("copy"));
  button.addEventListener("click", async (event) => {
    event.stopPropagation();
    const copied = await copy(text);
    fill(button, icon(copied ? "done" : "close"));
    button.classList.toggle("copied", copied);
    announce(copied ? "Copied." : "The browser does not allow copying here.");
    setTimeout(() => {
      button.classList.remove("copied");
      fill(button, icon("copy"));
    }, 1500);
  });
  return button;
}

/** Copy `text` and return whether that worked. A page over HTTP from another machine has no clipboard API. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { class: "offscreen", readonly: true });
    const focused = document.activeElement;
    area.value = text;
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy");
    area.remove();
    focused?.focus?.();
    return copied;
  }
}

/** Return a command to paste, with its copy button. */
export function command(text) {
  return element("div", { class: "command" }, element("code", { tabindex: "0" }, text), copyButton(text, "Copy the command"));
}

/** Return a sentence whose parts between backticks are code. */
export function prose(text) {
  return text.split("`").map((part, number) => (number % 2 ? element("code", {}, part) : part));
}

/** Say `text` to a screen reader. */
export function announce(text) {
  document.getElementById("announcements").textContent = text;
}
