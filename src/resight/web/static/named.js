/** The named things of the collection. */

import * as api from "./api.js";
import { button, element } from "./dom.js";
import { formatHash } from "./state.js";
import { text } from "./texts.js";

/** Return the address of a search for a named thing; `photo` is one that carries the name. */
export const thingLink = (name, photo) => formatHash({ page: "search", photo, named: name });

/** Create the list; `removed` is called with a name and the ids of the photos that lost it. */
export function createNamed({ removed, failed }) {
  const list = element("ul", { class: "things" });
  const section = element("section", { class: "named", "aria-labelledby": "named-heading", hidden: true },
    element("h2", { id: "named-heading", class: "section-title", text: text("names.heading") }), list);

  async function load() {
    const { names } = await api.names().catch((problem) => {
      failed(problem);
      return { names: [] };
    });
    list.replaceChildren(...names.map(item));
    section.hidden = !names.length;
  }

  function item({ name, count: number, photos }) {
    const [first] = photos;
    const image = first && element("img", { src: api.thumbnailUrl(first), alt: "", loading: "lazy" });
    const words = [element("span", { class: "thing-name", text: name, dir: "auto" }), element("span", { class: "size", text: text("count.photos", { count: number }) })];
    // Without photos there is nothing to search with: they were removed from the collection.
    const link = first
      ? element("a", { class: "thing", href: thingLink(name, first.id), "aria-label": text("groups.find", { name }) }, image, ...words)
      : element("span", { class: "thing" }, ...words);
    const remove = button({ icon: "close", class: "icon-button", label: text("names.remove", { name }), press: () => drop(name) });
    return element("li", {}, link, remove);
  }

  async function drop(name) {
    try {
      const { changed } = await api.removeName(name);
      await load();
      removed(name, changed);
    } catch (problem) {
      failed(problem);
    }
  }

  return { section, load };
}
