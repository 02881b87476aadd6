/** The collection page: its method, indexing new photos, photos that could not be indexed. */

import * as api from "./api.js";
import { button, element, emptyState, errorState, fieldForm, loading, problemLine, serverText } from "./dom.js";
import { createIndexing } from "./indexing.js";
import { number, text } from "./texts.js";
import { watchText } from "./watch.js";

const METHODS = { cnn: text("collection.method_cnn"), "sift-vlad": text("collection.method_sift") };

export function createCollection(root, { info, changed, watch }) {
  const heading = element("h1", { id: "collection-heading", dir: "auto", text: text("collection.heading") });
  const facts = element("dl", { class: "facts" });
  const indexing = createIndexing({
    info,
    busy: setBusy,
    ended() {
      changed();
      return load(true);
    },
  });
  const update = button({ text: text("collection.update"), icon: "refresh", class: "button primary", press: () => indexing.run({ action: "index" }) });
  const folder = fieldForm({
    // Folders are named by their path on the machine that runs Resight, shown only on that machine.
    input: { type: "text", placeholder: "/home/me/Pictures", "aria-label": text("collection.path"), spellcheck: "false" },
    text: text("collection.add"),
    submit: (path) => indexing.run({ action: "index", folders: [path] }),
  });
  const settings = element("details", { class: "settings", hidden: true });
  const watching = element("input", { type: "checkbox", role: "switch" });
  const watched = element("p", {});
  const watchPart = element("div", { class: "watch", hidden: true }, element("label", {}, watching, text("watch.label")), watched);
  const failures = element("div", { class: "failures" });
  root.append(
    element("div", { class: "page-head" }, heading, facts, settings),
    element("div", { class: "card" },
      element("h2", { text: text("collection.changes") }),
      element("p", { text: text("collection.changes_text") }),
      element("div", { class: "actions" }, update), folder, indexing.progress, indexing.outcome, watchPart),
    failures,
  );

  let added = null;
  watching.addEventListener("change", async () => {
    try {
      await watch.set(watching.checked);
    } catch (problem) {
      watching.checked = !watching.checked;
      watched.replaceChildren(...problemLine(problem));
    }
  });
  watch.subscribe((status) => {
    watchPart.hidden = !status.allowed;
    watching.checked = status.watching;
    watched.replaceChildren(...watchText(status));
    watched.classList.toggle("problem", status.job?.state === "failed");
    if (added !== null && added !== status.added && !root.hidden) load(true);
    added = status.added;
  });

  async function load(fresh) {
    try {
      const [description, { failed }] = await Promise.all([info(fresh), api.failed()]);
      heading.textContent = description.name || text("collection.heading");
      facts.replaceChildren(...definitions(factsOf(description)));
      const list = element("dl", { class: "facts", lang: "en" }, ...definitions(settingsOf(description.config)));
      settings.replaceChildren(element("summary", { text: text("collection.settings") }), list);
      settings.hidden = false;
      folder.hidden = !description.folders_allowed;
      update.hidden = description.new;
      failures.replaceChildren(...failureList(failed));
      if (description.indexing) indexing.resume();
    } catch (problem) {
      failures.replaceChildren(errorState(problem, () => load(true)));
    }
  }

  function setBusy(busy) {
    for (const control of [update, ...folder.elements]) control.disabled = busy;
  }

  return {
    show() {
      if (!facts.childElementCount) failures.replaceChildren(loading(text("page.loading")));
      load(true);
    },
  };
}

function factsOf({ photos, failed, method, distance, has_local: local }) {
  return [
    [text("collection.photos"), number(photos)],
    [text("collection.unreadable"), number(failed)],
    [text("collection.method"), METHODS[method] ?? method],
    [text("collection.distance"), local ? text("collection.distance_local", { distance }) : distance],
  ];
}

function settingsOf(config) {
  const shown = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return Object.entries(config ?? {}).map(([name, value]) => [name.replaceAll("_", " "), shown(value)]);
}

function definitions(pairs) {
  return pairs.map(([term, value]) => element("div", {}, element("dt", { text: term }), element("dd", { text: value })));
}

function failureList(failed) {
  if (!failed.length) return [emptyState({ icon: "photo", title: text("collection.all_readable") })];
  const rows = failed.map(({ name, reason, path }) =>
    element("tr", {}, element("th", { scope: "row", dir: "auto", text: name, title: path }), element("td", {}, serverText(reason))),
  );
  const columns = ["collection.photo", "collection.reason"].map((key) => element("th", { scope: "col", text: text(key) }));
  return [
    element("h2", { text: text("collection.failed", { count: failed.length }) }),
    element("table", {}, element("thead", {}, element("tr", {}, ...columns)), element("tbody", {}, ...rows)),
  ];
}
