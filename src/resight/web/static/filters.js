/** Filters of photos: a panel to choose them, and chips that show those in use and remove them. */

import * as api from "./api.js";
import { button, createPopover, element, icon } from "./dom.js";
import { current, go } from "./state.js";
import { date, text } from "./texts.js";

const FILTERS = ["under", "taken_from", "taken_before", "min_side", "file_name"]; // of the server
const ALL = [...FILTERS, "kind"];
const INDENT = "\u2003";

/** Kinds of a match by their names in words. */
export const KINDS = Object.fromEntries(
  ["copy", "resized", "crop", "edited", "mirrored", "rotated", "view"].map((kind) => [kind, text(`kind.${kind}`)]),
);

/** Return the filters of a state that the server applies. */
export const serverFilters = (state) => Object.fromEntries(FILTERS.map((key) => [key, state[key]]));

/** Return the filters in use, as pairs of name and value. */
export const activeFilters = (state) => ALL.filter((key) => state[key] !== undefined).map((key) => [key, state[key]]);

/** Return a state without any filter. */
export const withoutFilters = (state) => ({ ...state, ...Object.fromEntries(ALL.map((key) => [key, undefined])) });

/** Say a filter in a few words. */
export function filterText(key, value, folderName = lastPart) {
  const shown = { under: folderName, taken_from: day, taken_before: day, kind: (kind) => KINDS[kind] ?? kind }[key];
  return text(`filters.chip_${key}`, { value: shown ? shown(value) : value });
}

/**
 * Build the panel and the chips of a page. With `kinds`, results can be filtered by how they differ from the query. What
 * is chosen is put in the address.
 */
export function createFilters(id, { kinds = false } = {}) {
  let folders = null;
  const fields = {
    under: element("select", {}, element("option", { value: "", text: text("filters.any") })),
    taken_from: element("input", { type: "date", max: "2999-12-31" }),
    taken_before: element("input", { type: "date", max: "2999-12-31" }),
    min_side: element("input", { type: "number", min: "1", max: "1000000", step: "1", placeholder: text("filters.any_value") }),
    file_name: element("input", { type: "text", maxlength: "255", autocomplete: "off", spellcheck: "false", placeholder: text("filters.any_value") }),
  };
  if (kinds) {
    const options = Object.entries(KINDS).map(([value, name]) => element("option", { value, text: name }));
    fields.kind = element("select", {}, element("option", { value: "", text: text("filters.any") }), ...options);
  }
  const rows = Object.entries(fields).map(([key, field]) => {
    field.id = `${id}-${key}`;
    field.addEventListener("change", () => change(key, field));
    return element("label", { for: field.id }, element("span", { text: text(`filters.field_${key}`) }), field);
  });
  const panel = createPopover(text("filters.button"), ...rows);
  panel.classList.add("filters");
  const chips = element("div", { class: "filter-chips", role: "group", "aria-label": text("filters.in_use"), hidden: true });
  panel.addEventListener("toggle", () => panel.open && loadFolders());

  function change(key, field) {
    const value = readField(key, field);
    if (value === null || value === current()[key]) return;
    const next = { ...current(), [key]: value, compare: undefined };
    const early = next.taken_from && next.taken_before && next.taken_before <= next.taken_from;
    field.setCustomValidity(early ? text("filters.range") : "");
    if (field.reportValidity()) go(next);
  }

  async function loadFolders() {
    if (folders) return;
    const loaded = api.folders();
    folders = [];
    try {
      ({ folders } = await loaded);
      showFolders(current().under);
      showChips(current());
    } catch {
      folders = null; // asked again when the panel is opened
    }
  }

  const folderName = (value) => folders?.find(({ folder }) => folder === value)?.name ?? lastPart(value);

  function showFolders(value) {
    const known = (folders ?? []).filter(({ name }) => name !== ".");
    const options = known.map(({ folder, name, photos }) => {
      const parts = name.split("/");
      return element("option", { value: folder, text: INDENT.repeat(parts.length - 1) + text("filters.folder", { name: parts.at(-1), count: photos }) });
    });
    if (value && !known.some(({ folder }) => folder === value)) options.push(element("option", { value, text: lastPart(value) }));
    fields.under.replaceChildren(element("option", { value: "", text: text("filters.any") }), ...options);
    fields.under.value = value ?? "";
  }

  function showChips(state) {
    const active = activeFilters(state).filter(([key]) => fields[key]);
    const hadFocus = [...chips.children].indexOf(document.activeElement);
    const removers = active.map(([key, value]) => {
      const words = filterText(key, value, folderName);
      const label = text("filters.remove", { filter: words });
      const chip = button({ text: words, class: "chip filter", press: () => go({ ...current(), [key]: undefined, compare: undefined }), title: label, "aria-label": label });
      chip.append(icon("close"));
      return chip;
    });
    if (active.length > 1) {
      removers.push(button({ text: text("filters.remove_all_short"), class: "chip filter", press: () => go({ ...withoutFilters(current()), compare: undefined }), "aria-label": text("filters.remove_all") }));
    }
    chips.replaceChildren(...removers);
    chips.hidden = !active.length;
    panel.querySelector("summary").textContent = active.length ? text("filters.button_count", { count: active.length }) : text("filters.button");
    if (hadFocus >= 0) (removers[Math.min(hadFocus, removers.length - 1)] ?? panel.querySelector("summary")).focus();
  }

  return {
    panel,
    chips,
    /** Show the filters of a state. */
    show(state) {
      for (const [key, field] of Object.entries(fields)) {
        field.setCustomValidity("");
        if (key !== "under") field.value = state[key] ?? "";
      }
      showFolders(state.under);
      showChips(state);
      if (state.under) loadFolders();
    },
    /** Ask for the folders again: the collection has changed. */
    reset() {
      folders = null;
    },
  };
}

/** Return the value of a field, undefined if it is empty, null if it is incomplete. */
function readField(key, field) {
  const value = field.value.trim();
  if (!value) return field.validity.badInput ? null : undefined;
  if (key === "min_side") return field.checkValidity() ? Number(value) : null;
  if (key === "file_name" && value.includes("/")) {
    field.setCustomValidity(text("filters.slash"));
    field.reportValidity();
    return null;
  }
  return field.type === "date" && value < "1000" ? null : value; // the year is still being typed
}

function day(value) {
  return date(`${value}T12:00:00`, { year: "numeric", month: "short", day: "numeric" });
}

const lastPart = (folder) => folder.split(/[\\/]/).filter(Boolean).at(-1) ?? folder;

/** Say that no photo passes the filters, with a button that removes them. */
export function noMatch() {
  return {
    title: text("filters.no_match"),
    text: text("filters.no_match_hint"),
    icon: "search",
    actions: [button({ text: text("filters.remove_all"), press: () => go({ ...withoutFilters(current()), compare: undefined }) })],
  };
}

/** Say how many photos there are. */
export const photosText = (state, total) => text(activeFilters(state).length ? "filters.matching" : "count.photos", { count: total });
