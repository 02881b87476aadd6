/** The start page: give a photo, or begin from one of the collection. */

import * as api from "./api.js";
import { announce, button, count, element } from "./dom.js";
import { createGrid } from "./grid.js";
import { remember } from "./known.js";
import { emptyState, errorState, loading } from "./notices.js";
import { fillPhotoTile } from "./tiles.js";

const PAGE = 200;

/**
 * @param {HTMLElement} root
 * @param {{info: () => Promise<any>, pick: () => void, searchLink: (link: string) => void}} page
 * @returns {{show: () => void}}
 */
export function createHome(root, page) {
  const lead = element("p", { class: "lead" });
  const link = linkForm(page.searchLink);
  const heading = element("h2", { class: "section-title", hidden: true });
  const list = element("ul");
  const state = element("div", { class: "state" });
  root.append(
    element(
      "div", { class: "hero" },
      element("h1", { id: "home-heading", text: "Find it again." }),
      lead,
      element(
        "div", { class: "intake" },
        button({ text: "Choose a photo", icon: "photo", class: "button primary", press: page.pick }),
        element("p", { class: "or" }, "or drop one anywhere, or paste it"),
      ),
      link,
    ),
    heading, list, state,
  );

  let photos = [];
  let next = null;
  let busy = false;
  let loaded = false;
  const grid = createGrid(list, { label: "Photos of the collection", fill: fillPhotoTile, onNearEnd: () => more() });

  async function begin() {
    state.replaceChildren(loading("Opening the collection"));
    try {
      const info = await page.info();
      lead.textContent = info.photos
        ? `Show a photo, or a part of one, and see which of ${count(info.photos, "photo")} in “${info.name}” show the very same thing.`
        : "Show a photo, or a part of one, and see which others show the very same thing.";
      link.hidden = !info.urls_allowed;
      if (!info.photos) {
        state.replaceChildren(nothingYet(info));
        return;
      }
      heading.textContent = "Or start from one of these";
      heading.hidden = false;
      loaded = true;
      await more();
    } catch (problem) {
      state.replaceChildren(errorState(problem, begin));
    }
  }

  async function more() {
    if (busy || (photos.length && next === null)) return;
    busy = true;
    try {
      const answer = await api.photos(next, PAGE);
      const keep = photos.length > 0;
      remember(answer.photos);
      photos = photos.concat(answer.photos);
      next = answer.next ?? null;
      state.replaceChildren();
      if (keep) announce(`${count(photos.length, "photo")} shown`);
      busy = false;
      grid.setPhotos(photos, { keep });
    } catch (problem) {
      state.replaceChildren(errorState(problem, more));
    }
    busy = false;
  }

  return {
    show() {
      if (loaded) grid.refresh();
      else begin();
    },
    /** Forget what was loaded: the collection has changed. */
    reset() {
      [photos, next, loaded] = [[], null, false];
      grid.setPhotos([]);
    },
  };
}

function nothingYet(info) {
  const title = info.indexing ? "The first photos are being indexed" : "This collection holds no photos yet";
  const actions = [element("a", { class: "button", href: "#/collection", text: "See the collection" })];
  const code = info.indexing ? undefined : "resight index PHOTOS -c COLLECTION";
  return emptyState({ title, text: info.indexing ? "" : "Add a folder of photos:", code, actions });
}

function linkForm(searchLink) {
  const input = element("input", {
    type: "url", name: "link", required: true, placeholder: "https://…", "aria-label": "Address of a photo", autocomplete: "off",
  });
  const form = element("form", { class: "link-form", hidden: true }, input, element("button", { class: "button", text: "Search with this link" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    searchLink(input.value);
  });
  return form;
}
