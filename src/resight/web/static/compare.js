/** The comparison: the query and one result side by side, and why they matched. */

import * as api from "./api.js";
import { placeBox } from "./boxes.js";
import { announce, button, element, icon, problemLine, serverText, shortDistance, svg } from "./dom.js";
import { linkUpload, localFile } from "./files.js";
import { createDetails } from "./details.js";
import { createHints } from "./hints.js";
import { text } from "./texts.js";
import { createZoom } from "./zoom.js";

const LAYERS = ["heat", "cam", "lines"];
const MAX_LINES = 64; // more would hide the photos
const ZOOM_STEP = 1.5;
const DONE_MS = 2000;

export function createCompare(dialog, page) {
  let state = null;
  let explanation = null;
  let controller = null;
  const renewed = new Map(); // tokens of uploads that the server deleted, to their new ones

  const heading = element("h2", { id: "compare-heading" });
  const previous = button({ icon: "left", class: "icon-button", label: text("compare.previous"), press: () => step(-1) });
  const next = button({ icon: "right", class: "icon-button", label: text("compare.next"), press: () => step(1) });
  const close = button({ icon: "close", class: "icon-button", label: text("compare.close"), press: () => page.close() });
  const panes = { query: createPane("query"), result: createPane("result") };
  const canvas = svg("svg", { class: "lines", "aria-hidden": "true" });
  const summary = element("p", { class: "explanation" });
  const toggles = new Map(LAYERS.map((name) => [name, createToggle(name)]));
  const arena = element("div", { class: "arena" }, panes.query.pane, panes.result.pane, canvas);
  const hints = createHints({ changed: decide, failed: report });
  const closer = button({ icon: "plus", class: "icon-button", label: text("compare.zoom_in"), press: () => zoom.by(ZOOM_STEP) });
  const farther = button({ icon: "minus", class: "icon-button", label: text("compare.zoom_out"), press: () => zoom.by(1 / ZOOM_STEP) });
  dialog.append(
    element("header", { class: "compare-bar" }, heading, element("span", { class: "spring" }), farther, closer, previous, next, close),
    arena,
    element(
      "footer", { class: "compare-foot" },
      element("div", { class: "layers", role: "group", "aria-label": text("compare.layers") }, ...toggles.values()),
      summary,
      hints.group,
      element(
        "div", { class: "actions" },
        button({ text: text("compare.search"), icon: "search", press: () => page.searchFrom(state.compare) }),
        button({ text: text("compare.draw"), icon: "box", press: () => page.drawIn(state.compare) }),
        button({ text: text("compare.add"), icon: "plus", press: () => page.addToQuery(state.compare) }),
      ),
    ),
  );

  function createToggle(name) {
    const toggle = button({
      text: text(`compare.layer_${name}`), class: "chip", "aria-pressed": "true",
      press: () => {
        const on = toggle.getAttribute("aria-pressed") !== "true";
        toggle.setAttribute("aria-pressed", String(on));
        arena.classList.toggle(`no-${name}`, !on);
      },
    });
    return toggle;
  }

  const redraw = () => drawLines(canvas, panes.query.stage, panes.result.stage, explanation);
  new ResizeObserver(redraw).observe(arena);
  const zoom = createZoom(arena, [panes.query.stage, panes.result.stage], (scale) => {
    farther.disabled = scale === 1;
    redraw();
  });
  dialog.addEventListener("cancel", (event) => {
    event.preventDefault();
    page.close();
  });
  dialog.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey) return;
    if (zoom.press(event)) {
      event.preventDefault();
      return;
    }
    const direction = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!direction) return;
    event.preventDefault();
    step(direction);
  });

  function step(direction) {
    const results = page.results();
    const index = results.findIndex(({ id }) => id === state.compare);
    const other = results[index + direction];
    if (index >= 0 && other) page.step(other.id);
  }

  async function open(requested) {
    if (state && dialog.open && sameComparison(state, requested)) return;
    state = requested;
    explanation = null;
    controller?.abort();
    controller = new AbortController();
    const { signal } = controller;
    if (!dialog.open) {
      dialog.showModal();
      close.focus();
    }
    zoom.reset();
    hints.hide();
    summary.textContent = text("compare.comparing");
    summary.classList.remove("problem");
    for (const toggle of toggles.values()) toggle.disabled = true;
    try {
      await showPhotos(signal);
      const response = await explain(requested, signal);
      if (!signal.aborted) showExplanation(response);
    } catch (problem) {
      if (!signal.aborted) report(problem);
    }
  }

  function report(problem) {
    summary.replaceChildren(...problemLine(problem));
    summary.classList.add("problem");
  }

  /** Compare again after a person's decision. */
  function decide() {
    const requested = state;
    state = null;
    page.decided();
    open(requested);
  }

  /** Explain; a file that the server no longer has is uploaded again. */
  async function explain(requested, signal) {
    const { photo, upload, box, compare } = { ...requested, ...page.matchedBy(requested.compare) };
    return api.explain({ photo, upload: renewed.get(upload) ?? upload }, box, compare, signal).catch(async (problem) => {
      const file = photo === undefined ? localFile({ upload }) : undefined;
      if (!file || problem.status !== 404) throw problem;
      const { query } = await api.search({ blob: file.blob }, { k: 1 }, signal);
      renewed.set(upload, query.upload);
      linkUpload(file, query.upload);
      return api.explain({ upload: query.upload }, box, compare, signal);
    });
  }

  /** Show the place among the results, which may come later than the comparison. */
  function showPlace() {
    const results = page.results();
    const index = results.findIndex((result) => result.id === state.compare);
    const result = results[index];
    previous.disabled = index <= 0;
    next.disabled = index < 0 || index + 1 >= results.length;
    heading.textContent = result ? text("compare.result", { rank: result.rank }) : text("compare.heading");
    const distance = result?.distance ?? explanation?.distance;
    heading.title = distance === undefined ? "" : text("search.distance", { distance: shortDistance(distance) });
  }

  async function showPhotos(signal) {
    const { photo: id, upload, compare } = { ...state, ...page.matchedBy(state.compare) };
    const file = id === undefined ? localFile({ ...state, upload }) : undefined;
    showPlace();
    redraw();
    const photo = await api.photo(compare, signal);
    if (signal.aborted) return;
    panes.result.setPhoto(api.originalUrl(photo), photo.name, photo);
    if (id === undefined) {
      panes.query.setPhoto(file?.preview ?? api.uploadUrl(upload ?? ""), file?.name ?? text("query.yours"), upload === state.upload ? page.query() : null);
      return;
    }
    const query = await api.photo(id, signal);
    if (!signal.aborted) panes.query.setPhoto(api.originalUrl(query), query.name, query);
  }

  function showExplanation(response) {
    explanation = response;
    const { query, result, matches } = response;
    for (const [name, side] of Object.entries({ query, result })) {
      panes[name].setAspect(side);
      panes[name].setLayers(side);
    }
    panes.query.setBox(state.box, query);
    // Decisions are on whole photos of the collection.
    if (state.photo !== undefined && !state.box) hints.show([state.photo, state.compare], response.hint ? response.verdict : null);
    showPlace();
    const layers = { heat: query.heat || result.heat, cam: query.cam || result.cam, lines: matches.length > 0 };
    for (const [name, toggle] of toggles) toggle.hidden = toggle.disabled = !layers[name];
    summary.replaceChildren(element("strong", {}, serverText(response.summary)), ` ${details(response)}`);
    announce([...summary.childNodes]);
    requestAnimationFrame(redraw);
  }

  return {
    open,
    /** Follow results that came after the comparison was opened. */
    refresh() {
      if (dialog.open && state) showPlace();
    },
    /** Close the dialog without changing the address. */
    hide() {
      controller?.abort();
      state = null;
      explanation = null;
      if (dialog.open) dialog.close();
    },
  };
}

/** Create a photo with overlays. */
function createPane(side) {
  const image = element("img", { class: "pane-photo", alt: "", draggable: "false" });
  const heat = element("img", { class: "layer heat", alt: "", hidden: true });
  const cam = element("img", { class: "layer cam", alt: "", hidden: true });
  const box = element("div", { class: "pane-box", hidden: true });
  const stage = element("div", { class: "pane-stage", data: { side } }, image, heat, cam, box);
  const name = element("span", { class: "name", dir: "auto" });
  const copy = button({ icon: "copy", class: "tool plain", label: text("compare.copy_path"), press: () => copyText(name.title, copy) });
  const download = element("a", { class: "tool plain", title: text("compare.download"), "aria-label": text("compare.download") }, icon("download"));
  const details = createDetails();
  const caption = element("figcaption", {}, name, copy, download, details.disclosure);
  const pane = element("figure", { class: "pane" }, element("div", { class: "pane-fit" }, stage, caption));
  const setAspect = ({ width, height }) => stage.style.setProperty("--aspect", String(width / height));
  function setLayers(overlays) {
    for (const [layer, source] of [[heat, overlays?.heat], [cam, overlays?.cam]]) {
      if (source) layer.src = source;
      else layer.removeAttribute("src");
      layer.hidden = !source;
    }
  }
  return {
    pane, stage, setAspect, setLayers,
    setPhoto(source, title, photo) {
      if (photo) setAspect(photo);
      if (image.src !== source) image.src = source;
      image.alt = title;
      name.textContent = title;
      name.title = photo?.path ?? "";
      copy.hidden = !photo?.path;
      download.hidden = photo?.id === undefined;
      download.href = source;
      download.download = title;
      details.setPhoto(photo);
      setLayers(null);
    },
    setBox(value, size) {
      box.hidden = !value;
      if (value && size) Object.assign(box.style, placeBox(value, size));
    },
  };
}

async function copyText(path, control) {
  try {
    await navigator.clipboard.writeText(path);
    announce(text("compare.copied"));
    control.dataset.done = text("compare.done"); // for the eye
    setTimeout(() => delete control.dataset.done, DONE_MS);
  } catch {
    window.prompt(text("compare.path"), path); // the browser does not allow copying
  }
}

/** Draw the matched places and their lines over two panes. */
function drawLines(canvas, query, result, explanation) {
  canvas.replaceChildren();
  if (!explanation) return;
  const frame = canvas.getBoundingClientRect();
  canvas.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  const from = projection(query, explanation.query, frame);
  const to = projection(result, explanation.result, frame);
  const { matches } = explanation;
  const stride = Math.max(1, matches.length / MAX_LINES);
  for (let i = 0; i < matches.length; i += stride) {
    const [queryX, queryY, resultX, resultY] = matches[Math.floor(i)];
    const start = from(queryX, queryY);
    const end = to(resultX, resultY);
    if (!start || !end) continue;
    const [x1, y1] = start;
    const [x2, y2] = end;
    // Neighboring places get similar colors, so that the eye can follow a line.
    const color = `hsl(${40 + (280 * queryY) / explanation.query.height} 85% 62%)`;
    const group = svg("g", { class: "match", stroke: color, fill: color });
    group.append(
      svg("line", { x1, y1, x2, y2 }),
      svg("circle", { cx: x1, cy: y1, r: 3 }),
      svg("circle", { cx: x2, cy: y2, r: 3 }),
    );
    canvas.append(group);
  }
}

/** Return a function from pixels of a photo to coordinates of the canvas, null outside the visible part. */
function projection(stage, size, frame) {
  const area = stage.getBoundingClientRect();
  const pane = stage.closest(".pane").getBoundingClientRect();
  const round = (value) => Math.round(value * 10) / 10;
  return (x, y) => {
    const left = area.left + (x / size.width) * area.width;
    const top = area.top + (y / size.height) * area.height;
    const visible = left >= pane.left - 1 && left <= pane.right + 1 && top >= pane.top - 1 && top <= pane.bottom + 1;
    return visible ? [round(left - frame.left), round(top - frame.top)] : null;
  };
}

/** Return what an explanation adds to the decision. */
function details({ agreement, query }) {
  const sentences = [];
  if (agreement > 0 && agreement <= 1) sentences.push(text("compare.agreement", { percent: Math.round(100 * agreement) }));
  if (query.heat) sentences.push(text("compare.warm"));
  return sentences.join(" ");
}

function sameComparison(a, b) {
  return ["photo", "upload", "compare"].every((key) => a[key] === b[key]) && `${a.box}` === `${b.box}`;
}
