/** The page as a whole: which view is shown, incoming photos, light and dark. */

import * as api from "./api.js";
import { element, emptyState, icon, problemMessage, problemTitle } from "./dom.js";
import { addFile, checkFile, listenForFiles } from "./files.js";
import { createHome } from "./home.js";
import { initLanguage } from "./language.js";
import { current, formatHash, go, leave, start } from "./state.js";
import { text } from "./texts.js";
import { deref, uploadAll, withMore } from "./views.js";
import { createWatch } from "./watch.js";

const THEME_KEY = "resight-theme";
const THEMES = ["auto", "light", "dark"];
const VIEWS = ["home", "search", "groups", "collection"];

const byId = (id) => document.getElementById(id);
const scrollPositions = new Map();
let infoRequest = null;
let shown = null;
let adding = false; // picked files join the query

const pick = () => openPicker(false);
const home = createHome(byId("home"), { info, pick, searchLink, changed });
const watch = createWatch(byId("added"), { show: showAdded });
const parts = { home }; // the parts of the page that are loaded
const loads = { home: Promise.resolve(home) };
const LOADERS = {
  async search() {
    const { createSearch } = await import("./search.js");
    return createSearch(byId("search"), { pick, add: () => openPicker(true), presented: () => parts.compare?.refresh() });
  },
  async groups() {
    const { createGroups } = await import("./groups.js");
    return createGroups(byId("groups"), { info, changed });
  },
  async collection() {
    const { createCollection } = await import("./collection.js");
    return createCollection(byId("collection"), { info, changed, watch });
  },
  async compare() {
    const [search, { createCompare }] = await Promise.all([load("search"), import("./compare.js")]);
    return createCompare(byId("compare"), {
      results: search.shownResults,
      query: search.query,
      matchedBy: search.matchedBy,
      step: (id) => go({ ...current(), compare: id }, { replace: true }),
      close: () => leave({ ...current(), compare: undefined }),
      searchFrom: (id) => go({ page: "search", photo: id }),
      drawIn: (id) => search.drawIn({ id }),
      addToQuery: (id) => go(withMore(current(), [`p${id}`])),
      decided: () => {
        search.reset();
        parts.groups?.reset();
        search.show(current());
      },
    });
  },
};

/** Load a part of the page when it is first needed; after a failure, the next call tries again. */
function load(name) {
  loads[name] ??= LOADERS[name]().then((part) => (parts[name] = part));
  loads[name].catch(() => delete loads[name]);
  return loads[name];
}

/** Fetch the description of the collection, once unless it has changed. */
function info(fresh = false) {
  if (fresh || !infoRequest) {
    infoRequest = api.collection();
    infoRequest.catch(() => {
      infoRequest = null;
    });
  }
  return infoRequest;
}

function changed() {
  infoRequest = null;
  api.clearPhotos();
  home.reset();
  parts.search?.reset();
  parts.groups?.reset();
}

/** Show what was added: the last photos first, or among the results. */
function showAdded(page) {
  changed();
  if (page === "home") go({ page: "home", sort: "added" });
  parts[page]?.show(current());
  if (page === "home") window.scrollTo(0, 0);
}

function openPicker(add) {
  adding = add;
  byId("picker").click();
}

/** Search with one file, or with several as views of one thing. */
async function searchFiles(files) {
  const isAdded = adding && shown?.page === "search";
  adding = false;
  if (files.length === 1 && !isAdded) return searchFile(files[0]);
  try {
    const { uploaded, problems } = await uploadAll(files, await info().catch(() => null), (progress) => notify(progress, ""));
    byId("toast")?.remove();
    if (uploaded.length) {
      const base = isAdded ? current() : { page: "search", ...deref(uploaded[0]) };
      go(withMore(base, uploaded));
    }
    if (problems.length) notify(text(uploaded.length ? "files.some_unused" : "files.none_used"), problems.join(" "));
  } catch (problem) {
    notify(problemTitle(problem), problemMessage(problem));
  }
}

async function searchFile(file) {
  const reason = checkFile(file, await info().catch(() => null));
  if (reason) notify(text(file.size ? "files.too_large" : "files.empty"), reason);
  else go({ page: "search", file: addFile(file).key });
}

async function searchLink(link) {
  try {
    const { urls_allowed: allowed } = await info();
    if (!allowed) {
      notify(text("links.disabled"), text("links.instead"));
      return;
    }
    const { query } = await api.search({ url: link }, { k: 1 });
    go({ page: "search", upload: query.upload });
  } catch (problem) {
    notify(problemTitle(problem), problemMessage(problem));
  }
}

/** Show a message that a click, a key, or the next page dismisses. */
function notify(title, message) {
  byId("toast")?.remove();
  const toast = element("div", { id: "toast", class: "toast", role: "alert" }, emptyState({ title, text: message }));
  const dismiss = () => toast.remove();
  toast.addEventListener("click", dismiss);
  window.addEventListener("popstate", dismiss, { once: true });
  window.addEventListener("keydown", dismiss, { once: true });
  document.body.append(toast);
}

function show(state, origin) {
  const page = scrollKey(state);
  const samePage = shown !== null && scrollKey(shown) === page;
  if (shown && !samePage) scrollPositions.set(scrollKey(shown), window.scrollY);
  const previous = shown;
  shown = state;
  byId("toast")?.remove();
  if (!samePage || state.compare === undefined) closeCompare(previous);
  for (const name of VIEWS) byId(name).hidden = name !== state.page;
  for (const link of document.querySelectorAll("[data-page]")) {
    const isCurrent = link.dataset.page === (state.page === "search" ? "home" : state.page);
    if (isCurrent) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = text(`title.${state.page}`);
  watch.onPage(state.page);
  const place = samePage ? null : { previous, origin };
  if (parts[state.page]) present(state, place);
  else withPart(state.page, state, () => present(state, place));
}

/** Show a state in its view, which is loaded; `place`: where a new page comes from. */
function present(state, place) {
  parts[state.page].show(state);
  if (place) scroll(state, place.previous, place.origin);
  // Not before an upload has its token.
  if (state.compare !== undefined && state.file === undefined) withPart("compare", state, (compare) => compare.open(state));
}

/** Load a part of the page and use it, unless another state is shown by then. */
async function withPart(name, state, use) {
  const part = await load(name).catch(() => null);
  if (shown !== state) return;
  if (part) use(part);
  else notify(text("problem.offline_title"), text("problem.offline"));
}

/** Scroll a new page to its top, or to where it was left when going back. */
function scroll(state, previous, origin) {
  const isBack = origin === "back";
  const samePlace = previous?.page === state.page;
  const related = samePlace && (state.page === "home" || (state.page === "search" && sameQuery(previous, state)));
  if (related && !isBack) return;
  window.scrollTo(0, isBack ? (scrollPositions.get(scrollKey(state)) ?? 0) : 0);
  parts[state.page].show(state);
  if (previous && !isBack && !document.activeElement?.closest("header")) byId("main").focus({ preventScroll: true });
}

function closeCompare(previous) {
  const { open } = byId("compare");
  parts.compare?.hide();
  if (!open || previous?.compare === undefined) return;
  const { search } = parts;
  const index = search.shownResults().findIndex(({ id }) => id === previous.compare);
  if (index >= 0 && shown.page === "search" && sameQuery(previous, shown)) search.focusResult(index);
}

function sameQuery(a, b) {
  return ["photo", "upload"].every((key) => a[key] === b[key]) || (a.file !== undefined && b.upload !== undefined);
}

function scrollKey({ compare: _, large: __, ...rest }) {
  return formatHash(rest);
}

/** Make a button step through the themes; the choice is stored in this browser. */
function initTheme(control) {
  const after = (theme) => THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
  let theme = storedTheme();
  const apply = () => {
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    control.replaceChildren(icon(theme));
    control.title = text(`theme.${theme}`);
    control.setAttribute("aria-label", control.title);
  };
  control.addEventListener("click", () => {
    theme = after(theme);
    try {
      localStorage.setItem(THEME_KEY, theme);
    } catch {
      // Storage is disabled: the choice lasts as long as the page.
    }
    apply();
  });
  apply();
}

function storedTheme() {
  try {
    const stored = localStorage.getItem(THEME_KEY);
    return THEMES.find((theme) => theme === stored) ?? "auto";
  } catch {
    return "auto";
  }
}

initLanguage(byId("language"));
initTheme(byId("theme"));
listenForFiles({ picker: byId("picker"), veil: byId("drop"), onFiles: searchFiles, onLink: searchLink });
start(show);
info().then(({ name }) => {
  if (name) document.querySelector(".wordmark").title = name;
}, () => {}); // the view itself reports the problem
