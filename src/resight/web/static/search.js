/** The search page: the query next to its results. */

import * as api from "./api.js";
import { insideBox, sameBox } from "./boxes.js";
import { announce, button, createPopover, element, emptyState, errorState, loading, shortDistance } from "./dom.js";
import { localFile } from "./files.js";
import { activeFilters, createFilters, noMatch } from "./filters.js";
import { createGrid } from "./grid.js";
import { proposedRegions } from "./proposals.js";
import { createQueryPanel } from "./query.js";
import { cachedResults, clearResults, fetchMore, renameResults, resultsKey } from "./results.js";
import { current, formatHash, go } from "./state.js";
import { number, text } from "./texts.js";
import { createThing } from "./thing.js";
import { isFound, verdictParts, verdictPhrase } from "./verdict.js";
import { queryViews } from "./views.js";

const VERIFIED = 20;
const CAPTION_HEIGHT = 26;
const FOUND_HEIGHT = 68; // with the verdict, three lines in a narrow tile

export function createSearch(root, { pick, add, presented }) {
  let state = null;
  let results = null;
  let controller = new AbortController();
  let busy = false;
  let armNext = false;

  const aside = element("div", { class: "query" });
  const title = element("h1", { id: "search-heading", class: "section-title", text: text("search.results"), tabindex: "-1" });
  const verify = element("input", { type: "checkbox", id: "verify" });
  const limit = element("input", { type: "number", id: "limit", min: "0", step: "any", placeholder: text("search.any") });
  const options = createPopover(
    text("search.options"),
    element("label", {}, verify, ` ${text("search.verify", { count: VERIFIED })}`),
    element("label", {}, `${text("search.limit")} `, limit),
  );
  const filters = createFilters("search", { kinds: true });
  const nothing = element("div", { hidden: true });
  const thing = createThing({ named: (key) => (key === resultsKey(state) ? again() : clearResults()) });
  const foundList = element("ul");
  const others = button({ text: text("search.toggle_show_other_all"), class: "button", "aria-controls": "others", press: () => toggleOthers() });
  const divider = element("div", { class: "divider", hidden: true }, others);
  const othersList = element("ul", { id: "others" });
  const end = element("div", { class: "state" });
  const panes = element(
    "div", { class: "results" },
    element("div", { class: "results-bar" }, title, element("span", { class: "spring" }), filters.panel, options), filters.chips, thing.block, nothing, foundList, divider, othersList, end,
  );
  nothing.append(emptyState({ title: text("search.nothing_found"), icon: "search" }));
  root.append(element("div", { class: "search-layout" }, aside, panes));

  const panel = createQueryPanel(aside, {
    onBox(box, input) {
      const next = { ...state, box: box ?? undefined, compare: undefined, named: box ? undefined : state.named };
      go(next, { replace: input === "key" && Boolean(state.box) });
    },
    onEnlarge: () => go({ ...current(), large: !state.large }, { replace: true }),
    go: (next) => go({ ...next, compare: undefined }, { replace: true }),
    pick,
    add,
  });
  const found = createGrid(foundList, {
    label: text("search.found_list"),
    caption: FOUND_HEIGHT,
    narrow: 2.1, // the verdict needs some width
    fill: fillTile,
    onNearEnd: () => allFound() || loadMore(),
  });
  const rest = createGrid(othersList, {
    label: text("search.others_list"),
    caption: CAPTION_HEIGHT,
    fill: fillTile,
    onNearEnd: () => loadMore(),
  });

  /** Divide the results into what shows the same thing and what is only similar. */
  function divided() {
    const items = results?.items ?? [];
    const same = items.filter(isFound);
    if (state?.kind) return { same: same.filter(({ kind }) => kind === state.kind), rest: [] };
    return { same, rest: items.filter((result) => !isFound(result)) };
  }

  /** Return whether all that shows the same thing, which comes first, is among the results so far. */
  const allFound = () => results.complete || results.items.some((result) => !isFound(result));

  function toggleOthers() {
    go({ ...current(), others: !state.others }, { replace: true });
  }
  verify.addEventListener("change", () => go({ ...state, verify: verify.checked ? VERIFIED : undefined }));
  limit.addEventListener("change", () => go({ ...state, limit: limit.value === "" ? undefined : Number(limit.value) }));

  /** Fill a tile with a result: a link to the comparison, two small buttons and a caption. */
  function fillTile(tile, found, image) {
    // What carries the name is a view of the thing itself, no copy of another photo.
    const result = found.named ? { ...found, kind: undefined } : found;
    const { id, name, rank, distance, inliers, copies } = result;
    const compareLink = () => formatHash({ ...state, compare: id });
    const words = [verdictPhrase(result), text("search.distance", { distance: shortDistance(distance) })];
    const spoken = text("search.tile", { rank, name, description: words.filter(Boolean).join(text("page.separator")) });
    const link = element("a", { class: "tile-photo", href: compareLink(), title: name, "aria-label": spoken }, image);
    // The query or its box may have changed in the address since the tile was created.
    link.addEventListener("click", () => link.setAttribute("href", compareLink()), { capture: true });
    const tools = element(
      "div", { class: "tile-tools" },
      button({ icon: "search", class: "tool", label: text("grid.search_with", { name }), press: () => go({ page: "search", photo: id }) }),
      button({ icon: "box", class: "tool", label: text("search.draw_in", { name }), press: () => drawIn(result) }),
    );
    const caption = element(
      "p", { class: "caption" },
      ...(result.verdict === undefined ? [] : verdictParts(result)),
      element("span", { class: "distance", text: shortDistance(distance), title: text("search.distance", { distance: number(distance, { maximumFractionDigits: 20, useGrouping: false }) }), data: { distance } }),
      result.named === false && isFound(result) && element("span", { class: "badge", text: text("search.not_named") }),
      copies && element("span", { class: "copies", text: text("search.copies", { count: copies.length }), title: copies.map((copy) => copy.name).join("\n") }),
      inliers && isFound(result) && element("span", { class: "inliers", text: text("search.places", { count: inliers }), title: text("search.places_agree", { count: inliers }) }),
      element("span", { class: "name", text: name, title: name, dir: "auto" }),
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
    filters.show(state);
    const same = previous && results && resultsKey(previous) === resultsKey(state);
    if (!same) {
      controller.abort();
      controller = new AbortController();
    }
    panel.show(state, controller.signal);
    if (same) {
      if (previous.kind !== state.kind) return present({ keep: false });
      const reveals = Boolean(previous.others) !== Boolean(state.others);
      return reveals ? present({ keep: true }) : refresh();
    }
    busy = false;
    results = cachedResults(state);
    if (results.items.length || results.complete) present({ keep: false });
    else begin(previous);
  }

  /** Search again: a name has been given. */
  function again() {
    clearResults();
    results = null;
    show(state);
  }

  function refresh() {
    found.refresh();
    rest.refresh();
  }

  function showPhotos(same, similar, keep) {
    const { total } = results;
    const decided = same[0]?.verdict !== undefined;
    const known = (number) => (Number.isNaN(number) ? undefined : number);
    foundList.hidden = !same.length;
    foundList.classList.toggle("decided", decided);
    found.setPhotos(same, { keep, total: decided ? same.length : known(total) });
    othersList.hidden = !state.others || !similar.length;
    rest.setPhotos(similar, { keep, total: known(total - same.length) });
  }

  function begin(previous) {
    end.replaceChildren();
    // With another box of the same photo the old results stay, dimmed, until the new ones come.
    const samePhoto = previous && ["photo", "upload", "file"].every((key) => previous[key] === state[key]);
    if (!samePhoto) {
      clear();
      title.textContent = text("search.searching");
      end.replaceChildren(loading(localFile(state) && !state.upload ? text("search.uploading") : text("search.searching_collection")));
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
      const isWhole = !state.box && state.named === undefined && queryViews(state).length === 1;
      panel.propose(isWhole ? proposedRegions(items, query) : []);
    }
    const { same, rest: similar } = divided();
    title.textContent = heading(same, similar);
    thing.show(state, same, resultsKey(state));
    nothing.hidden = same.length > 0 || !items.length;
    nothing.querySelector("h2").textContent = nothingText();
    divider.hidden = !similar.length;
    others.setAttribute("aria-expanded", String(Boolean(state.others)));
    others.querySelector("span").textContent = othersText(total - same.length, same.length > 0);
    showEnd(endState(complete, similar), true);
    if (!keep && items.length) {
      const [best] = items;
      announce([title.textContent, text("search.best", { name: best.name }), verdictPhrase(best)].filter(Boolean).join(". "));
    }
    showPhotos(same, similar, keep);
    presented();
    if (!same.length && items.length && !allFound()) loadMore(); // of the kind that is filtered
    if (armNext) panel.arm();
    armNext = false;
  }

  /** Name what the button does with the photos that are only similar; their number may not be known. */
  function othersText(count, besides) {
    const key = `search.toggle_${state.others ? "hide" : "show"}_${besides ? "other" : "similar"}`;
    return Number.isNaN(count) ? text(`${key}_all`) : text(key, { count });
  }

  function nothingText() {
    return text(`search.nothing${state.photo === undefined ? "" : "_else"}${activeFilters(state).length ? "_filtered" : ""}`);
  }

  function heading(same, similar) {
    const { items, total, complete } = results;
    if (!items.length) return text("search.no_results");
    if (items[0].verdict === undefined) return Number.isNaN(total) ? text("search.nearest") : text("search.nearest_count", { count: total });
    if (!same.length) return text("search.nothing_found");
    const least = similar.length || complete || allFound() ? "" : "_least";
    return text(state.named === undefined ? `search.same${least}` : `search.named${least}`, { count: same.length, name: state.named });
  }

  function endState(complete, similar) {
    if (!results.items.length && activeFilters(state).length && state.limit === undefined) return emptyState(noMatch());
    if (!results.items.length) {
      const what = results.fetched ? "others" : "photos";
      return emptyState({ title: text(`search.no_${what}`), text: text(`search.no_${what}_${state.limit === undefined ? "text" : "near"}`) });
    }
    if (similar.length && !state.others) return "";
    if (state.kind && allFound()) return "";
    if (!complete) return loading(text("page.loading_more"));
    return element("p", { class: "end", text: results.items.length < 8 ? "" : text("search.end") });
  }

  /** Remove the results of another query. */
  function clear() {
    thing.hide();
    nothing.hidden = true;
    divider.hidden = true;
    showPhotos([], [], false);
  }

  function showProblem(problem, keep) {
    panes.classList.remove("waiting");
    const expired = state.upload !== undefined && problem.status === 404 && !localFile(state);
    if (expired) showExpired();
    else if (problem.status === 422 && state.under && /folder/.test(problem.message)) showEnd(emptyState(noMatch()), false);
    else showEnd(errorState(problem, loadMore, keep ? [] : [button({ text: text("query.choose_other"), icon: "photo", press: pick })]), keep);
  }

  function showExpired() {
    const choose = button({ text: text("home.choose"), icon: "photo", class: "button primary", press: pick });
    showEnd(emptyState({ title: text("search.expired"), text: text("search.expired_text"), actions: [choose] }), false);
  }

  function showEnd(block, keep) {
    panes.classList.remove("waiting");
    if (!keep) {
      clear();
      title.textContent = text("search.no_results");
    }
    end.replaceChildren(block);
  }

  return {
    show,
    drawIn,
    /** Return the results shown, to step through them. */
    shownResults() {
      const { same, rest: similar } = divided();
      return state?.others ? [...same, ...similar] : same;
    },
    query: () => results?.query ?? null,
    /** Return the query photo that shows a result most probably. */
    matchedBy: (id) => results?.items.find((result) => result.id === id)?.query ?? null,
    /** Search again next time: the collection has changed. */
    reset() {
      clearResults();
      filters.reset();
      results = null;
    },
    focusResult(index) {
      const { length } = divided().same;
      if (index < length) found.focus(index);
      else rest.focus(index - length);
    },
  };
}
