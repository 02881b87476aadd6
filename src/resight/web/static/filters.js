/** Filters of photos: a panel to choose them, and chips that show those in use and remove them. */

import * as api from "./api.js";
import { button, count, createPopover, element, icon } from "./dom.js";
import { current, go } from "./state.js";
import { KINDS } from "./verdict.js";

const FILTERS = ["under", "taken_from", "taken_before", "min_side", "file_name"]; // of the server
const ALL = [...FILTERS, "kind"];
const INDENT = "\u2003";

/** Return the filters of a state that the server applies. */
export const serverFilters = (state) => Object.fromEntries(FILTERS.map((key) => [key, state[key]]));

/** Return the filters in use, as pairs of name and value. */
export const activeFilters = (state) => ALL.filter((key) => state[key] !== undefined).map((key) => [key, state[key]]);

/** Return a state without any filter. */
export const withoutFilters = (state) => ({ ...state, ...Object.fromEntries(ALL.map((key) => [key, undefined])) });

/** Say a filter in a few words. */
export function filterText(key, value, folderName = lastPart) {
  if (key === "under") return `Folder: ${folderName(value)}`;
  if (key === "taken_from") return `From ${day(value)}`;
  if (key === "taken_before") return `Before ${day(value)}`;
  if (key === "min_side") return `At least ${value.toLocaleString("en")} px`;
  if (key === "file_name") return `Name: “${value}”`;
  return `Only: ${KINDS[value] ?? value}`;
}

/**
 * Build the panel and the chips of a page. With `kinds`, results can be filtered by how they differ from the query. What
 * is chosen is put in the address.
 */
export function createFilters(id, { kinds = false } = {}) {
  let folders = null;
  const fields = {
    under: element("select", {}, element("option", { value: "", text: "Any" })),
    taken_from: element("input", { type: "date", max: "2999-12-31" }),
    taken_before: element("input", { type: "date", max: "2999-12-31" }),
    min_side: element("input", { type: "number", min: "1", max: "1000000", step: "1", placeholder: "any" }),
    file_name: element("input", { type: "text", maxlength: "255", autocomplete: "off", spellcheck: "false", placeholder: "any" }),
  };
  if (kinds) {
    const options = Object.entries(KINDS).map(([value, text]) => element("option", { value, text }));
    fields.kind = element("select", {}, element("option", { value: "", text: "Any" }), ...options);
  }
  const labels = {
    under: "In folder", taken_from: "Taken from", taken_before: "Taken before", min_side: "Shorter side, at least", file_name: "Name contains", kind: "Kind of match",
  };
  const rows = Object.entries(fields).map(([key, field]) => {
    field.id = `${id}-${key}`;
    field.addEventListener("change", () => change(key, field));
    return element("label", { for: field.id }, element("span", { text: labels[key] }), field);
  });
  const panel = createPopover("Filter", ...rows);
  panel.classList.add("filters");
  const chips = element("div", { class: "filter-chips", role: "group", "aria-label": "Filters in use", hidden: true });
  panel.addEventListener("toggle", () => panel.open && loadFolders());

  function change(key, field) {
    const value = readField(key, field);
    if (value === null || value === current()[key]) return;
    const next = { ...current(), [key]: value, compare: undefined };
    const early = next.taken_from && next.taken_before && next.taken_before <= next.taken_from;
    field.setCustomValidity(early ? "Choose a range that ends after it begins." : "");
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
      return element("option", { value: folder, text: `${INDENT.repeat(parts.length - 1)}${parts.at(-1)} (${photos.toLocaleString("en")})` });
    });
    if (value && !known.some(({ folder }) => folder === value)) options.push(element("option", { value, text: lastPart(value) }));
    fields.under.replaceChildren(element("option", { value: "", text: "Any" }), ...options);
    fields.under.value = value ?? "";
  }

  function showChips(state) {
    const active = activeFilters(state).filter(([key]) => fields[key]);
    const hadFocus = [...chips.children].indexOf(document.activeElement);
    const removers = active.map(([key, value]) => {
      const text = filterText(key, value, folderName);
      const label = `Remove the filter ${text}`;
      const chip = button({ text, class: "chip filter", press: () => go({ ...current(), [key]: undefined, compare: undefined }), title: label, "aria-label": label });
      chip.append(icon("close"));
      return chip;
    });
    if (active.length > 1) {
      removers.push(button({ text: "Remove all", class: "chip filter", press: () => go({ ...withoutFilters(current()), compare: undefined }), "aria-label": "Remove all filters" }));
    }
    chips.replaceChildren(...removers);
    chips.hidden = !active.length;
    panel.querySelector("summary").textContent = active.length ? `Filter (${active.length})` : "Filter";
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
  const text = field.value.trim();
  if (!text) return field.validity.badInput ? null : undefined;
  if (key === "min_side") return field.checkValidity() ? Number(text) : null;
  if (key === "file_name" && text.includes("/")) {
    field.setCustomValidity("A file name has no slash; choose the folder above.");
    field.reportValidity();
    return null;
  }
  return field.type === "date" && text < "1000" ? null : text; // the year is still being typed
}

function day(value) {
  const date = new Date(`${value}T12:00:00`);
  return date.toLocaleDateString("en", { year: "numeric", month: "short", day: "numeric" });
}

const lastPart = (folder) => folder.split(/[\\/]/).filter(Boolean).at(-1) ?? folder;

/** Say that no photo passes the filters, with a button that removes them. */
export function noMatch() {
  return {
    title: "No photos match the filters",
    text: "Remove some of them to see more.",
    icon: "search",
    actions: [button({ text: "Remove all filters", press: () => go({ ...withoutFilters(current()), compare: undefined }) })],
  };
}

/** Say how many photos there are. */
export const photosText = (state, total) => `${count(total, "photo")}${activeFilters(state).length ? " that match the filters" : ""}`;
