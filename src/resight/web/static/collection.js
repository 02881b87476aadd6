/** The collection page: its method, indexing new photos, photos that could not be indexed. */

import * as api from "./api.js";
import { button, count, element, emptyState, errorState, fieldForm, loading, sentence } from "./dom.js";
import { createIndexing } from "./indexing.js";
import { watchText } from "./watch.js";

const METHODS = { cnn: "R-MAC of a neural network", "sift-vlad": "SIFT features, VLAD (no network)" };

export function createCollection(root, { info, changed, watch }) {
  const heading = element("h1", { id: "collection-heading", text: "Collection" });
  const facts = element("dl", { class: "facts" });
  const indexing = createIndexing({
    info,
    busy: setBusy,
    ended() {
      changed();
      return load(true);
    },
  });
  const update = button({ text: "Look for new photos", icon: "refresh", class: "button primary", press: () => indexing.run({ action: "index" }) });
  const folder = fieldForm({
    // Folders are named by their path on the machine that runs Resight, shown only on that machine.
    input: { type: "text", placeholder: "/home/me/Pictures", "aria-label": "Path of a folder of photos on this machine", spellcheck: "false" },
    text: "Add this folder",
    submit: (path) => indexing.run({ action: "index", folders: [path] }),
  });
  const settings = element("details", { class: "settings", hidden: true });
  const watching = element("input", { type: "checkbox", role: "switch" });
  const watched = element("p", {});
  const watchPart = element("div", { class: "watch", hidden: true }, element("label", {}, watching, "Watch these folders for new photos"), watched);
  const failures = element("div", { class: "failures" });
  root.append(
    element("div", { class: "page-head" }, heading, facts, settings),
    element("div", { class: "card" },
      element("h2", { text: "Check for changes" }),
      element("p", { text: "Scans the folders of this collection again and adds new and changed photos. The photos themselves are never modified." }),
      element("div", { class: "actions" }, update), folder, indexing.progress, indexing.outcome, watchPart),
    failures,
  );

  let added = null;
  watching.addEventListener("change", async () => {
    try {
      await watch.set(watching.checked);
    } catch (problem) {
      watching.checked = !watching.checked;
      watched.textContent = `${problem.title}. ${sentence(problem.message)}`;
    }
  });
  watch.subscribe((status) => {
    watchPart.hidden = !status.allowed;
    watching.checked = status.watching;
    watched.textContent = watchText(status);
    watched.classList.toggle("problem", status.job?.state === "failed");
    if (added !== null && added !== status.added && !root.hidden) load(true);
    added = status.added;
  });

  async function load(fresh) {
    try {
      const [description, { failed }] = await Promise.all([info(fresh), api.failed()]);
      heading.textContent = description.name || "Collection";
      facts.replaceChildren(...definitions(factsOf(description)));
      const list = element("dl", { class: "facts" }, ...definitions(settingsOf(description.config)));
      settings.replaceChildren(element("summary", { text: "All settings" }), list);
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
      if (!facts.childElementCount) failures.replaceChildren(loading("Loading"));
      load(true);
    },
  };
}

function factsOf({ photos, failed, method, distance, has_local: local }) {
  return [
    ["Photos", photos.toLocaleString("en")],
    ["Unreadable", failed.toLocaleString("en")],
    ["Method", METHODS[method] ?? method],
    ["Distance", local ? `${distance}, with local descriptors` : distance],
  ];
}

function settingsOf(config) {
  const text = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  return Object.entries(config ?? {}).map(([name, value]) => [name.replaceAll("_", " "), text(value)]);
}

function definitions(pairs) {
  return pairs.map(([term, value]) => element("div", {}, element("dt", { text: term }), element("dd", { text: value })));
}

function failureList(failed) {
  if (!failed.length) return [emptyState({ icon: "photo", title: "All photos are readable" })];
  const rows = failed.map(({ name, reason, path }) =>
    element("tr", {}, element("th", { scope: "row", text: name, title: path }), element("td", { text: sentence(reason) })),
  );
  const columns = ["Photo", "Reason"].map((text) => element("th", { scope: "col", text }));
  return [
    element("h2", { text: `${count(failed.length, "photo")} could not be indexed` }),
    element("table", {}, element("thead", {}, element("tr", {}, ...columns)), element("tbody", {}, ...rows)),
  ];
}
