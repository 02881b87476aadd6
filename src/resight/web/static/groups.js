/** The groups page: the collection's photos sorted by what they show. */

import * as api from "./api.js";
import { announce, button, count, debounce, element, emptyState, errorState, icon, loading, shortDistance } from "./dom.js";
import { groupItem } from "./group.js";
import { createMove, createPastMoves, undoMove } from "./move.js";
import { createNamed } from "./named.js";
import { createSelection, ofEachContent } from "./selection.js";
import { go } from "./state.js";
import { createUndoLine } from "./undo.js";

const FILTERS = [[undefined, "All"], ["same-thing", "Same thing"], ["near-duplicate", "Near-duplicates"]];
const AHEAD_PX = 1200; // below the window that are loaded
const PAUSE_MS = 250;

/** Create the page; `info` describes the collection, and `changed` is called when photos or decisions have changed. */
export function createGroups(root, { info, changed }) {
  let state = null;
  let next = null;
  let shown = 0;
  let complete = true;
  let busy = false;
  let controller = new AbortController();
  let loaded = null; // the limit and filters of the groups that are loaded
  const key = () => JSON.stringify([state.limit, state.size, state.folder]);
  let wanted = 0; // groups that were shown before a reload

  const undo = createUndoLine({ undone: () => reload() });
  const named = createNamed({
    failed: undo.fail,
    removed: (name, photos) => {
      undo.say(`The name “${name}” was removed.`, photos.length ? () => api.nameThing(name, photos) : undefined);
      reload();
    },
  });
  const moving = createMove({
    moved: (text, move) => {
      undo.say(text, move === null ? undefined : () => undoMove(move));
      reload();
    },
  });
  const past = createPastMoves({
    failed: undo.fail,
    undone: (text) => {
      undo.say(text);
      reload();
    },
  });
  const selection = createSelection({ apart, same, name, move: openMove });

  const slider = element("input", { type: "range", id: "group-limit", min: "0", max: "1", step: "any", disabled: true });
  const value = element("output", { for: "group-limit" });
  const reset = button({ text: "Use the estimate", icon: "refresh", press: () => go({ ...state, limit: undefined }), hidden: true });
  const downloads = ["csv", "json"].map((format) =>
    element("a", { class: "button", download: true, href: api.resourceUrl(`groups.${format}`), "aria-label": `Download the groups as ${format.toUpperCase()}` }, icon("download"), format.toUpperCase()),
  );
  const filters = FILTERS.map(([kind, text]) => [
    kind, button({ text, class: "chip", press: () => go({ ...state, kind }, { replace: true }) }),
  ]);
  const filter = element("div", { class: "layers", role: "group", "aria-label": "Kind of group" }, ...filters.map(([, chip]) => chip));
  const size = element("input", { type: "number", id: "group-size", min: "2", step: "1", placeholder: "2" });
  const folder = element("input", { type: "text", id: "group-folder", placeholder: "any folder", autocomplete: "off", spellcheck: "false" });
  const folderLabel = element("label", { hidden: true }, "In or below", folder);
  size.addEventListener("change", () => go({ ...state, size: size.value > 2 ? Math.round(size.value) : undefined }));
  folder.addEventListener("change", () => go({ ...state, folder: folder.value.trim() || undefined }));
  const list = element("ol", { class: "group-list", "aria-label": "Groups" });
  const end = element("div", { class: "state" });
  const first = element("div", { class: "state", hidden: true }, loading("Grouping the photos"));
  root.append(
    element("div", { class: "page-head" },
      element("h1", { id: "groups-heading", text: "Groups" }),
      element("p", { class: "lead", text: "Photos that show the same thing, and near-duplicates, found automatically." })),
    element("div", { class: "group-tools" },
      filter, element("label", { class: "limit", for: "group-limit" }, "Distance limit", value), slider, reset,
      element("span", { class: "spring" }), ...downloads),
    element("details", { class: "group-filter" }, element("summary", { text: "Filter" }),
      element("div", {}, element("label", {}, "Photos, at least", size), folderLabel)),
    past.list, named.section, first, list, end, element("div", { class: "dock" }, undo.line, selection.bar), moving.dialog,
  );
  const applyLimit = debounce(() => {
    go({ ...state, limit: Number(Number(slider.value).toPrecision(4)) }, { replace: state.limit !== undefined });
  }, PAUSE_MS);
  slider.addEventListener("input", () => {
    value.textContent = shortDistance(Number(slider.value));
    applyLimit();
  });
  new IntersectionObserver(([entry]) => entry.isIntersecting && loadMore(), { rootMargin: `${AHEAD_PX}px` }).observe(end);

  /** Split photos from the rest of their group. */
  function apart(photos, [group]) {
    const chosen = new Set(photos.map(({ version }) => version));
    const rest = ofEachContent(group.photos.filter(({ version }) => !chosen.has(version)));
    const copy = group.photos.find(({ id, version }) => chosen.has(version) && !photos.some((photo) => photo.id === id));
    if (copy) return undo.fail({ title: "Not possible", message: `${copy.name} is an identical copy of a selected photo; select both` });
    return decide(`${count(photos.length, "photo")} split from the group.`, "different", ofEachContent(photos), rest);
  }

  /** Join the groups of photos. */
  function same(photos) {
    const distinct = ofEachContent(photos);
    if (distinct.length < 2) return undo.say("These are identical copies, which always show the same thing.");
    return decide(`Remembered: ${count(distinct.length, "photo")} of the same thing.`, "same", distinct);
  }

  async function decide(text, verdict, photos, others) {
    try {
      const ids = (list) => list?.map(({ id }) => id);
      const decision = await api.decide(verdict, ids(photos), ids(others));
      undo.say(text, () => api.undoDecision(decision));
      reload();
    } catch (problem) {
      undo.fail(problem);
    }
  }

  async function name(photos, _, text) {
    try {
      const { name: given, changed: ids } = await api.nameThing(text, photos.map(({ id }) => id));
      const message = ids.length ? `${count(ids.length, "photo")} named “${given}”.` : `These photos were named “${given}” before.`;
      undo.say(message, ids.length ? () => api.removeName(given, ids) : undefined);
      reload();
    } catch (problem) {
      undo.fail(problem);
    }
  }

  async function openMove(photos) {
    moving.open(photos, await info());
  }

  /** Load the shown groups again after a change, and keep the place. */
  function reload() {
    const before = shown;
    list.style.minHeight = `${list.offsetHeight}px`;
    changed();
    wanted = before;
    loaded = key();
    load();
  }

  async function load() {
    named.load();
    info().then(({ moves_allowed: allowed, local }) => {
      folderLabel.hidden = !local;
      selection.allowMoves(allowed);
      if (allowed) past.load();
    }, () => {}); // the groups themselves report the problem
    controller.abort();
    controller = new AbortController();
    next = null;
    shown = 0;
    complete = false;
    busy = false;
    list.classList.add("waiting");
    list.inert = true; // its photos may be gone
    if (!list.childElementCount) waitForFirst(true);
    await loadMore();
  }

  async function loadMore() {
    if (busy || complete || root.hidden) return;
    busy = true;
    const { signal } = controller;
    try {
      const page = await api.groups({ limit: state.limit, after: next, min_photos: state.size, under: state.folder }, signal);
      if (signal.aborted) return;
      if (!shown) showFirst(page);
      list.append(...page.groups.map((group, i) => groupItem(group, shown + i, {
        selection, name: (text, photos) => name(photos, null, text),
      })));
      shown += page.groups.length;
      next = page.next ?? null;
      complete = next === null;
      showEnd();
    } catch (problem) {
      if (signal.aborted) return;
      list.classList.remove("waiting");
      list.inert = false;
      waitForFirst(false);
      end.replaceChildren(errorState(problem, () => loadMore()));
      loaded = null;
      busy = false;
      return;
    }
    busy = false;
    if (shown < wanted && !complete) return loadMore();
    list.style.minHeight = "";
    loadIfNear();
  }

  /** Show that the photos are being grouped, in a line that vanishes rather than moves (layout shift). */
  function waitForFirst(waiting) {
    first.hidden = !waiting;
    end.hidden = waiting;
  }

  /** Load on while the end is near the window, as groups of other kinds take no room. */
  function loadIfNear() {
    if (end.getBoundingClientRect().top < window.innerHeight + AHEAD_PX) loadMore();
  }

  function showFirst({ limit, estimated_limit: estimated }) {
    list.replaceChildren();
    list.classList.remove("waiting");
    list.inert = false;
    waitForFirst(false);
    const max = Math.max(2 * estimated, limit, 1e-6);
    slider.max = String(max);
    slider.step = String(max / 400);
    slider.value = String(limit);
    slider.disabled = false;
    value.textContent = shortDistance(limit);
    reset.hidden = state.limit === undefined;
    for (const link of downloads) {
      const url = new URL(link.href);
      // Without a limit of the person's own, groups are by evidence.
      const shown = { limit: state.limit, min_photos: state.size, under: state.folder };
      for (const [name, value] of Object.entries(shown)) {
        if (value === undefined) url.searchParams.delete(name);
        else url.searchParams.set(name, String(value));
      }
      link.href = url.href;
    }
  }

  function showEnd() {
    announce(`${count(shown, "group")} shown`);
    if (!complete) end.replaceChildren(loading("Loading more"));
    else if (shown) end.replaceChildren(element("p", { class: "end", text: `${count(shown, "group")}.` }));
    else if (state.size !== undefined || state.folder !== undefined) end.replaceChildren(emptyState({ title: "No such groups", text: "No groups pass the filter." }));
    else end.replaceChildren(emptyState({ title: "No groups at this distance", text: "A larger limit joins more photos." }));
  }

  return {
    show(current) {
      state = current;
      list.dataset.kind = state.kind ?? "";
      for (const [kind, chip] of filters) chip.setAttribute("aria-pressed", String(kind === state.kind));
      size.value = state.size ?? "";
      folder.value = state.folder ?? "";
      if (state.size !== undefined || state.folder !== undefined) root.querySelector(".group-filter").open = true;
      if (loaded === key()) return loadIfNear();
      loaded = key();
      load();
    },
    /** Load the groups again next time: the collection has changed. */
    reset() {
      loaded = null;
      wanted = 0;
      selection.clear();
    },
  };
}
