/** The start page: choose a photo, or start from one of the collection. */

import * as api from "./api.js";
import { createBegin } from "./begin.js";
import { announce, button, count, element, emptyState, errorState, fieldForm, loading } from "./dom.js";
import { activeFilters, createFilters, noMatch, photosText, serverFilters } from "./filters.js";
import { createGrid, photoLink } from "./grid.js";
import { current, formatHash, go } from "./state.js";

const PAGE_SIZE = 200;
const ORDERS = [["", "As added"], ["added", "Last added first"], ["date", "Newest first"], ["name", "By name"]];

export function createHome(root, page) {
  const title = element("h1", { id: "home-heading", text: "Find it again." });
  const lead = element("p", { class: "lead", text: leadText("the photos of this collection") });
  const link = fieldForm({
    input: { type: "url", name: "link", placeholder: "https://…", "aria-label": "Address of a photo" },
    text: "Search with this link",
    submit: page.searchLink,
  });
  link.hidden = true; // until the server says that it loads photos from links
  const heading = element("h2", { class: "section-title", text: "Or start from one of these" });
  const filters = createFilters("home");
  const order = element("select", { id: "home-sort", "aria-label": "Order" }, ...ORDERS.map(([value, text]) => element("option", { value, text })));
  order.addEventListener("change", () => go({ ...current(), sort: order.value || undefined }));
  const bar = element("div", { class: "results-bar", hidden: true }, heading, element("span", { class: "spring" }), order, filters.panel);
  const list = element("ul");
  const status = element("div", { class: "state" });
  const chooser = element(
    "div", { class: "chooser" },
    button({ text: "Choose a photo", icon: "photo", class: "button primary", press: page.pick }),
    element("p", { class: "or" }, "or drop one anywhere, or paste it"),
  );
  const begin = createBegin({
    info: page.info,
    ended() {
      page.changed();
      if (!root.hidden) load();
    },
  });
  root.append(
    element("div", { class: "hero" }, title, lead, begin.block, chooser, link),
    bar, filters.chips, list, status,
  );

  let photos = [];
  let next = null;
  let controller = null; // of the request in progress
  let state = { page: "home" };
  let loaded = null; // the key of the list that is shown
  const fill = (tile, photo, image) => tile.append(photoLink(photo, image));
  const grid = createGrid(list, { label: "Photos of the collection", fill, onNearEnd: () => loadMore() });

  /** Return what tells one list from another. */
  const listKey = () => formatHash({ page: "home", ...serverFilters(state), sort: state.sort });

  async function load() {
    stop();
    const key = listKey();
    if (!photos.length) status.replaceChildren(loading("Opening the collection"));
    try {
      const info = await page.info();
      showBeginning(info);
      if (!begin.block.hidden) {
        status.replaceChildren();
        return;
      }
      const scope = info.photos ? `${count(info.photos, "photo")} in “${info.name}”` : "the other photos";
      lead.textContent = leadText(scope);
      link.hidden = !info.urls_allowed;
      bar.hidden = !info.photos;
      if (!info.photos) {
        status.replaceChildren(emptyCollection(info));
        return;
      }
      if (key === listKey()) await loadMore();
    } catch (problem) {
      status.replaceChildren(errorState(problem, load));
    }
  }

  /** Ask for a folder, as long as there are no photos and one may be named; else for a photo. */
  function showBeginning(info) {
    const begins = !info.photos && info.folders_allowed;
    const hadFocus = begin.block.contains(document.activeElement) || document.activeElement === document.body;
    if (!begins && !begin.block.hidden && hadFocus) document.getElementById("main").focus({ preventScroll: true });
    begin.block.hidden = !begins;
    chooser.hidden = begins;
    title.textContent = begins ? "Choose a folder with photos" : "Find it again.";
    if (!begins) return;
    lead.textContent = `Resight describes each photo in it once, for the collection “${info.name}”, so that it can be searched. The photos themselves are never modified.`;
    link.hidden = true;
    bar.hidden = true;
    begin.show(info);
  }

  async function loadMore() {
    const key = listKey();
    const keep = loaded === key;
    if (controller || (keep && next === null)) return;
    controller = new AbortController();
    const { signal } = controller;
    if (!keep) list.classList.add("waiting");
    try {
      const query = { ...serverFilters(state), sort: state.sort, after: keep ? next : undefined, limit: PAGE_SIZE };
      const page = await api.photos(query, signal);
      if (signal.aborted) return;
      api.cachePhotos(page.photos);
      photos = (keep ? photos : []).concat(page.photos);
      next = page.next ?? null;
      loaded = key;
      status.replaceChildren(...(page.total ? [] : [emptyState(noMatch())]));
      heading.textContent = activeFilters(state).length ? photosText(state, page.total) : "Or start from one of these";
      if (keep) announce(`${count(photos.length, "photo")} shown`);
      else if (activeFilters(state).length) announce(heading.textContent);
    } catch (problem) {
      if (signal.aborted) return;
      stop();
      status.replaceChildren(errorState(problem, loadMore));
      return;
    }
    stop();
    grid.setPhotos(photos, { keep, total: next === null ? photos.length : undefined });
  }

  /** End the request in progress, if there is one. */
  function stop() {
    controller?.abort();
    controller = null;
    list.classList.remove("waiting");
  }

  return {
    show(next) {
      state = next;
      filters.show(state);
      order.value = state.sort ?? "";
      if (loaded === listKey()) {
        stop();
        grid.refresh();
      } else load();
    },
    /** Drop the loaded photos: the collection has changed. */
    reset() {
      photos = [];
      next = null;
      loaded = null;
      filters.reset();
      grid.setPhotos([]);
    },
  };
}

function leadText(scope) {
  return `Choose a photo, or a region of it, to see which of ${scope} show the same object, building or scene.`;
}

function emptyCollection({ indexing }) {
  const actions = [element("a", { class: "button", href: "#/collection", text: "See the collection" })];
  if (indexing) return emptyState({ title: "The first photos are being indexed", actions });
  const code = "resight index PHOTOS -c COLLECTION";
  return emptyState({ title: "This collection has no photos yet", text: "Add a folder of photos:", code, actions });
}
