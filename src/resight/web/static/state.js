/** The state of the page, stored in the address's fragment so that links and the back button work. */

import { isReference } from "./views.js";

/**
 * @typedef {import("./api.js").Box} Box
 * @typedef {{page: "home"|"search"|"groups"|"collection", photo?: number, upload?: string,
 *   file?: string, box?: Box, compare?: number, verify?: number, limit?: number,
 *   large?: boolean, others?: boolean, kind?: string, under?: string, taken_from?: string, taken_before?: string,
 *   min_side?: number, file_name?: string, sort?: "added"|"date"|"name", more?: string[], each?: boolean, size?: number,
 *   folder?: string, named?: string}} State  `others`: also show photos that are only similar; `kind`: of groups, or of
 *   results; `size` (at least), `folder`: of groups; `under` to `file_name`: filters, as the server names them; `more`: further
 *   query photos, see views.js; `each`: search with one of them at a time; `named`: search with all photos that carry this
 *   name, of which `photo` is one
 */

const PAGES = new Set(["home", "search", "groups", "collection"]);
const FILTERS = ["under", "taken_from", "taken_before", "min_side", "file_name"];
const KEYS = [
  "photo", "upload", "file", "box", "verify", "limit", "large", "others", ...FILTERS, "kind", "sort", "more", "each",
  "size", "folder", "named", "compare",
];
const DAY = /^[1-9]\d{3}-\d\d-\d\d$/;
const hashes = []; // of the history's entries
let entry = 0;
let shownHash = null;
let onChange = null;

/** Parse a fragment such as `#/search?photo=3&box=10,20,30,40`; invalid values are left out. */
export function parseHash(hash) {
  const [path, query = ""] = hash.replace(/^#\/?/, "").split("?");
  const values = new URLSearchParams(query);
  const state = { page: PAGES.has(path) ? path : "home" };
  for (const key of ["photo", "compare", "verify", "limit", "size"]) {
    const text = values.get(key);
    const number = Number(text);
    if (text && Number.isFinite(number) && number >= 0) state[key] = number;
  }
  for (const key of ["upload", "file", "kind", "under", "folder", "named"]) if (values.get(key)) state[key] = values.get(key);
  readFilters(values, state);
  for (const key of ["large", "others", "each"]) if (values.get(key)) state[key] = true;
  const more = (values.get("more") ?? "").split(",").filter(isReference);
  if (more.length) state.more = more;
  const box = values.get("box")?.split(",").map(Number);
  const valid = box?.length === 4 && box.every((value) => Number.isInteger(value) && value >= 0);
  if (valid && box[2] > 0 && box[3] > 0) state.box = box;
  const hasQuery = [state.photo, state.upload, state.file].some((value) => value !== undefined);
  if (state.page === "search" && !hasQuery) state.page = "home";
  return state;
}

/** Add the filters of an address, and its order, to a state. */
function readFilters(values, state) {
  for (const key of ["taken_from", "taken_before"]) {
    const text = values.get(key) ?? "";
    if (DAY.test(text) && !Number.isNaN(Date.parse(text))) state[key] = text;
  }
  const name = values.get("file_name");
  if (name && name.length <= 255 && !name.includes("/")) state.file_name = name;
  const side = Number(values.get("min_side"));
  if (Number.isInteger(side) && side >= 1 && side <= 1e6) state.min_side = side;
  if (["added", "date", "name"].includes(values.get("sort"))) state.sort = values.get("sort");
}

/** Format a state as a fragment. */
export function formatHash(state) {
  const pairs = [];
  for (const key of KEYS) {
    const value = state[key];
    if (value === undefined || value === null || value === false) continue;
    const text = Array.isArray(value) ? value.join(",") : value === true ? "1" : encodeURIComponent(value);
    pairs.push(`${key}=${text}`);
  }
  const path = state.page === "home" ? "" : state.page;
  return `#/${path}${pairs.length ? `?${pairs.join("&")}` : ""}`;
}

/** Return the current state of the page. */
export const current = () => parseHash(location.hash);

/** Go to another state, as a new entry of the history or in place of the current one. */
export function go(state, { replace = false } = {}) {
  const hash = formatHash(state);
  if (!replace && hash === location.hash) return;
  if (replace) history.replaceState({ entry }, "", hash);
  else history.pushState({ entry: (entry += 1) }, "", hash);
  notify("go");
}

/**
 * Leave a state that was entered by `go`: go back where that leads to the given state, so that closing leaves no
 * trace in the history, otherwise replace the current one.
 */
export function leave(state) {
  if (entry > 0 && hashes[entry - 1] === formatHash(state)) history.back();
  else go(state, { replace: true });
}

/** Follow the address: call a function with the first and each new state, and its origin: "go", "link" or "back". */
export function start(listener) {
  onChange = listener;
  history.scrollRestoration = "manual";
  if (history.state?.entry !== undefined) entry = history.state.entry;
  else history.replaceState({ entry }, "", location.hash || "#/");
  window.addEventListener("popstate", (event) => {
    const isBack = event.state?.entry !== undefined;
    if (isBack) entry = event.state.entry;
    else history.replaceState({ entry: (entry += 1) }, "", location.hash);
    notify(isBack ? "back" : "link");
  });
  notify("go");
}

function notify(origin) {
  hashes[entry] = location.hash;
  if (location.hash === shownHash) return;
  shownHash = location.hash;
  onChange(current(), origin);
}
