/** Moving the files of photos: the question before it, its progress, and moves that can be undone. */

import * as api from "./api.js";
import { announce, button, count, element, sentence } from "./dom.js";

const MAX_FOLDERS = 3; // that are named in the hint
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** Format the size of files. */
export function fileSize(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toLocaleString("en", { maximumFractionDigits: power && value < 100 ? 1 : 0 })} ${UNITS[power]}`;
}

/** Create the dialog; `moved` is called with a sentence and the id of the move. */
export function createMove({ moved }) {
  const heading = element("h2", { id: "move-heading" });
  const names = element("p", { class: "move-names" });
  const trash = radio("trash", "To the trash of this computer");
  const folder = radio("folder", "To a folder");
  const path = element("input", { type: "text", name: "path", autocomplete: "off", spellcheck: "false", list: "move-folders", "aria-label": "Path of the folder" });
  const known = element("datalist", { id: "move-folders" });
  const hint = element("p", { class: "hint" });
  const error = element("p", { class: "problem", role: "alert" });
  const submit = element("button", { class: "button primary" }, element("span", {}));
  const cancel = button({ text: "Cancel", press: () => (job ? stop() : dialog.close()) });
  const bar = element("progress", { max: "1", "aria-label": "Progress of moving" });
  const step = element("p", { class: "step" });
  const progress = element("div", { class: "progress", hidden: true }, bar, step);
  const choice = element("fieldset", {}, element("legend", { class: "visually-hidden", text: "Where to" }), trash.label, folder.label, path, known, hint);
  const form = element("form", { method: "dialog" }, heading, names, choice, error, progress, element("div", { class: "actions" }, submit, cancel));
  const dialog = element("dialog", { class: "move", "aria-labelledby": "move-heading" }, form);
  let photos = [];
  let job = null;

  path.addEventListener("focus", () => {
    folder.input.checked = true;
  });
  dialog.addEventListener("cancel", (event) => {
    if (job) event.preventDefault();
  });
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!folder.input.checked) return run({ trash: true });
    if (path.value.trim()) return run({ to: path.value.trim() });
    error.textContent = "Give the full path of a folder.";
    path.focus();
  });

  async function run(destination) {
    error.textContent = "";
    choice.disabled = submit.disabled = true;
    try {
      job = (await api.startJob({ action: "move", photos: photos.map(({ id }) => id), ...destination })).id;
      cancel.querySelector("span").textContent = "Stop";
      progress.hidden = false;
      const result = await api.followJob(job, showProgress);
      job = null;
      dialog.close();
      const place = destination.trash ? "the trash" : destination.to;
      moved(outcome(result, place), result.moved > 0 ? result.move : null);
    } catch (problem) {
      error.textContent = `${problem.title}. ${sentence(problem.message)}`;
    } finally {
      job = null;
      reset();
    }
  }

  function showProgress({ done, total }) {
    bar.value = total ? done / total : 0;
    step.textContent = `${done.toLocaleString("en")} of ${count(total, "photo")}`;
  }

  function stop() {
    cancel.disabled = true;
    api.stopJob(job).catch(() => {}); // it has just ended
  }

  function reset() {
    choice.disabled = submit.disabled = cancel.disabled = false;
    cancel.querySelector("span").textContent = "Cancel";
    progress.hidden = true;
    bar.value = 0;
    step.textContent = "";
  }

  return {
    dialog,
    /** Ask where to move photos; `info` is that of the collection. */
    open(list, info) {
      photos = list;
      const bytes = list.reduce((sum, photo) => sum + (photo.bytes ?? 0), 0);
      const number = count(list.length, "photo");
      heading.textContent = `Move ${number} (${fileSize(bytes)})`;
      submit.firstElementChild.textContent = `Move ${number}`;
      const shown = list.slice(0, 5).map(({ name }) => name).join(", ");
      names.textContent = list.length > 5 ? `${shown} and ${list.length - 5} more` : shown;
      known.replaceChildren(...info.move_folders.map((value) => element("option", { value })));
      const folders = info.move_folders.slice(0, MAX_FOLDERS).join(" or ");
      const more = info.move_folders.length > MAX_FOLDERS ? ` or ${info.move_folders.length - MAX_FOLDERS} other folders` : "";
      hint.textContent = `Below ${folders}${more}. It is created if it does not exist. Files are never overwritten or deleted.`;
      trash.label.hidden = !info.trash;
      (info.trash ? trash : folder).input.checked = true;
      error.textContent = "";
      reset();
      dialog.showModal();
      (info.trash ? trash.input : path).focus();
    },
  };
}

function radio(value, text) {
  const input = element("input", { type: "radio", name: "where", value });
  return { input, label: element("label", {}, input, ` ${text}`) };
}

/** Bring the files of a move back; return what to announce. */
export async function undoMove(move) {
  const { id } = await api.startJob({ action: "undo-move", move });
  const { moved, failed, failures } = await api.followJob(id, () => {});
  return sentences(`${count(moved, "photo")} ${moved === 1 ? "is" : "are"} back.`, failed, failures);
}

function outcome({ moved, failed, failures, stopped }, place) {
  const done = `${count(moved, "photo")} moved to ${place}.`;
  return sentences(stopped ? `Stopped: ${done}` : done, failed, failures);
}

function sentences(text, failed, failures) {
  if (!failed) return text;
  const [{ name, reason }] = failures;
  return `${text} ${count(failed, "photo")} could not be moved; ${name} ${reason}.`;
}

/** Create the list of moves whose files are not back; `undone` is called with a sentence, `failed` with a problem. */
export function createPastMoves({ undone, failed }) {
  const list = element("ul", { class: "past-moves", "aria-label": "Moved photos" });

  async function load() {
    const { moves } = await api.moves().catch(() => ({ moves: [] }));
    list.replaceChildren(...moves.map(item));
    list.hidden = !moves.length;
  }

  function item({ id, started, photos, trash, folder }) {
    const day = new Date(started).toLocaleDateString("en", { day: "numeric", month: "long", year: "numeric" });
    const text = `${count(photos, "photo")} moved to ${trash ? "the trash" : folder} on ${day}.`;
    const back = button({ text: "Bring back", icon: "refresh", class: "chip", press: () => run(id, back) });
    return element("li", {}, element("span", { text }), back);
  }

  async function run(id, control) {
    control.disabled = true;
    announce("Bringing the photos back");
    try {
      undone(await undoMove(id));
    } catch (problem) {
      control.disabled = false;
      failed(problem);
    }
  }

  return { list, load };
}
