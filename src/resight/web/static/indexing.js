/** Index jobs: started, followed with their progress, stopped, and found again after a reload. */

import * as api from "./api.js";
import { announce, button, element, problemLine, sentence, serverText } from "./dom.js";
import { parts, text } from "./texts.js";

const JOB_KEY = "resight-job";
const POLL_MS = 2000; // while another program is indexing
const OUTCOMES = ["new", "changed", "moved", "failed", "vanished", "pruned", "removed"];

/** Create the progress and the outcome of jobs; `busy` is called with whether one runs, `ended` after each. */
export function createIndexing({ info, busy, ended }) {
  const bar = element("progress", { max: "1", "aria-label": text("index.progress") });
  const step = element("p", { class: "step" });
  const stop = button({ text: text("index.stop"), press: () => press() });
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
      finish(stopped ? [text("index.stopped")] : problemLine(problem));
      if (job) await ended();
    }
  }

  async function press() {
    stop.disabled = true;
    stopped = true;
    await api.stopJob(job).catch(() => {}); // it has just ended
  }

  function startFollowing(words, id) {
    following = true;
    stopped = false;
    job = id;
    stop.hidden = !id;
    stop.disabled = false;
    busy(true);
    progress.hidden = false;
    bar.removeAttribute("value");
    step.textContent = words;
  }

  async function follow(id) {
    startFollowing(text("index.starting"), id);
    const result = await api.followJob(id, ({ what, done, total }) => {
      if (total > 0) bar.value = done / total;
      else bar.removeAttribute("value");
      const action = element("span", { lang: "en", text: sentence(what).slice(0, -1) });
      step.replaceChildren(...(total > 0 ? parts("index.step", { what: action, done, total }) : [action]));
    });
    finish(outcomeText(result));
    await ended();
  }

  function finish(pieces) {
    following = false;
    sessionStorage.removeItem(JOB_KEY);
    busy(false);
    progress.hidden = true;
    outcome.replaceChildren(...pieces);
    announce(pieces);
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
    startFollowing(text("index.running"), null);
    while ((await info(true).catch(() => null))?.indexing) await new Promise((done) => setTimeout(done, POLL_MS));
    finish([text("index.finished")]);
    return ended();
  }

  return { progress, outcome, run, resume };
}

function outcomeText(result) {
  const counts = OUTCOMES.filter((key) => result[key] > 0).map((key) => text(`index.count_${key}`, { count: result[key] }));
  const summary = counts.length ? text("index.done", { counts: counts.join(text("page.separator")) }) : text("index.up_to_date");
  return result.note ? parts("index.with_note", { summary, note: serverText(result.note) }) : [summary];
}
