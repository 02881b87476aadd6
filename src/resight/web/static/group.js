/** One group on the groups page: its names, its photos, and what can be done with all of them. */

import * as api from "./api.js";
import { button, element, fieldForm } from "./dom.js";
import { photoLink, shownAspect } from "./grid.js";
import { thingLink } from "./named.js";
import { text } from "./texts.js";

const MAX_SHOWN = 24; // photos of a group until all are requested

/** Build a group; `name` is called with a name and the photos that show the thing. */
export function groupItem(group, index, { selection, name }) {
  const { kind, photos, best, names } = group;
  api.cachePhotos(photos);
  const boxes = new Map();
  const strip = element("ul", { class: "strip" });
  const hidden = photos.length - MAX_SHOWN;
  const all = hidden > 0 && button({ text: text("groups.more", { count: hidden }), press: () => showAll() });

  function add(list) {
    strip.append(...list.map((photo) => {
      const pick = selection.checkbox(photo, group);
      boxes.set(photo.id, pick.firstElementChild);
      return photoItem(photo, best, pick);
    }));
  }

  function showAll() {
    if (boxes.size < photos.length) add(photos.slice(MAX_SHOWN));
    if (all) all.remove();
  }

  function selectRest() {
    showAll();
    const rest = photos.filter(({ id }) => id !== (best ?? photos[0].id));
    selection.select(rest, group, rest.map(({ id }) => boxes.get(id)));
  }

  const id = `group-${index}`;
  const naming = fieldForm({
    input: { type: "text", maxlength: "100", placeholder: text("names.example"), "aria-label": text("names.field"), spellcheck: "false", value: names[0] ?? "" },
    text: text("names.save"),
    submit: (value) => value && name(value, photos),
  });
  const opener = button({ text: text("names.name"), class: "chip", "aria-expanded": "false", press: () => toggleName(naming.hidden) });
  naming.addEventListener("keydown", (event) => {
    if (event.key === "Escape") toggleName(false);
  });

  function toggleName(shown) {
    naming.hidden = !shown;
    opener.setAttribute("aria-expanded", String(shown));
    if (shown) naming.querySelector("input").focus();
    else opener.focus();
  }

  const heading = element("h2", { id },
    ...names.map((given) => element("a", { class: "badge", href: thingLink(given, photos[0].id), title: text("groups.find", { name: given }), text: given, dir: "auto" })),
    element("span", { class: "kind", text: text(`groups.kind_${kind}`) }), element("span", { class: "size", text: text("count.photos", { count: photos.length }) }));
  const tools = element("div", { class: "group-actions" }, opener,
    photos.length > 1 && button({ text: text("groups.select_rest"), class: "chip", press: selectRest }));
  add(photos.slice(0, MAX_SHOWN));
  return element("li", { class: `group ${kind}`, "aria-labelledby": id }, element("div", { class: "group-head" }, heading, tools), naming, strip, all);
}

function photoItem(photo, best, pick) {
  const image = element("img", { src: api.thumbnailUrl(photo), alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => image.classList.add("ready"));
  const badge = photo.id === best && element("span", { class: "badge same", text: text("groups.best"), title: text("groups.best_why") });
  const item = element("li", {}, photoLink(photo, image), badge, pick);
  item.style.setProperty("--aspect", String(shownAspect(photo)));
  return item;
}
