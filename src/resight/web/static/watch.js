/** Watching: photos that the server adds by itself are counted, and shown when one asks for them. */

import * as api from "./api.js";
import { announce, button, element, serverText } from "./dom.js";
import { date, parts, text } from "./texts.js";

const MAX_POLL_MS = 15_000;
const PAGES = { home: text("watch.show"), search: text("watch.again") };

/** Create the line that says what was added; `show` is called to show it on a page. */
export function createWatch(root, { show }) {
  const message = element("p", {});
  const action = button({ press: () => present(), text: text("watch.show"), class: "button" });
  const close = button({ icon: "close", class: "icon-button", label: text("page.close_message"), press: () => acknowledge() });
  const line = element("div", { class: "added-line" }, message, action, close);
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
    const said = text("watch.added", { count: added });
    action.querySelector("span").textContent = page === "home" && added === 1 ? text("watch.show_one") : PAGES[page];
    if (message.textContent === said) return;
    message.textContent = said;
    announce(said);
  }

  function acknowledge() {
    seen = status?.added ?? null;
    message.textContent = "";
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

/** Say what is watched, and what the last job of watching came to, in pieces. */
export function watchText({ watching, folders, missing, looked, job }) {
  const sentences = [];
  if (watching && !looked) sentences.push(text("watch.looking"));
  if (watching && looked) {
    const time = date(looked, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
    sentences.push(text("watch.watching", { count: folders, time }));
    if (missing) sentences.push(text("watch.missing", { count: missing }));
  }
  if (job?.state !== "failed") return [sentences.join(" ")];
  return [...sentences.map((sentence) => `${sentence} `), ...parts("watch.failed", { reason: serverText(job.detail ?? "") })];
}
