/** The search page: the query next to its results. */

import * as api from "./api.js";
import { insideBox, sameBox } from "./boxes.js";
import { announce, button, count, element, emptyState, errorState, loading, shortDistance } from "./dom.js";
import { linkUpload, localFile } from "./files.js";
import { createGrid } from "./grid.js";
import { createQueryPanel } from "./query.js";
import { current, formatHash, go } from "./state.js";

const VERIFIED = 20;
const CAPTION_HEIGHT = 26;
const PAGE_SIZE = 60;
const MAX_CACHED = 10;
const cache = new Map();

export function createSearch(root, { pick }) {
  let state = null;
  let results = null;
  let controller = new AbortController();
  let busy = false;
  let armNext = false;

  const aside = element("div", { class: "query" });
  const title = element("h1", { id: "search-heading", class: "section-title", text: "Results", tabindex: "-1" });
  const verify = element("input", { type: "checkbox", id: "verify" });
  const limit = element("input", { type: "number", id: "limit", min: "0", step: "any", placeholder: "any" });
  const options = element(
    "details", { class: "options" },
    element("summary", { text: "Options" }),
    element(
      "div", { class: "popover" },
      element("label", {}, verify, ` Check the geometry of the first ${VERIFIED}`),
      element("label", {}, "Maximum distance ", limit),
    ),
  );
  const list = element("ul");
  const end = element("div", { class: "state" });
  const panes = element("div", { class: "results" }, element("div", { class: "results-bar" }, title, options), list, end);
  root.append(element("div", { class: "search-layout" }, aside, panes));

  const panel = createQueryPanel(aside, {
    onBox(box, input) {
      const next = { ...state, box: box ?? undefined, compare: undefined };
      go(next, { replace: input === "key" && Boolean(state.box) });
    },
    onEnlarge: () => go({ ...current(), large: !state.large }, { replace: true }),
    pick,
  });
  const grid = createGrid(list, {
    label: "Results, nearest first",
    caption: CAPTION_HEIGHT,
    fill: fillTile,
    onNearEnd: () => loadMore(),
  });
  verify.addEventListener("change", () => go({ ...state, verify: verify.checked ? VERIFIED : undefined }));
  limit.addEventListener("change", () => go({ ...state, limit: limit.value === "" ? undefined : Number(limit.value) }));
  options.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    options.open = false;
    options.querySelector("summary").focus();
  });
  document.addEventListener("click", (event) => {
    if (options.open && !options.contains(event.target)) options.open = false;
  });

  /** Fill a tile with a result: a link to the comparison, two small buttons and a caption. */
  function fillTile(tile, result, image) {
    const { id, name, rank, distance, inliers } = result;
    const compareLink = () => formatHash({ ...state, compare: id });
    const label = `Result ${rank}: ${name}, distance ${shortDistance(distance)}. Compare`;
    const link = element("a", { class: "tile-photo", href: compareLink(), title: name, "aria-label": label }, image);
    // The query or its box may have changed in the address since the tile was created.
    link.addEventListener("click", () => link.setAttribute("href", compareLink()), { capture: true });
    const tools = element(
      "div", { class: "tile-tools" },
      button({ icon: "search", class: "tool", label: `Search with ${name}`, press: () => go({ page: "search", photo: id }) }),
      button({ icon: "box", class: "tool", label: `Draw a box in ${name}`, press: () => drawIn(result) }),
    );
    const caption = element(
      "p", { class: "caption" },
      element("span", { class: "distance", text: shortDistance(distance), title: `distance ${distance}`, data: { distance } }),
      inliers && element("span", { class: "inliers", text: count(inliers, "inlier"), title: `${count(inliers, "local feature")} agree on one geometry` }),
      element("span", { class: "name", text: name, title: name }),
    );
    tile.append(link, tools, caption);
  }

  /** Show a photo enlarged, ready for a box. */
  function drawIn({ id }) {
    armNext = true;
    go({ page: "search", photo: id, large: true });
  }

  function show(next) {
    const previous = state;
    state = next;
    root.classList.toggle("large", Boolean(state.large));
    verify.checked = Boolean(state.verify);
    limit.value = state.limit ?? "";
    const same = previous && results && resultsKey(previous) === resultsKey(state);
    if (!same) {
      controller.abort();
      controller = new AbortController();
    }
    panel.show(state, controller.signal);
    if (same) return grid.refresh();
    busy = false;
    results = cachedResults(state);
    if (results.items.length || results.complete) present({ keep: false });
    else begin(previous);
  }

  function begin(previous) {
    end.replaceChildren();
    // With another box of the same photo the old results stay, dimmed, until the new ones come.
    const samePhoto = previous && ["photo", "upload", "file"].every((key) => previous[key] === state[key]);
    if (!samePhoto) {
      grid.setPhotos([]);
      title.textContent = "Searching";
      end.replaceChildren(loading(localFile(state) && !state.upload ? "Uploading your photo" : "Searching the collection"));
    }
    panes.classList.add("waiting");
    loadMore();
  }

  function setBusy(value) {
    busy = value;
    aside.setAttribute("aria-busy", String(value));
  }

  async function loadMore() {
    if (busy || results.complete) return;
    if (state.file !== undefined && !localFile(state)) return showExpired();
    setBusy(true);
    const fetched = results;
    const { signal } = controller;
    const keep = fetched.items.length > 0;
    try {
      await fetchMore(state, fetched, signal);
    } catch (problem) {
      if (signal.aborted) return;
      setBusy(false);
      showProblem(problem, keep);
      return;
    }
    if (signal.aborted) return;
    setBusy(false);
    api.cachePhotos(fetched.items);
    adoptUpload(fetched);
    present({ keep });
  }

  /** Name the upload in the address from now on, not the file that only this page has. */
  function adoptUpload({ query }) {
    if (!query.upload || query.upload === state.upload) return;
    const { file, ...rest } = state;
    state = { ...rest, upload: query.upload };
    renameResults(results, state);
    go({ ...state, compare: current().compare, large: current().large }, { replace: true });
  }

  function present({ keep }) {
    panes.classList.remove("waiting");
    const { items, total, query, complete } = results;
    if (query) {
      panel.setSize(query);
      if (query.upload) panel.showUpload(query.upload);
      const inside = insideBox(state.box, query);
      if (state.box && !sameBox(inside, state.box)) panel.show({ ...state, box: inside ?? undefined });
    }
    title.textContent = items.length ? `${count(total, "photo")}, nearest first` : "No results";
    if (!items.length) {
      const text = state.limit === undefined ? "The collection has no photos to search." : "No photo is within this distance.";
      end.replaceChildren(emptyState({ title: "No results", text }));
    } else if (complete) end.replaceChildren(element("p", { class: "end", text: items.length < 8 ? "" : "End of results" }));
    else end.replaceChildren(loading("Loading more"));
    if (!keep && items.length) {
      announce(`${count(total, "result")}. Nearest: ${items[0].name}, distance ${shortDistance(items[0].distance)}`);
    }
    grid.setPhotos(items, { keep, total });
    if (armNext) panel.arm();
    armNext = false;
  }

  function showProblem(problem, keep) {
    panes.classList.remove("waiting");
    const expired = state.upload !== undefined && problem.status === 404 && !localFile(state);
    if (expired) showExpired();
    else showEnd(errorState(problem, loadMore, keep ? [] : [button({ text: "Choose another photo", icon: "photo", press: pick })]), keep);
  }

  function showExpired() {
    const choose = button({ text: "Choose a photo", icon: "photo", class: "button primary", press: pick });
    const text = "Uploaded photos are deleted after a while. Choose it again to continue.";
    showEnd(emptyState({ title: "This photo is no longer available", text, actions: [choose] }), false);
  }

  function showEnd(block, keep) {
    panes.classList.remove("waiting");
    if (!keep) {
      grid.setPhotos([]);
      title.textContent = "No results";
    }
    end.replaceChildren(block);
  }

  return {
    show,
    drawIn,
    /** Return the results shown, to step through them. */
    shownResults: () => results?.items ?? [],
    query: () => results?.query ?? null,
    /** Search again next time: the collection has changed. */
    reset() {
      cache.clear();
      results = null;
    },
    focusResult: (index) => grid.focus(index),
  };
}

/** Return the cache key of a state's query and options. */
function resultsKey({ photo, upload, file, box, verify, limit }) {
  return formatHash({ page: "search", photo, upload, file, box, verify, limit });
}

/** Return the results fetched so far, empty for a new query. */
function cachedResults(state) {
  const key = resultsKey(state);
  const results = cache.get(key) ?? { key, items: [], total: 0, query: null, complete: false };
  cache.delete(key);
  cache.set(key, results);
  if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value);
  return results;
}

/** Fetch the next page of results. A file is uploaded the first time, and again when the server no longer has it. */
async function fetchMore(state, results, signal) {
  const offset = results.items.length;
  const options = { box: state.box, k: PAGE_SIZE, offset, limit: state.limit, verify: offset ? undefined : state.verify };
  const file = localFile(state);
  const { photo, upload } = state;
  const query = photo !== undefined ? { photo } : upload !== undefined ? { upload } : { blob: file?.blob };
  const page = await api.search(query, options, signal).catch((problem) => {
    if (!file || query.blob || ![400, 404].includes(problem.status)) throw problem;
    return api.search({ blob: file.blob }, options, signal);
  });
  results.query = page.query;
  results.total = page.total;
  results.items = results.items.concat(page.results);
  results.complete = page.results.length < PAGE_SIZE || results.items.length >= page.total;
  if (file && page.query.upload) linkUpload(file, page.query.upload);
}

/** Move results to the key of a state that names the upload. */
function renameResults(results, state) {
  cache.delete(results.key);
  results.key = resultsKey(state);
  cache.set(results.key, results);
}
