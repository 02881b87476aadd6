/** The start page: choose a photo, or start from one of the collection. */

import * as api from "./api.js";
import { announce, button, count, element, emptyState, errorState, fieldForm, loading } from "./dom.js";
import { createGrid, photoLink } from "./grid.js";

const PAGE_SIZE = 200;

export function createHome(root, page) {
  const lead = element("p", { class: "lead" });
  const link = fieldForm({
    input: { type: "url", name: "link", placeholder: "https://…", "aria-label": "Address of a photo" },
    text: "Search with this link",
    submit: page.searchLink,
  });
  const heading = element("h2", { class: "section-title", hidden: true, text: "Or start from one of these" });
  const list = element("ul");
  const status = element("div", { class: "state" });
  root.append(
    element(
      "div", { class: "hero" },
      element("h1", { id: "home-heading", text: "Find it again." }),
      lead,
      element(
        "div", { class: "chooser" },
        button({ text: "Choose a photo", icon: "photo", class: "button primary", press: page.pick }),
        element("p", { class: "or" }, "or drop one anywhere, or paste it"),
      ),
      link,
    ),
    heading, list, status,
  );

  let photos = [];
  let next = null;
  let busy = false;
  let loaded = false;
  const fill = (tile, photo, image) => tile.append(photoLink(photo, image));
  const grid = createGrid(list, { label: "Photos of the collection", fill, onNearEnd: () => loadMore() });

  async function load() {
    status.replaceChildren(loading("Opening the collection"));
    try {
      const info = await page.info();
      const scope = info.photos ? `${count(info.photos, "photo")} in “${info.name}”` : "the other photos";
      lead.textContent = `Choose a photo, or a region of it, to see which of ${scope} show the same object, building or scene.`;
      link.hidden = !info.urls_allowed;
      heading.hidden = !info.photos;
      if (!info.photos) {
        status.replaceChildren(emptyCollection(info));
        return;
      }
      loaded = true;
      await loadMore();
    } catch (problem) {
      status.replaceChildren(errorState(problem, load));
    }
  }

  async function loadMore() {
    if (busy || (photos.length && next === null)) return;
    busy = true;
    try {
      const page = await api.photos(next, PAGE_SIZE);
      const keep = photos.length > 0;
      api.cachePhotos(page.photos);
      photos = photos.concat(page.photos);
      next = page.next ?? null;
      status.replaceChildren();
      if (keep) announce(`${count(photos.length, "photo")} shown`);
      busy = false;
      grid.setPhotos(photos, { keep });
    } catch (problem) {
      status.replaceChildren(errorState(problem, loadMore));
    }
    busy = false;
  }

  return {
    show() {
      if (loaded) grid.refresh();
      else load();
    },
    /** Drop the loaded photos: the collection has changed. */
    reset() {
      photos = [];
      next = null;
      loaded = false;
      grid.setPhotos([]);
    },
  };
}

function emptyCollection({ indexing }) {
  const actions = [element("a", { class: "button", href: "#/collection", text: "See the collection" })];
  if (indexing) return emptyState({ title: "The first photos are being indexed", actions });
  const code = "resight index PHOTOS -c COLLECTION";
  return emptyState({ title: "This collection has no photos yet", text: "Add a folder of photos:", code, actions });
}
