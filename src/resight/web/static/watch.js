/** Watching: photos that the server adds by itself are counted, and shown when one asks for them. */

import * as api from "./api.js";
import { announce, button, count, element, sentence } from "./dom.js";

const MAX_POLL_MS = 15_000;
const PAGES = { home: "Show them", search: "Search again" };

/** Create the line that says what was added; `show` is called to show it on a page. */
export function createWatch(root, { show }) {
  const text = element("p", {});
  const action = button({ press: () => present(), text: "Show them", class: "button" });
  const close = button({ icon: "close", class: "icon-button", label: "Close this message", press: () => acknowledge() });
  const line = element("div", { class: "added-line" }, text, action, close);
  const listeners = [];
  let status = null;
  let seen = null; // the number of added photos that the page knows
  let page = "home";
  let timer = 0;
  root.append(line);

  async function refresh() {
    clearTimeout(timer);
    if (document.visibilityState === "visible") receive(await api.watch().catch(() => status));
    else plan();
  }

  function receive(next) {
    status = next;
    if (!status) return plan();
    seen ??= status.added;
    if (status.added < seen) seen = 0; // the server was started again
    for (const listener of listeners) listener(status);
    update();
    return plan();
  }

  function plan() {
    clearTimeout(timer);
    if (status?.watching) timer = window.setTimeout(refresh, Math.min(1000 * status.every_s, MAX_POLL_MS));
  }

  function update() {
    const added = (status?.added ?? 0) - (seen ?? 0);
    root.hidden = !added || !PAGES[page];
    if (root.hidden) return;
    const said = `${count(added, "photo")} ${added === 1 ? "was" : "were"} added.`;
    action.querySelector("span").textContent = page === "home" && added === 1 ? "Show it" : PAGES[page];
    if (text.textContent === said) return;
    text.textContent = said;
    announce(said);
  }

  function acknowledge() {
    seen = status?.added ?? null;
    text.textContent = "";
    update();
  }

  function present() {
    acknowledge();
    show(page);
  }

  document.addEventListener("visibilitychange", () => status?.watching && refresh());
  refresh();

  return {
    refresh,
    acknowledge,
    /** Tell which page is shown. */
    onPage(name) {
      page = name;
      update();
    },
    /** Call a function with the status now and whenever it is known again. */
    subscribe(listener) {
      listeners.push(listener);
      if (status) listener(status);
    },
    /** Switch watching on or off. */
    async set(watching) {
      receive(await api.setWatch(watching));
    },
  };
}

/** Say in words what is watched, and what the last job of watching came to. */
export function watchText({ watching, folders, missing, looked, job }) {
  const failure = job?.state === "failed" ? ` New photos could not be indexed. ${sentence(job.detail ?? "")}` : "";
  if (!watching) return failure.trim();
  if (!looked) return `Looking at the folders.${failure}`;
  const time = new Date(looked).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
  const gone = missing ? ` ${count(missing, "folder")} cannot be found; is a disk not connected?` : "";
  return `Watching ${count(folders, "folder")}. Last looked at ${time}.${gone}${failure}`;
}
