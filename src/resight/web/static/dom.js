/** Building blocks of the page: elements, icons, buttons, messages, numbers. */

import { number, parts, text as textOf } from "./texts.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Build an element. Keys of `properties`: `class`, `text`, `data`, and any attribute; `true` sets an empty attribute,
 * `false`, `null` and `undefined` set none.
 */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") node.className = value;
    else if (key === "text") node.textContent = value;
    else if (key === "data") Object.assign(node.dataset, value);
    else if (value !== false && value !== null && value !== undefined) node.setAttribute(key, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child || child === ""));
  return node;
}

/** Build an SVG element with attributes. */
export function svg(tag, attributes = {}) {
  const node = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, String(value));
  return node;
}

const ICONS = {
  search: "M10.5 4a6.5 6.5 0 1 1 0 13 6.5 6.5 0 0 1 0-13zM15.5 15.5 20 20",
  box: "M4 8V5.5A1.5 1.5 0 0 1 5.5 4H8M16 4h2.5A1.5 1.5 0 0 1 20 5.5V8M20 16v2.5a1.5 1.5 0 0 1-1.5 1.5H16M8 20H5.5A1.5 1.5 0 0 1 4 18.5V16",
  close: "M6 6l12 12M18 6 6 18",
  left: "M14.5 5.5 8 12l6.5 6.5",
  right: "M9.5 5.5 16 12l-6.5 6.5",
  light: "M12 8a4 4 0 1 1 0 8 4 4 0 0 1 0-8zM12 2.5v2M12 19.5v2M2.5 12h2M19.5 12h2M5.3 5.3l1.4 1.4M17.3 17.3l1.4 1.4M5.3 18.7l1.4-1.4M17.3 6.7l1.4-1.4",
  dark: "M19.5 14.5A8 8 0 0 1 9.5 4.5a8 8 0 1 0 10 10z",
  auto: "M12 4a8 8 0 1 1 0 16 8 8 0 0 1 0-16zM12 4v16M12 8h3.5M12 12h8M12 16h3.5",
  photo: "M5.5 5h13A1.5 1.5 0 0 1 20 6.5v11a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 17.5v-11A1.5 1.5 0 0 1 5.5 5zM4.5 16.5 9 12l3.5 3.5 2.5-2.5 4.5 4.5M15 9.2h.01",
  expand: "M14 4h6v6M10 20H4v-6M20 4l-6.5 6.5M4 20l6.5-6.5",
  shrink: "M20 10h-6V4M4 14h6v6M14 10l6-6M10 14l-6 6",
  refresh: "M19.5 9A8 8 0 0 0 5 8M4.5 15A8 8 0 0 0 19 16M5 3.5V8h4.5M19 20.5V16h-4.5",
  plus: "M12 5v14M5 12h14",
  minus: "M5 12h14",
  copy: "M9 9h10.5v10.5H9zM5 15H4.5V4.5H15V5",
  download: "M12 4v11M7.5 11 12 15.5 16.5 11M5 20h14",
};

/** Build a decorative line icon of 24 units. */
export function icon(name) {
  const drawing = svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" });
  drawing.append(svg("path", { d: ICONS[name] }));
  return drawing;
}

/** Build a button with a visible text, an icon, or both; an icon without text needs `label`. */
export function button({ text, label, icon: name, press, class: style = "button", ...rest }) {
  const attributes = { type: "button", class: style, "aria-label": label, title: text ? null : label };
  const content = [name && icon(name), text && element("span", { text })];
  const control = element("button", { ...attributes, ...rest }, ...content);
  control.addEventListener("click", press);
  return control;
}

/** Format a distance with about three significant digits. */
export function shortDistance(distance) {
  if (distance === 0) return "0";
  const digits = distance >= 100 ? 0 : distance >= 10 ? 1 : distance >= 1 ? 2 : 3;
  return number(distance, { minimumFractionDigits: digits, maximumFractionDigits: digits, useGrouping: false });
}

/** Announce a text, or pieces of one, to users of screen readers. */
export function announce(pieces) {
  const announcer = document.getElementById("announcer");
  const said = element("p", {}, ...[pieces].flat().map((piece) => piece?.cloneNode?.(true) ?? piece));
  if (announcer && announcer.textContent !== said.textContent) announcer.replaceChildren(...said.childNodes);
}

/** Return a function that runs another one once its calls have paused. */
export function debounce(run, milliseconds) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = window.setTimeout(run, milliseconds);
  };
}

/** Build a quiet block in place of content: a heading, a sentence, a command to type, and actions. */
export function emptyState({ title, text, icon: name = "photo", actions = [], code }) {
  return element(
    "div", { class: "empty" },
    icon(name),
    element("h2", { text: title }),
    text && element("p", {}, text),
    code && element("p", {}, element("code", { text: code })),
    actions.length > 0 && element("div", { class: "actions" }, ...actions),
  );
}

/** Build an error message that screen readers announce at once. */
export function errorState(problem, retry, actions = []) {
  const [title, text] = [problemTitle(problem), problemMessage(problem)];
  const again = retry ? [button({ text: textOf("problem.retry"), icon: "refresh", press: retry })] : [];
  const block = emptyState({ title, text, actions: [...again, ...actions] });
  block.classList.add("error");
  block.setAttribute("role", "alert");
  return block;
}

/** Return the heading of a problem. */
export const problemTitle = (problem) => problem?.title ?? textOf("problem.other");

/** Return the sentence of a problem, in English unless it is the page's own. */
export function problemMessage(problem) {
  const message = problem?.message ?? String(problem);
  return problem?.own ? sentence(message) : message && serverText(message);
}

/** Return a problem in one line, as pieces. */
export const problemLine = (problem) => parts("problem.line", { title: problemTitle(problem), message: problemMessage(problem) });

/** Build a sentence of the program, which is always in English; screen readers speak it so. */
export const serverText = (message) => element("span", { lang: "en", text: sentence(message) });

/** Build a loading indicator. */
export function loading(text) {
  return element("p", { class: "loading" }, element("span", { class: "spinner", "aria-hidden": "true" }), text);
}

/** Turn an error message of the program into a sentence. */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const start = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?)…”]$/.test(start) ? start : `${start}.`;
}

/** Build a button that opens a panel below it; Escape, or a click elsewhere, closes it. */
export function createPopover(text, ...content) {
  const popover = element("details", { class: "options" }, element("summary", { text }), element("div", { class: "popover" }, ...content));
  popover.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    popover.open = false;
    popover.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    if (popover.open && !popover.contains(event.target)) popover.open = false;
  });
  return popover;
}

/** Build a form of one text field and a button. */
export function fieldForm({ input, text, submit }) {
  const field = element("input", { required: true, autocomplete: "off", ...input });
  const form = element("form", { class: "link-form", hidden: true }, field, element("button", { class: "button", text }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit(field.value.trim());
  });
  return form;
}
