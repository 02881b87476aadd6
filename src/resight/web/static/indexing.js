/** Index jobs: started, followed with their progress, stopped, and found again after a reload. */

import * as api from "./api.js";
import { announce, button, element, sentence } from "./dom.js";

const JOB_KEY = "resight-job";
const STOPPED = "Stopped. The photos indexed so far stay; look for new photos to index the rest.";
const POLL_MS = 2000; // while another program is indexing
const OUTCOMES = {
  new: "new", changed: "changed", moved: "moved", failed: "could not be read",
  vanished: "missing", pruned: "removed from the index", removed: "removed",
};

/** Create the progress and the outcome of jobs; `busy` is called with whether one runs, `ended` after each. */
export function createIndexing({ info, busy, ended }) {
  const bar = element("progress", { max: "1", "aria-label": "Progress of indexing" });
  const step = element("p", { class: "step" });
  const stop = button({ text: "Stop", press: () => press() });
  const progress = element("div", { class: "progress", hidden: true }, bar, element("div", { class: "progress-line" }, step, stop));
  const outcome = element("p", { class: "outcome", role: "status" });
  let following = false;
  let job = null;
  let stopped = false;

  async function run(request) {
    busy(true);
    outcome.textContent = "";
    job = null;
    try {
      const { id } = await api.startJob(request);
      sessionStorage.setItem(JOB_KEY, String(id));
      await follow(id);
    } catch (problem) {
      finish(stopped ? STOPPED : `${problem.title}. ${sentence(problem.message)}`);
      if (job) await ended();
    }
  }

  async function press() {
    stop.disabled = true;
    stopped = true;
    await api.stopJob(job).catch(() => {}); // it has just ended
  }

  function startFollowing(text, id) {
    following = true;
    stopped = false;
    job = id;
    stop.hidden = !id;
    stop.disabled = false;
    busy(true);
    progress.hidden = false;
    bar.removeAttribute("value");
    step.textContent = text;
  }

  async function follow(id) {
    startFollowing("Starting…", id);
    const result = await api.followJob(id, ({ what, done, total }) => {
      if (total > 0) bar.value = done / total;
      else bar.removeAttribute("value");
      const position = total > 0 ? ` ${done.toLocaleString("en")} of ${total.toLocaleString("en")}` : "";
      step.textContent = `${sentence(what).slice(0, -1)}${position}`;
    });
    finish(outcomeText(result));
    await ended();
  }

  function finish(text) {
    following = false;
    sessionStorage.removeItem(JOB_KEY);
    busy(false);
    progress.hidden = true;
    outcome.textContent = text;
    announce(text);
  }

  /** Follow a run that began before this page was opened: by its id, or else by polling. */
  async function resume() {
    if (following) return undefined;
    const id = sessionStorage.getItem(JOB_KEY);
    try {
      if (id) return await follow(id);
    } catch {
      sessionStorage.removeItem(JOB_KEY); // another server's job
    }
    startFollowing("Photos are being indexed", null);
    while ((await info(true).catch(() => null))?.indexing) await new Promise((done) => setTimeout(done, POLL_MS));
    finish("Indexing has finished.");
    return ended();
  }

  return { progress, outcome, run, resume };
}

function outcomeText(result) {
  const counts = Object.entries(OUTCOMES)
    .filter(([key]) => result[key] > 0)
    .map(([key, text]) => `${result[key].toLocaleString("en")} ${text}`);
  const summary = counts.length ? `Done: ${counts.join(", ")}.` : "Done. Everything was up to date.";
  return result.note ? `${summary} ${sentence(result.note)}` : summary;
}
