/** The collection page: its method, indexing new photos, photos that could not be indexed. */

import * as api from "./api.js";
import { announce, button, count, element, emptyState, errorState, fieldForm, loading, sentence } from "./dom.js";
import { watchText } from "./watch.js";

const JOB_KEY = "resight-job";
const POLL_MS = 2000; // while another program is indexing
const METHODS = { cnn: "R-MAC of a neural network", "sift-vlad": "SIFT features, VLAD (no network)" };
const OUTCOMES = {
  new: "new", changed: "changed", moved: "moved", failed: "could not be read",
  vanished: "missing", pruned: "removed from the index", removed: "removed",
};

export function createCollection(root, { info, changed, watch }) {
  let following = false;
  const heading = element("h1", { id: "collection-heading", text: "Collection" });
  const facts = element("dl", { class: "facts" });
  const bar = element("progress", { max: "1", "aria-label": "Progress of indexing" });
  const step = element("p", { class: "step" });
  const progress = element("div", { class: "progress", hidden: true }, bar, step);
  const update = button({ text: "Look for new photos", icon: "refresh", class: "button primary", press: () => run({ action: "index" }) });
  const folder = fieldForm({
    // Folders are named by their path on the machine that runs Resight, shown only on that machine.
    input: { type: "text", placeholder: "/home/me/Pictures", "aria-label": "Path of a folder of photos on this machine", spellcheck: "false" },
    text: "Add this folder",
    submit: (path) => run({ action: "index", folders: [path] }),
  });
  const settings = element("details", { class: "settings", hidden: true });
  const outcome = element("p", { class: "outcome", role: "status" });
  const watching = element("input", { type: "checkbox", role: "switch" });
  const watched = element("p", {});
  const watchPart = element("div", { class: "watch", hidden: true }, element("label", {}, watching, "Watch these folders for new photos"), watched);
  const failures = element("div", { class: "failures" });
  root.append(
    element("div", { class: "page-head" }, heading, facts, settings),
    element("div", { class: "card" },
      element("h2", { text: "Check for changes" }),
      element("p", { text: "Scans the folders of this collection again and adds new and changed photos. The photos themselves are never modified." }),
      element("div", { class: "actions" }, update), folder, progress, outcome, watchPart),
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
      failures.replaceChildren(...failureList(failed));
      if (description.indexing && !following) resume();
    } catch (problem) {
      failures.replaceChildren(errorState(problem, () => load(true)));
    }
  }

  async function run(job) {
    setBusy(true);
    outcome.textContent = "";
    try {
      const { id } = await api.startJob(job);
      sessionStorage.setItem(JOB_KEY, String(id));
      await follow(id);
    } catch (problem) {
      finish(`${problem.title}. ${sentence(problem.message)}`);
    }
  }

  function setBusy(busy) {
    for (const control of [update, ...folder.elements]) control.disabled = busy;
  }

  function startFollowing(text) {
    following = true;
    setBusy(true);
    progress.hidden = false;
    bar.removeAttribute("value");
    step.textContent = text;
  }

  async function follow(id) {
    startFollowing("Starting…");
    const result = await api.followJob(id, ({ what, done, total }) => {
      if (total > 0) bar.value = done / total;
      else bar.removeAttribute("value");
      const position = total > 0 ? ` ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
      step.textContent = `${sentence(what).slice(0, -1)}${position}`;
    });
    finish(outcomeText(result));
    changed();
    await load(true);
  }

  function finish(text) {
    following = false;
    sessionStorage.removeItem(JOB_KEY);
    setBusy(false);
    progress.hidden = true;
    outcome.textContent = text;
    announce(text);
  }

  /** Follow a run that began before this page was opened: by its id, or else by polling. */
  async function resume() {
    const id = sessionStorage.getItem(JOB_KEY);
    try {
      if (id) return await follow(id);
    } catch {
      sessionStorage.removeItem(JOB_KEY); // another server's job
    }
    startFollowing("Photos are being indexed");
    while ((await info(true).catch(() => null))?.indexing) await new Promise((done) => setTimeout(done, POLL_MS));
    finish("Indexing has finished.");
    changed();
    return load(true);
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

function outcomeText(result) {
  const counts = Object.entries(OUTCOMES)
    .filter(([key]) => result[key] > 0)
    .map(([key, text]) => `${result[key].toLocaleString("en")} ${text}`);
  const summary = counts.length ? `Done: ${counts.join(", ")}.` : "Done. Everything was up to date.";
  return result.note ? `${summary} ${sentence(result.note)}` : summary;
}
