/** The groups page: the collection's photos sorted by what they show. */

import * as api from "./api.js";
import { announce, button, count, debounce, element, emptyState, errorState, icon, loading, shortDistance } from "./dom.js";
import { photoLink, shownAspect } from "./grid.js";
import { go } from "./state.js";

const KINDS = { "same-thing": "The same thing", "near-duplicate": "Near-duplicates" };
const FILTERS = [[undefined, "All"], ["same-thing", "Same thing"], ["near-duplicate", "Near-duplicates"]];
const AHEAD_PX = 1200; // below the window that are loaded
const MAX_SHOWN = 24; // photos of a group until all are requested
const PAUSE_MS = 250;

export function createGroups(root) {
  let state = null;
  let next = null;
  let shown = 0;
  let complete = true;
  let busy = false;
  let controller = new AbortController();
  let shownLimit = NaN;

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
  const list = element("ol", { class: "group-list", "aria-label": "Groups" });
  const end = element("div", { class: "state" });
  root.append(
    element("div", { class: "page-head" },
      element("h1", { id: "groups-heading", text: "Groups" }),
      element("p", { class: "lead", text: "Photos that show the same thing, and near-duplicates, found automatically." })),
    element("div", { class: "group-tools" },
      filter, element("label", { class: "limit", for: "group-limit" }, "Distance limit", value), slider, reset,
      element("span", { class: "spring" }), ...downloads),
    list, end,
  );
  const applyLimit = debounce(() => {
    go({ ...state, limit: Number(Number(slider.value).toPrecision(4)) }, { replace: state.limit !== undefined });
  }, PAUSE_MS);
  slider.addEventListener("input", () => {
    value.textContent = shortDistance(Number(slider.value));
    applyLimit();
  });
  new IntersectionObserver(([entry]) => entry.isIntersecting && loadMore(), { rootMargin: `${AHEAD_PX}px` }).observe(end);

  async function load() {
    controller.abort();
    controller = new AbortController();
    next = null;
    shown = 0;
    complete = false;
    busy = false;
    list.classList.add("waiting");
    if (!list.childElementCount) end.replaceChildren(loading("Grouping the photos"));
    await loadMore();
  }

  async function loadMore() {
    if (busy || complete || root.hidden) return;
    busy = true;
    const { signal } = controller;
    try {
      const page = await api.groups({ limit: state.limit, after: next }, signal);
      if (signal.aborted) return;
      if (!shown) showFirst(page);
      list.append(...page.groups.map((group, i) => groupItem(group, shown + i)));
      shown += page.groups.length;
      next = page.next ?? null;
      complete = next === null;
      showEnd();
    } catch (problem) {
      if (signal.aborted) return;
      list.classList.remove("waiting");
      end.replaceChildren(errorState(problem, () => loadMore()));
      shownLimit = NaN;
      busy = false;
      return;
    }
    busy = false;
    loadIfNear();
  }

  /** Load on while the end is near the window, as groups of other kinds take no room. */
  function loadIfNear() {
    if (end.getBoundingClientRect().top < window.innerHeight + AHEAD_PX) loadMore();
  }

  function showFirst({ limit, estimated_limit: estimated }) {
    list.replaceChildren();
    list.classList.remove("waiting");
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
      if (state.limit === undefined) url.searchParams.delete("limit");
      else url.searchParams.set("limit", String(limit));
      link.href = url.href;
    }
  }

  function showEnd() {
    announce(`${count(shown, "group")} shown`);
    if (!complete) end.replaceChildren(loading("Loading more"));
    else if (shown) end.replaceChildren(element("p", { class: "end", text: `${count(shown, "group")}.` }));
    else end.replaceChildren(emptyState({ title: "No groups at this distance", text: "A larger limit joins more photos." }));
  }

  return {
    show(current) {
      state = current;
      list.dataset.kind = state.kind ?? "";
      for (const [kind, chip] of filters) chip.setAttribute("aria-pressed", String(kind === state.kind));
      if (shownLimit === (state.limit ?? null)) loadIfNear();
      if (shownLimit === (state.limit ?? null)) return;
      shownLimit = state.limit ?? null;
      load();
    },
    /** Drop the loaded groups: the collection has changed. */
    reset() {
      shownLimit = NaN;
      list.replaceChildren();
    },
  };
}

function groupItem({ kind, photos, best }, index) {
  api.cachePhotos(photos);
  const strip = element("ul", { class: "strip" }, ...photos.slice(0, MAX_SHOWN).map((photo) => photoItem(photo, best)));
  const hidden = photos.length - MAX_SHOWN;
  const all = hidden > 0 && button({
    text: count(hidden, "more photo"),
    press: () => {
      strip.append(...photos.slice(MAX_SHOWN).map((photo) => photoItem(photo, best)));
      all.remove();
    },
  });
  const id = `group-${index}`;
  const heading = element("h2", { id },
    element("span", { class: "kind", text: KINDS[kind] ?? kind }), element("span", { class: "size", text: count(photos.length, "photo") }));
  return element("li", { class: `group ${kind}`, "aria-labelledby": id }, heading, strip, all);
}

function photoItem(photo, best) {
  const image = element("img", { src: api.thumbnailUrl(photo), alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => image.classList.add("ready"));
  const badge = photo.id === best && element("span", { class: "badge same", text: "Best", title: "By resolution, sharpness and size" });
  const item = element("li", {}, photoLink(photo, image), badge);
  item.style.setProperty("--aspect", String(shownAspect(photo)));
  return item;
}
