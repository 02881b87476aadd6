/** Puts the page together: which view is shown, and photos that come in. */

import * as api from "./api.js";
import { createCollection } from "./collection.js";
import { createCompare } from "./compare.js";
import { element } from "./dom.js";
import { createGroups } from "./groups.js";
import { createHome } from "./home.js";
import { initIntake, keepFile, refusal } from "./intake.js";
import { forgetPhotos } from "./known.js";
import { emptyState } from "./notices.js";
import { forgetAnswers } from "./results.js";
import { createSearch } from "./search.js";
import { current, formatHash, go, leave, onChange, start } from "./state.js";
import { initTheme } from "./theme.js";

const byId = (id) => document.getElementById(id);
const scrolls = new Map();
let infoAsked = null;
let shown = null;

const pick = () => byId("picker").click();
const home = createHome(byId("home"), { info, pick, searchLink });
const search = createSearch(byId("search"), { pick });
const groups = createGroups(byId("groups"));
const collection = createCollection(byId("collection"), { info, changed });
const compare = createCompare(byId("compare"), {
  results: search.shownResults,
  query: search.query,
  step: (id) => go({ ...current(), compare: id }, { replace: true }),
  close: () => leave({ ...current(), compare: undefined }),
  searchFrom: (id) => go({ page: "search", photo: id }),
  drawIn: (id) => search.drawIn({ id }),
});
const views = { home, search, groups, collection };

/** What the collection is; asked once, unless something has changed. */
function info(fresh = false) {
  if (fresh || !infoAsked) {
    infoAsked = api.collection();
    infoAsked.catch(() => {
      infoAsked = null;
    });
  }
  return infoAsked;
}

function changed() {
  infoAsked = null;
  forgetAnswers();
  forgetPhotos();
  home.reset();
  search.reset();
  groups.reset();
}

async function searchFile(file) {
  const limits = await info().catch(() => null);
  const reason = refusal(file, limits);
  if (reason) tell("This photo is too large", reason);
  else go({ page: "search", file: keepFile(file).key });
}

async function searchLink(link) {
  try {
    const { urls_allowed: allowed } = await info();
    if (!allowed) {
      tell("Links are switched off", "Save the photo and drop the file here, or start Resight with links switched on.");
      return;
    }
    const { query } = await api.search({ url: link }, { k: 1 });
    go({ page: "search", upload: query.upload });
  } catch (problem) {
    tell(problem.title ?? "Something went wrong", problem.message);
  }
}

/** A message in the way of nothing: it goes with a click, a key, or the next page. */
function tell(title, text) {
  byId("toast")?.remove();
  const toast = element("div", { id: "toast", class: "toast", role: "alert" }, emptyState({ title, text }));
  const away = () => toast.remove();
  toast.addEventListener("click", away);
  window.addEventListener("popstate", away, { once: true });
  window.addEventListener("keydown", away, { once: true });
  document.body.append(toast);
}

function show(state, how) {
  const page = scrollKey(state);
  const samePage = shown !== null && scrollKey(shown) === page;
  if (shown && !samePage) scrolls.set(scrollKey(shown), window.scrollY);
  const before = shown;
  shown = state;
  byId("toast")?.remove();
  if (!samePage || state.compare === undefined) closeCompare(before);
  for (const name of Object.keys(views)) byId(name).hidden = name !== state.page;
  for (const link of document.querySelectorAll("[data-page]")) {
    const here = link.dataset.page === state.page || (link.dataset.page === "home" && state.page === "search");
    if (here) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = { home: "Resight", search: "Results – Resight", groups: "Groups – Resight", collection: "Collection – Resight" }[state.page];
  views[state.page].show(state);
  if (!samePage) arrive(state, before, how, page);
  // Not from the file's own name: the upload has none yet.
  if (state.compare !== undefined && state.file === undefined) compare.open(state);
}

/** A new page begins at its top; on the way back it stands where it was left. */
function arrive(state, before, how, page) {
  const related = before && before.page === state.page && state.page === "search" && sameQuery(before, state);
  if (related && how !== "back") return;
  window.scrollTo(0, how === "back" ? (scrolls.get(page) ?? 0) : 0);
  views[state.page].show(state);
  if (before && how !== "back" && !document.activeElement?.closest("header")) byId("main").focus({ preventScroll: true });
}

function closeCompare(before) {
  const open = byId("compare").open;
  compare.hide();
  if (!open || before?.compare === undefined) return;
  const index = search.shownResults().findIndex(({ id }) => id === before.compare);
  if (index >= 0 && shown.page === "search" && sameQuery(before, shown)) search.focusResult(index);
}

function sameQuery(a, b) {
  return ["photo", "upload"].every((key) => a[key] === b[key]) || (a.file !== undefined && b.upload !== undefined);
}

function scrollKey({ compare: _, large: __, ...rest }) {
  return formatHash(rest);
}

initTheme(byId("theme"));
initIntake({ picker: byId("picker"), veil: byId("drop"), onFile: searchFile, onLink: searchLink });
onChange(show);
start();
info().then(({ name }) => {
  if (name) document.querySelector(".wordmark").title = name;
}, () => {}); // the view itself says what is wrong
