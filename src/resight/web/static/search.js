/** The search page: the query beside its results. */

import { button, announce, count, element, shortDistance } from "./dom.js";
import { insideBox, sameBox } from "./boxes.js";
import { createGrid } from "./grid.js";
import { fileOf } from "./intake.js";
import { remember } from "./known.js";
import { emptyState, errorState, loading } from "./notices.js";
import { createQueryPanel } from "./query.js";
import { answerKey, answerTo, fetchMore, renameAnswer } from "./results.js";
import { current, formatHash, go } from "./state.js";
import { CAPTION_HEIGHT, resultTile } from "./tiles.js";

const VERIFIED = 20;

/** @typedef {import("./state.js").State} State */

/**
 * @param {HTMLElement} root
 * @param {{pick: () => void}} page
 */
export function createSearch(root, { pick }) {
  let state = null;
  let answer = null;
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
      element("label", {}, "Distance at most ", limit),
    ),
  );
  const list = element("ul");
  const end = element("div", { class: "state" });
  const results = element("div", { class: "results" }, element("div", { class: "results-bar" }, title, options), list, end);
  root.append(element("div", { class: "search-layout" }, aside, results));

  const panel = createQueryPanel(aside, {
    onBox(box, how) {
      const next = { ...state, box: box ?? undefined, compare: undefined };
      go(next, { replace: how === "key" && Boolean(state.box) });
    },
    onLarge: () => go({ ...current(), large: !state.large }, { replace: true }),
    pick,
  });
  const grid = createGrid(list, {
    label: "Results, nearest first",
    caption: CAPTION_HEIGHT,
    fill: resultTile({
      compare: (result) => formatHash({ ...state, compare: result.id }),
      searchFrom: (result) => go({ page: "search", photo: result.id }),
      drawIn,
    }),
    onNearEnd: () => more(),
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

  /** Show a photo large, ready for a box. */
  function drawIn(result) {
    armNext = true;
    go({ page: "search", photo: result.id, large: true });
  }

  function show(next) {
    const before = state;
    state = next;
    root.classList.toggle("large", Boolean(state.large));
    verify.checked = Boolean(state.verify);
    limit.value = state.limit ?? "";
    const same = before && answer && answerKey(before) === answerKey(state);
    if (!same) {
      controller.abort();
      controller = new AbortController();
    }
    panel.show(state, controller.signal);
    if (same) {
      grid.refresh();
      return;
    }
    busy = false;
    answer = answerTo(state);
    if (answer.items.length || answer.complete) present({ keep: false });
    else begin(before);
  }

  function begin(before) {
    end.replaceChildren();
    // With another box of the same photo the old results stay, dimmed, until the new ones come.
    const related = before && ["photo", "upload", "file"].every((key) => before[key] === state[key]);
    if (!related) {
      grid.setPhotos([]);
      title.textContent = "Searching";
      end.replaceChildren(loading(fileOf(state) && !state.upload ? "Reading your photo" : "Looking through the collection"));
    }
    results.classList.add("waiting");
    more();
  }

  async function more() {
    if (busy || answer.complete) return;
    if (state.file !== undefined && !fileOf(state)) {
      gone();
      return;
    }
    busy = true;
    panel.busy(true);
    const [mine, signal] = [answer, controller.signal];
    const keep = mine.items.length > 0;
    try {
      await fetchMore(state, mine, signal);
    } catch (problem) {
      if (signal.aborted) return;
      busy = false;
      panel.busy(false);
      failed(problem, keep);
      return;
    }
    if (signal.aborted) return;
    busy = false;
    panel.busy(false);
    remember(mine.items);
    adoptUpload(mine);
    present({ keep });
  }

  /** From here on the address names the upload, not the file that only this page has. */
  function adoptUpload({ query }) {
    if (!query.upload || query.upload === state.upload) return;
    const { file, ...rest } = state;
    state = { ...rest, upload: query.upload };
    renameAnswer(answer, state);
    go({ ...state, compare: current().compare, large: current().large }, { replace: true });
  }

  function present({ keep }) {
    results.classList.remove("waiting");
    if (answer.query) {
      panel.setSize(answer.query);
      if (answer.query.upload) panel.fallback(answer.query.upload);
      const inside = insideBox(state.box, answer.query);
      if (state.box && !sameBox(inside, state.box)) panel.show({ ...state, box: inside ?? undefined });
    }
    const { items, total } = answer;
    title.textContent = items.length ? count(total, "photo") + ", nearest first" : "Nothing found";
    if (!items.length) {
      const text = state.limit === undefined ? "The collection holds no photos to compare with." : "No photo is that near.";
      end.replaceChildren(emptyState({ title: "Nothing found", text }));
    } else if (answer.complete) {
      end.replaceChildren(element("p", { class: "end", text: items.length < 8 ? "" : "That is all." }));
    } else end.replaceChildren(loading("More"));
    if (!keep && items.length) {
      announce(`${count(total, "result")}. Nearest: ${items[0].name}, distance ${shortDistance(items[0].distance)}`);
    }
    grid.setPhotos(items, { keep, total });
    if (armNext) panel.arm();
    armNext = false;
  }

  function failed(problem, keep) {
    results.classList.remove("waiting");
    if (!keep) {
      grid.setPhotos([]);
      title.textContent = "No results";
    }
    const lost = state.upload !== undefined && [404, 410].includes(problem.status) && !fileOf(state);
    if (lost) gone();
    else {
      const another = button({ text: "Choose another photo", icon: "photo", press: pick });
      end.replaceChildren(errorState(problem, more, keep ? [] : [another]));
    }
  }

  function gone() {
    results.classList.remove("waiting");
    grid.setPhotos([]);
    title.textContent = "No results";
    const choose = button({ text: "Choose a photo", icon: "photo", class: "button primary", press: pick });
    const text = "Photos you search with are kept for a few minutes only. Choose it once more to go on.";
    end.replaceChildren(emptyState({ title: "This photo is no longer here", text, actions: [choose] }));
  }

  return {
    show,
    drawIn,
    /** The results shown, for stepping through them. */
    shownResults: () => answer?.items ?? [],
    query: () => answer?.query ?? null,
    /** Search anew: the collection has changed. */
    reset() {
      answer = null;
    },
    focusResult: (index) => grid.focus(index),
  };
}
