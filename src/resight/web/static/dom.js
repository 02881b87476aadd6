/** Small helpers to build the page: elements, icons, numbers, announcements. */

const SVG = "http://www.w3.org/2000/svg";

/**
 * Build an element. Keys of `properties`: `class`, `text`, `on` (event handlers by name), `data`,
 * and any attribute; `true` sets an empty attribute, `false`, `null` and `undefined` set none.
 *
 * @param {string} tag
 * @param {Record<string, any>} [properties]
 * @param {...(Node|string|null|undefined|false)} children
 * @returns {HTMLElement}
 */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key === "text") made.textContent = value;
    else if (key === "on") {
      for (const [event, handler] of Object.entries(value)) made.addEventListener(event, handler);
    } else if (key === "data") Object.assign(made.dataset, value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child || child === ""));
  return made;
}

/**
 * Build an SVG element with attributes.
 *
 * @param {string} tag
 * @param {Record<string, string|number>} [attributes]
 * @returns {SVGElement}
 */
export function svg(tag, attributes = {}) {
  const made = document.createElementNS(SVG, tag);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, String(value));
  return made;
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
  download: "M12 4v11M7.5 11 12 15.5 16.5 11M5 20h14",
};

/**
 * A decorative line icon of 24 units.
 *
 * @param {keyof typeof ICONS} name
 * @returns {SVGElement}
 */
export function icon(name) {
  const drawing = svg("svg", { viewBox: "0 0 24 24", class: "icon", "aria-hidden": "true" });
  drawing.append(svg("path", { d: ICONS[name] }));
  return drawing;
}

/**
 * A button with a visible text, an icon, or both; an icon alone needs `label`.
 *
 * @param {{text?: string, label?: string, icon?: keyof typeof ICONS, class?: string,
 *   press: (event: MouseEvent) => void} & Record<string, any>} options
 * @returns {HTMLButtonElement}
 */
export function button({ text, label, icon: name, press, class: style = "button", ...rest }) {
  const attributes = { type: "button", class: style, "aria-label": label, title: text ? null : label };
  const made = element("button", { ...attributes, ...rest, on: { click: press } });
  if (name) made.append(icon(name));
  if (text) made.append(element("span", { text }));
  return /** @type {HTMLButtonElement} */ (made);
}

/**
 * A distance with about three figures that count; the whole number is for tooltips.
 *
 * @param {number} distance
 * @returns {string}
 */
export function shortDistance(distance) {
  if (distance === 0) return "0";
  if (distance >= 100) return distance.toFixed(0);
  return distance.toFixed(distance >= 10 ? 1 : distance >= 1 ? 2 : 3);
}

/**
 * A whole number with thousands separated, and the noun in its right form.
 *
 * @param {number} number
 * @param {string} one
 * @param {string} [many]
 * @returns {string}
 */
export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

/**
 * Say something to people who listen to the page.
 *
 * @param {string} text
 */
export function announce(text) {
  const announcer = document.getElementById("announcer");
  if (announcer && announcer.textContent !== text) announcer.textContent = text;
}

/**
 * Run a function once calls have paused.
 *
 * @template {any[]} A
 * @param {(...values: A) => void} run
 * @param {number} milliseconds
 * @returns {(...values: A) => void}
 */
export function debounce(run, milliseconds) {
  let timer = 0;
  return (...values) => {
    clearTimeout(timer);
    timer = window.setTimeout(() => run(...values), milliseconds);
  };
}
