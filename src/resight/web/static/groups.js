/** The groups page: the collection's photos sorted by what they show. */

import * as api from "./api.js";
import { announce, button, debounce, element, emptyState, errorState, icon, loading, shortDistance } from "./dom.js";
import { groupItem } from "./group.js";
import { createMove, createPastMoves, undoMove } from "./move.js";
import { createNamed } from "./named.js";
import { createSelection, ofEachContent } from "./selection.js";
import { go } from "./state.js";
import { text } from "./texts.js";
import { createUndoLine } from "./undo.js";

const KINDS = ["same-thing", "near-duplicate"];
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
      undo.say(text("names.removed", { name }), photos.length ? () => api.nameThing(name, photos) : undefined);
      reload();
    },
  });
  const moving = createMove({
    moved: (pieces, move) => {
      undo.say(pieces, move === null ? undefined : () => undoMove(move));
      reload();
    },
  });
  const past = createPastMoves({
    failed: undo.fail,
    undone: (pieces) => {
      undo.say(pieces);
      reload();
    },
  });
  const selection = createSelection({ apart, same, name, move: openMove });

  const slider = element("input", { type: "range", id: "group-limit", min: "0", max: "1", step: "any", disabled: true });
  const value = element("output", { for: "group-limit" });
  const reset = button({ text: text("groups.estimate"), icon: "refresh", press: () => go({ ...state, limit: undefined }), hidden: true });
  const downloads = ["csv", "json"].map((format) =>
    element("a", { class: "button", download: true, href: api.resourceUrl(`groups.${format}`), "aria-label": text("groups.download", { format: format.toUpperCase() }) }, icon("download"), format.toUpperCase()),
  );
  const filters = [undefined, ...KINDS].map((kind) => [
    kind, button({ text: text(kind ? `groups.filter_${kind}` : "groups.all"), class: "chip", press: () => go({ ...state, kind }, { replace: true }) }),
  ]);
  const filter = element("div", { class: "layers", role: "group", "aria-label": text("groups.kind") }, ...filters.map(([, chip]) => chip));
  const size = element("input", { type: "number", id: "group-size", min: "2", step: "1", placeholder: "2" });
  const folder = element("input", { type: "text", id: "group-folder", placeholder: text("groups.any_folder"), autocomplete: "off", spellcheck: "false" });
  const folderLabel = element("label", { hidden: true }, text("groups.folder"), folder);
  size.addEventListener("change", () => go({ ...state, size: size.value > 2 ? Math.round(size.value) : undefined }));
  folder.addEventListener("change", () => go({ ...state, folder: folder.value.trim() || undefined }));
  const list = element("ol", { class: "group-list", "aria-label": text("groups.list") });
  const end = element("div", { class: "state" });
  const first = element("div", { class: "state", hidden: true }, loading(text("groups.grouping")));
  root.append(
    element("div", { class: "page-head" },
      element("h1", { id: "groups-heading", text: text("groups.heading") }),
      element("p", { class: "lead", text: text("groups.lead") })),
    element("div", { class: "group-tools" },
      filter, element("label", { class: "limit", for: "group-limit" }, text("groups.limit"), value), slider, reset,
      element("span", { class: "spring" }), ...downloads),
    element("details", { class: "group-filter" }, element("summary", { text: text("groups.filter") }),
      element("div", {}, element("label", {}, text("groups.min_photos"), size), folderLabel)),
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
    if (copy) return undo.fail({ title: text("groups.not_possible"), message: text("groups.copy_selected", { name: copy.name }), own: true });
    return decide(text("groups.split", { count: photos.length }), "different", ofEachContent(photos), rest);
  }

  /** Join the groups of photos. */
  function same(photos) {
    const distinct = ofEachContent(photos);
    if (distinct.length < 2) return undo.say(text("groups.only_copies"));
    return decide(text("groups.joined", { count: distinct.length }), "same", distinct);
  }

  async function decide(done, verdict, photos, others) {
    try {
      const ids = (list) => list?.map(({ id }) => id);
      const decision = await api.decide(verdict, ids(photos), ids(others));
      undo.say(done, () => api.undoDecision(decision));
      reload();
    } catch (problem) {
      undo.fail(problem);
    }
  }

  async function name(photos, _, chosen) {
    try {
      const { name: given, changed: ids } = await api.nameThing(chosen, photos.map(({ id }) => id));
      const message = text(ids.length ? "names.named" : "names.before", { count: ids.length, name: given });
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
        selection, name: (chosen, photos) => name(photos, null, chosen),
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
  }

  /** Let the downloads have what is shown; without a limit of the person's own, groups are by evidence. */
  function linkDownloads() {
    const shown = { limit: state.limit, min_photos: state.size, under: state.folder, kind: state.kind };
    for (const link of downloads) {
      const url = new URL(link.href);
      for (const [name, value] of Object.entries(shown)) {
        if (value === undefined) url.searchParams.delete(name);
        else url.searchParams.set(name, String(value));
      }
      link.href = url.href;
    }
  }

  function showEnd() {
    const number = state.kind ? list.querySelectorAll(`.${state.kind}`).length : shown;
    announce(text("groups.shown", { count: number }));
    if (!complete) end.replaceChildren(loading(text("page.loading_more")));
    else if (number) end.replaceChildren(element("p", { class: "end", text: text("groups.end", { count: number }) }));
    else if (shown || state.size !== undefined || state.folder !== undefined) end.replaceChildren(emptyState({ title: text("groups.none_pass"), text: text("groups.none_pass_text") }));
    else end.replaceChildren(emptyState({ title: text("groups.none"), text: text("groups.none_text") }));
  }

  return {
    show(current) {
      state = current;
      list.dataset.kind = state.kind ?? "";
      for (const [kind, chip] of filters) chip.setAttribute("aria-pressed", String(kind === state.kind));
      linkDownloads();
      size.value = state.size ?? "";
      folder.value = state.folder ?? "";
      if (state.size !== undefined || state.folder !== undefined) root.querySelector(".group-filter").open = true;
      if (loaded === key()) {
        if (complete) showEnd();
        return loadIfNear();
      }
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
