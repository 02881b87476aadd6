/** The comparison: the query and one result side by side, and why they matched. */

import * as api from "./api.js";
import { announce, button, element, shortDistance, svg } from "./dom.js";
import { createPane, drawLines, inWords } from "./explain.js";
import { fileOf } from "./intake.js";
import { photoOf } from "./known.js";
import { sentence } from "./notices.js";

/** @typedef {import("./state.js").State} State */

const LAYERS = [["heat", "Heat"], ["cam", "Mask"], ["lines", "Lines"]];

/**
 * @param {HTMLDialogElement} dialog
 * @param {{results: () => import("./api.js").Result[], query: () => any,
 *   step: (id: number) => void, close: () => void, searchFrom: (id: number) => void,
 *   drawIn: (id: number) => void}} page
 */
export function createCompare(dialog, page) {
  let state = null;
  let explanation = null;
  let controller = null;

  const heading = element("h2", { id: "compare-heading" });
  const previous = button({ icon: "left", class: "icon-button", label: "Previous result", press: () => step(-1) });
  const next = button({ icon: "right", class: "icon-button", label: "Next result", press: () => step(1) });
  const close = button({ icon: "close", class: "icon-button", label: "Close", press: () => page.close() });
  const panes = { query: createPane("query"), result: createPane("result") };
  const canvas = svg("svg", { class: "lines", "aria-hidden": "true" });
  const words = element("p", { class: "words" });
  const toggles = new Map(LAYERS.map(([name, text]) => [name, toggle(name, text)]));
  const arena = element("div", { class: "arena" }, panes.query.pane, panes.result.pane, canvas);
  dialog.append(
    element("header", { class: "compare-bar" }, heading, element("span", { class: "spring" }), previous, next, close),
    arena,
    element(
      "footer", { class: "compare-foot" },
      element("div", { class: "layers", role: "group", "aria-label": "What to show" }, ...toggles.values()),
      words,
      element(
        "div", { class: "actions" },
        button({ text: "Search with this photo", icon: "search", press: () => page.searchFrom(state.compare) }),
        button({ text: "Draw a box in it", icon: "box", press: () => page.drawIn(state.compare) }),
      ),
    ),
  );

  function toggle(name, text) {
    const made = button({
      text, class: "chip", "aria-pressed": "true",
      press: () => {
        const on = made.getAttribute("aria-pressed") !== "true";
        made.setAttribute("aria-pressed", String(on));
        arena.classList.toggle(`no-${name}`, !on);
      },
    });
    return made;
  }

  const redraw = () => drawLines(canvas, panes.query.stage, panes.result.stage, explanation);
  new ResizeObserver(redraw).observe(arena);
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    page.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    step(direction);
  });

  function step(direction) {
    const results = page.results();
    const at = results.findIndex(({ id }) => id === state.compare);
    const other = results[at + direction];
    if (at >= 0 && other) page.step(other.id);
  }

  async function open(now) {
    if (state && dialog.open && sameSubject(state, now)) return;
    state = now;
    explanation = null;
    controller?.abort();
    controller = new AbortController();
    const { signal } = controller;
    if (!dialog.open) {
      dialog.showModal();
      close.focus();
    }
    words.textContent = "Looking for the reason…";
    words.classList.remove("problem");
    for (const control of toggles.values()) control.disabled = true;
    try {
      await present(now, signal);
      const said = await api.explain(queryOf(now), now.box, now.compare, signal);
      if (!signal.aborted) explained(said);
    } catch (problem) {
      if (signal.aborted || api.isAborted(problem)) return;
      words.textContent = `${problem.title ?? "Something went wrong"}. ${sentence(problem.message ?? "")}`;
      words.classList.add("problem");
    }
  }

  async function present(now, signal) {
    const results = page.results();
    const at = results.findIndex(({ id }) => id === now.compare);
    previous.disabled = at <= 0;
    next.disabled = at < 0 || at + 1 >= results.length;
    const found = results[at];
    heading.textContent = found ? `Result ${found.rank}, distance ${shortDistance(found.distance)}` : "Comparison";
    redraw();
    const photo = await photoOf(now.compare, signal);
    if (signal.aborted) return;
    panes.result.setPhoto(api.original(photo), photo.name, photo);
    if (now.photo !== undefined) {
      const query = await photoOf(now.photo, signal);
      if (!signal.aborted) panes.query.setPhoto(api.original(query), query.name, query);
    } else {
      const intake = fileOf(now);
      const source = intake?.preview ?? api.uploaded(now.upload ?? "");
      panes.query.setPhoto(source, intake?.name ?? "Your photo", page.query());
    }
  }

  function explained(said) {
    explanation = said;
    for (const which of ["query", "result"]) {
      panes[which].stage.style.setProperty("--aspect", String(said[which].width / said[which].height));
      panes[which].setLayers(said[which]);
    }
    panes.query.setBox(state.box, said.query);
    heading.textContent = heading.textContent.replace(/^Comparison$/, `Distance ${shortDistance(said.distance)}`);
    offer("heat", Boolean(said.query.heat || said.result.heat));
    offer("cam", Boolean(said.query.cam || said.result.cam));
    offer("lines", said.matches.length > 0);
    words.textContent = inWords(said);
    announce(words.textContent);
    requestAnimationFrame(redraw);
  }

  function offer(name, there) {
    toggles.get(name).hidden = !there;
    toggles.get(name).disabled = !there;
  }

  return {
    open,
    /** Take the dialog away without touching the address. */
    hide() {
      controller?.abort();
      state = null;
      explanation = null;
      if (dialog.open) dialog.close();
    },
  };
}

function queryOf({ photo, upload }) {
  return photo === undefined ? { upload } : { photo };
}

function sameSubject(a, b) {
  return ["photo", "upload", "compare"].every((key) => a[key] === b[key]) && `${a.box}` === `${b.box}`;
}
