/** Groups: the collection's photos sorted by the thing they show. */

import * as api from "./api.js";
import { announce, button, count, debounce, element, icon, shortDistance } from "./dom.js";
import { remember } from "./known.js";
import { shownAspect } from "./layout.js";
import { emptyState, errorState, loading } from "./notices.js";
import { formatHash, go } from "./state.js";

const KINDS = { "same-thing": "The same thing", "near-duplicate": "Nearly the same photo" };
const SHOWN = 24; // photos of a group before one asks for all
const PAUSE = 250;

/**
 * @param {HTMLElement} root
 * @returns {{show: (state: import("./state.js").State) => void, reset: () => void}}
 */
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
  const reset = button({ text: "As estimated", icon: "refresh", press: () => go({ page: "groups" }), hidden: true });
  const exports = ["csv", "json"].map((format) =>
    element("a", { class: "button", download: true, href: api.address(`groups.${format}`), "aria-label": `Download the groups as ${format.toUpperCase()}` }, icon("download"), format.toUpperCase()),
  );
  const list = element("ol", { class: "group-list", "aria-label": "Groups" });
  const end = element("div", { class: "state" });
  root.append(
    element("div", { class: "page-head" },
      element("h1", { id: "groups-heading", text: "Groups" }),
      element("p", { class: "lead", text: "Photos that show the very same thing, and photos that are nearly the same, found without being asked." })),
    element("div", { class: "group-tools" },
      element("label", { class: "limit", for: "group-limit" }, "Distance limit", value), slider, reset,
      element("span", { class: "spring" }), ...exports),
    list, end,
  );
  slider.addEventListener("input", () => { value.textContent = shortDistance(Number(slider.value)); });
  slider.addEventListener("input", debounce(() => go({ page: "groups", limit: Number(Number(slider.value).toPrecision(4)) }, { replace: state.limit !== undefined }), PAUSE));
  new IntersectionObserver(([entry]) => entry.isIntersecting && more(), { rootMargin: "1200px" }).observe(end);

  async function begin() {
    controller.abort();
    controller = new AbortController();
    [next, shown, complete, busy] = [null, 0, false, false];
    list.classList.add("waiting");
    if (!list.childElementCount) end.replaceChildren(loading("Sorting the photos"));
    await more();
  }

  async function more() {
    if (busy || complete || root.hidden) return;
    busy = true;
    const { signal } = controller;
    try {
      const answer = await api.groups({ limit: state.limit, after: next }, signal);
      if (signal.aborted) return;
      if (!shown) describe(answer);
      list.append(...answer.groups.map((group, i) => groupItem(group, shown + i)));
      shown += answer.groups.length;
      next = answer.next ?? null;
      complete = next === null;
      conclude();
    } catch (problem) {
      if (signal.aborted) return;
      list.classList.remove("waiting");
      end.replaceChildren(errorState(problem, () => more()));
      shownLimit = NaN;
    }
    busy = false;
  }

  function describe({ limit, estimated_limit: estimated }) {
    list.replaceChildren();
    list.classList.remove("waiting");
    const most = Math.max(2 * estimated, limit, 1e-6);
    slider.max = String(most);
    slider.step = String(most / 400);
    slider.value = String(limit);
    slider.disabled = false;
    value.textContent = shortDistance(limit);
    reset.hidden = state.limit === undefined;
    for (const link of exports) {
      const address = new URL(link.href);
      address.searchParams.set("limit", String(limit));
      link.href = address.href;
    }
  }

  function conclude() {
    if (complete && !shown) {
      end.replaceChildren(emptyState({ title: "No groups at this distance", text: "A larger limit lets more photos come together." }));
    } else if (complete) end.replaceChildren(element("p", { class: "end", text: `${count(shown, "group")}.` }));
    else end.replaceChildren(loading("More"));
    announce(`${count(shown, "group")} shown`);
  }

  return {
    show(now) {
      state = now;
      if (shownLimit === (state.limit ?? null)) return;
      shownLimit = state.limit ?? null;
      begin();
    },
    reset() {
      shownLimit = NaN;
      list.replaceChildren();
    },
  };
}

function groupItem({ kind, photos }, index) {
  remember(photos);
  const strip = element("ul", { class: "strip" });
  const fill = (chosen) => strip.append(...chosen.map(photoItem));
  fill(photos.slice(0, SHOWN));
  const hidden = photos.length - SHOWN;
  const all = hidden > 0 && button({
    text: `${count(hidden, "more photo")}`,
    press: () => {
      fill(photos.slice(SHOWN));
      all.remove();
    },
  });
  const id = `group-${index}`;
  return element(
    "li", { class: `group ${kind}`, "aria-labelledby": id },
    element("h2", { id }, element("span", { class: "kind", text: KINDS[kind] ?? kind }), element("span", { class: "many", text: count(photos.length, "photo") })),
    strip, all,
  );
}

function photoItem(photo) {
  const { id, name } = photo;
  const image = element("img", { src: api.thumbnail(photo), alt: "", loading: "lazy", decoding: "async" });
  image.addEventListener("load", () => image.classList.add("ready"));
  const link = element("a", { class: "tile-photo", href: formatHash({ page: "search", photo: id }), title: name, "aria-label": `Search with ${name}` }, image);
  const item = element("li", {}, link);
  item.style.setProperty("--aspect", String(shownAspect(photo)));
  return item;
}
