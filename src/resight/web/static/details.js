/** Details of a photo under its name: date, size, camera, folder; and its place in the file manager. */

import * as api from "./api.js";
import { announce, button, element, problemMessage, serverText } from "./dom.js";
import { date, number, text } from "./texts.js";

const UNITS = ["bytes", "kB", "MB", "GB"];
let canReveal = true; // until the server says that it cannot

/** Build the disclosure of a pane. */
export function createDetails() {
  let photo = null;
  let shown = null;
  const list = element("dl");
  const message = element("p", { class: "problem", role: "status" });
  const reveal = button({ text: text("details.reveal"), press: show });
  const body = element("div", { class: "details-body" }, list, message, reveal);
  const summary = element("summary", { text: text("details.heading") });
  const disclosure = element("details", { class: "details", hidden: true }, summary, body);
  disclosure.addEventListener("toggle", load);
  // The photos under it are zoomed by the wheel and moved by dragging.
  for (const kind of ["wheel", "dblclick", "pointerdown"]) disclosure.addEventListener(kind, (event) => event.stopPropagation());
  disclosure.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || !disclosure.open) return;
    event.preventDefault();
    event.stopPropagation();
    disclosure.open = false;
    summary.focus();
  });

  async function load() {
    const { id } = photo ?? {};
    if (!disclosure.open || id === undefined || shown === id) return;
    shown = id;
    message.textContent = "";
    list.replaceChildren(...definitions([["", text("details.reading")]]));
    try {
      const details = await api.details(id);
      if (shown !== id) return;
      list.replaceChildren(...definitions(detailRows(details)));
      message.replaceChildren(details.problem ? serverText(details.problem) : "");
    } catch (problem) {
      if (shown !== id) return;
      shown = null;
      list.replaceChildren();
      message.replaceChildren(problemMessage(problem));
    }
  }

  async function show() {
    reveal.disabled = true;
    message.textContent = "";
    try {
      await api.reveal(photo.id);
      announce(text("details.revealed"));
    } catch (problem) {
      message.replaceChildren(problemMessage(problem));
      if ([403, 409].includes(problem.status)) canReveal = false;
    }
    reveal.disabled = false;
    reveal.hidden = !canReveal;
    if (reveal.hidden) summary.focus();
    else reveal.focus();
  }

  return {
    disclosure,
    /** Be about another photo; an uploaded one has no details. */
    setPhoto(next) {
      photo = next?.id === undefined ? null : next;
      shown = null;
      message.textContent = "";
      disclosure.hidden = !photo;
      reveal.hidden = !canReveal || !photo?.path;
      if (!photo) disclosure.open = false;
      load();
    },
  };
}

/** Return the rows of details: pairs of term and text. */
export function detailRows({ taken, width, height, bytes, camera, lens, folder }) {
  const megapixels = number((width * height) / 1e6, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
  const rows = [
    [text("details.taken"), taken && timeText(taken)],
    [text("details.size"), text("details.size_text", { width, height, megapixels })],
    [text("details.file"), bytesText(bytes)],
    [text("details.camera"), camera],
    [text("details.lens"), lens],
    [text("details.folder"), folder === "." ? text("details.topmost") : folder],
  ];
  return rows.filter(([, value]) => value);
}

/** Format a number of bytes. */
export function bytesText(bytes) {
  const power = Math.min(UNITS.length - 1, Math.max(0, Math.floor(Math.log10(Math.max(1, bytes)) / 3)));
  const value = bytes / 1000 ** power;
  const digits = power && value < 10 ? 1 : 0;
  return text(`unit.${UNITS[power]}`, { value: number(value, { minimumFractionDigits: digits, maximumFractionDigits: digits }) });
}

/** Format a time of a camera, which has no zone. */
function timeText(taken) {
  return date(taken, { dateStyle: "medium", timeStyle: "short" });
}

function definitions(rows) {
  return rows.flatMap(([term, value]) => [element("dt", { text: term }), element("dd", { text: value, title: value, dir: "auto" })]);
}
