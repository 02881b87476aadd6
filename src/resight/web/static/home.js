/** The start page: choose a photo, or start from one of the collection. */

import * as api from "./api.js";
import { announce, button, element, emptyState, errorState, fieldForm, loading } from "./dom.js";
import { activeFilters, createFilters, noMatch, photosText, serverFilters } from "./filters.js";
import { createGrid, photoLink } from "./grid.js";
import { current, formatHash, go } from "./state.js";
import { text } from "./texts.js";

const PAGE_SIZE = 200;
const ORDERS = [["", "home.as_added"], ["added", "home.last_added"], ["date", "home.newest"], ["name", "home.by_name"]];

export function createHome(root, page) {
  const title = element("h1", { id: "home-heading", text: text("home.heading") });
  const lead = element("p", { class: "lead", text: text("home.lead") });
  const link = fieldForm({
    input: { type: "url", name: "link", placeholder: "https://…", "aria-label": text("home.link") },
    text: text("home.link_search"),
    submit: page.searchLink,
  });
  link.hidden = true; // until the server says that it loads photos from links
  const heading = element("h2", { class: "section-title", text: text("home.start") });
  const filters = createFilters("home");
  const order = element("select", { id: "home-sort", "aria-label": text("home.order") }, ...ORDERS.map(([value, key]) => element("option", { value, text: text(key) })));
  order.addEventListener("change", () => go({ ...current(), sort: order.value || undefined }));
  const bar = element("div", { class: "results-bar", hidden: true }, heading, element("span", { class: "spring" }), order, filters.panel);
  const list = element("ul");
  const status = element("div", { class: "state" });
  const chooser = element(
    "div", { class: "chooser" },
    button({ text: text("home.choose"), icon: "photo", class: "button primary", press: page.pick }),
    element("p", { class: "or" }, text("home.drop")),
  );
  const hero = element("div", { class: "hero" }, title, lead, chooser, link);
  root.append(hero, bar, filters.chips, list, status);

  let begin = null; // the form for the first photos, loaded where there are none
  let photos = [];
  let next = null;
  let controller = null; // of the request in progress
  let state = { page: "home" };
  let loaded = null; // the key of the list that is shown
  const fill = (tile, photo, image) => tile.append(photoLink(photo, image));
  const grid = createGrid(list, { label: text("home.photos"), fill, onNearEnd: () => loadMore() });

  /** Return what tells one list from another. */
  const listKey = () => formatHash({ page: "home", ...serverFilters(state), sort: state.sort });

  async function load() {
    stop();
    const key = listKey();
    if (!photos.length) status.replaceChildren(loading(text("home.opening")));
    try {
      const info = await page.info();
      const begins = !info.photos && info.folders_allowed;
      if (begins) await loadBeginning();
      showBeginning(info, begins);
      if (begins) {
        status.replaceChildren();
        return;
      }
      lead.textContent = text(info.photos ? "home.lead_count" : "home.lead_others", { count: info.photos, name: info.name });
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

  /** Load the form for the first photos. */
  async function loadBeginning() {
    const { createBegin } = await import("./begin.js");
    if (begin) return;
    begin = createBegin({
      info: page.info,
      ended() {
        page.changed();
        if (!root.hidden) load();
      },
    });
    lead.after(begin.block);
  }

  /** Ask for a folder, as long as there are no photos and one may be named; else for a photo. */
  function showBeginning(info, begins) {
    chooser.hidden = begins;
    if (begin) {
      const hadFocus = begin.block.contains(document.activeElement) || document.activeElement === document.body;
      if (!begins && !begin.block.hidden && hadFocus) document.getElementById("main").focus({ preventScroll: true });
      begin.block.hidden = !begins;
    }
    title.textContent = text(begins ? "home.heading_new" : "home.heading");
    if (!begins) return;
    lead.textContent = text("home.lead_new", { name: info.name });
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
      heading.textContent = activeFilters(state).length ? photosText(state, page.total) : text("home.start");
      if (keep) announce(text("home.shown", { count: photos.length }));
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

function emptyCollection({ indexing }) {
  const actions = [element("a", { class: "button", href: "#/collection", text: text("home.see_collection") })];
  if (indexing) return emptyState({ title: text("home.being_indexed"), actions });
  const code = "resight index PHOTOS -c COLLECTION";
  return emptyState({ title: text("home.empty"), text: text("home.add_folder"), code, actions });
}
