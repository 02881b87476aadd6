/** The collection: what it is, bringing it up to date, photos that could not be indexed. */

import * as api from "./api.js";
import { announce, button, count, element } from "./dom.js";
import { emptyState, errorState, loading, sentence } from "./notices.js";

const JOB = "resight-job";
const POLL = 2000; // milliseconds, while someone else's run goes on
const METHODS = { cnn: "R-MAC of a neural network", "sift-vlad": "SIFT features, VLAD (no network)" };
const OUTCOMES = {
  new: "new", changed: "changed", moved: "moved", failed: "could not be read",
  vanished: "no longer there", pruned: "forgotten", removed: "removed",
};

/**
 * @param {HTMLElement} root
 * @param {{info: (fresh?: boolean) => Promise<any>, changed: () => void}} page `changed` is called
 *   when photos have come or gone
 * @returns {{show: () => void}}
 */
export function createCollection(root, { info, changed }) {
  let following = false;
  const heading = element("h1", { id: "collection-heading", text: "Collection" });
  const facts = element("dl", { class: "facts" });
  const bar = element("progress", { max: "1", "aria-label": "Progress of indexing" });
  const doing = element("p", { class: "doing" });
  const progress = element("div", { class: "progress", hidden: true }, bar, doing);
  const update = button({ text: "Look for new photos", icon: "refresh", class: "button primary", press: () => run({ action: "index" }) });
  const folder = folderForm((path) => run({ action: "index", folders: [path] }));
  const settings = element("details", { class: "settings", hidden: true });
  const said = element("p", { class: "said", role: "status" });
  const failures = element("div", { class: "failures" });
  root.append(
    element("div", { class: "page-head" }, heading, facts, settings),
    element("div", { class: "card" },
      element("h2", { text: "Up to date?" }),
      element("p", { text: "Goes through the folders of this collection once more: new and changed photos are added. The photos themselves are never touched." }),
      element("div", { class: "actions" }, update), folder, progress, said),
    failures,
  );

  async function load(fresh) {
    try {
      const [now, { failed }] = await Promise.all([info(fresh), api.failed()]);
      heading.textContent = now.name || "Collection";
      facts.replaceChildren(...factList(now));
      settings.replaceChildren(element("summary", { text: "All settings" }), settingsList(now.config));
      settings.hidden = false;
      folder.hidden = !now.folders_allowed;
      failures.replaceChildren(...failureList(failed));
      if (now.indexing && !following) resume();
    } catch (problem) {
      failures.replaceChildren(errorState(problem, () => load(true)));
    }
  }

  async function run(job) {
    setBusy(true);
    said.textContent = "";
    try {
      const { id } = await api.startJob(job);
      sessionStorage.setItem(JOB, String(id));
      await follow(id);
    } catch (problem) {
      finish(`${problem.title}. ${sentence(problem.message)}`);
    }
  }

  function setBusy(busy) {
    for (const control of [update, ...folder.elements]) control.disabled = busy;
  }

  async function follow(id) {
    following = true;
    setBusy(true);
    progress.hidden = false;
    bar.removeAttribute("value");
    doing.textContent = "Starting…";
    const outcome = await api.followJob(id, ({ what, done, total }) => {
      if (total > 0) bar.value = done / total;
      else bar.removeAttribute("value");
      const steps = total > 0 ? ` ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
      doing.textContent = `${sentence(what).slice(0, -1)}${steps}`;
    });
    finish(outcomeInWords(outcome));
    changed();
    await load(true);
  }

  function finish(words) {
    following = false;
    sessionStorage.removeItem(JOB);
    setBusy(false);
    progress.hidden = true;
    said.textContent = words;
    announce(words);
  }

  /** A run that began before this page was opened: ours if we know its number, else only watched. */
  async function resume() {
    const id = sessionStorage.getItem(JOB);
    try {
      if (id) return await follow(id);
    } catch {
      sessionStorage.removeItem(JOB); // another server's job: watch like anyone else's
    }
    following = true;
    setBusy(true);
    progress.hidden = false;
    bar.removeAttribute("value");
    doing.textContent = "Photos are being indexed";
    while ((await info(true).catch(() => null))?.indexing) await new Promise((done) => setTimeout(done, POLL));
    finish("Indexing has ended.");
    changed();
    return load(true);
  }

  return {
    show() {
      if (!facts.childElementCount) failures.replaceChildren(loading("Reading"));
      load(true);
    },
  };
}

function factList({ photos, failed, method, distance, has_local: local }) {
  const values = [
    ["Photos", photos.toLocaleString("en")],
    ["Not readable", failed.toLocaleString("en")],
    ["Method", METHODS[method] ?? method],
    ["Distance", local ? `${distance}, with local descriptors` : distance],
  ];
  return values
    .filter(([, value]) => value)
    .map(([term, value]) => element("div", {}, element("dt", { text: term }), element("dd", { text: value })));
}

function settingsList(config) {
  const values = Object.entries(config ?? {}).map(([name, value]) =>
    element("div", {}, element("dt", { text: name.replaceAll("_", " ") }), element("dd", { text: typeof value === "object" ? JSON.stringify(value) : String(value) })),
  );
  return element("dl", { class: "facts" }, ...values);
}

/** Folders are named by their path on the machine that runs Resight, where it is also this one. */
function folderForm(add) {
  const input = element("input", { type: "text", required: true, placeholder: "/home/me/Pictures", "aria-label": "Path of a folder of photos on this machine", autocomplete: "off", spellcheck: "false" });
  const form = element("form", { class: "link-form", hidden: true }, input, element("button", { class: "button", text: "Add this folder" }));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    add(input.value.trim());
  });
  return form;
}

function failureList(failed) {
  if (!failed.length) return [emptyState({ icon: "photo", title: "Every photo could be read" })];
  const rows = failed.map(({ name, reason, path }) =>
    element("tr", {}, element("th", { scope: "row", text: name, title: path }), element("td", { text: sentence(reason) })),
  );
  return [
    element("h2", { text: `${count(failed.length, "photo")} could not be indexed` }),
    element("table", {},
      element("thead", {}, element("tr", {}, element("th", { scope: "col", text: "Photo" }), element("th", { scope: "col", text: "Why" }))),
      element("tbody", {}, ...rows)),
  ];
}

function outcomeInWords(outcome) {
  const said = Object.entries(OUTCOMES)
    .filter(([key]) => outcome[key] > 0)
    .map(([key, words]) => `${outcome[key].toLocaleString("en")} ${words}`);
  const result = said.length ? `Done: ${said.join(", ")}.` : "Done. Everything was up to date.";
  return outcome.note ? `${result} ${sentence(outcome.note)}` : result;
}
