/** Moving the files of photos: the question before it, its progress, and moves that can be undone. */

import * as api from "./api.js";
import { announce, button, element, problemLine } from "./dom.js";
import { date, number, parts, text } from "./texts.js";

const MAX_FOLDERS = 3; // that are named in the hint
const MAX_NAMES = 5; // of photos that are listed
const UNITS = ["bytes", "kB", "MB", "GB", "TB"];

/** Format the size of files. */
export function fileSize(bytes) {
  const power = Math.min(UNITS.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return text(`unit.${UNITS[power]}`, { value: number(value, { maximumFractionDigits: power && value < 100 ? 1 : 0 }) });
}

/** Create the dialog; `moved` is called with pieces of a text and the id of the move. */
export function createMove({ moved }) {
  const heading = element("h2", { id: "move-heading" });
  const names = element("p", { class: "move-names" });
  const trash = radio("trash", text("move.to_trash"));
  const folder = radio("folder", text("move.to_folder"));
  const path = element("input", { type: "text", name: "path", autocomplete: "off", spellcheck: "false", list: "move-folders", "aria-label": text("move.path") });
  const known = element("datalist", { id: "move-folders" });
  const hint = element("p", { class: "hint" });
  const error = element("p", { class: "problem", role: "alert" });
  const submit = element("button", { class: "button primary" }, element("span", {}));
  const cancel = button({ text: text("move.cancel"), press: () => (job ? stop() : dialog.close()) });
  const bar = element("progress", { max: "1", "aria-label": text("move.progress") });
  const step = element("p", { class: "step" });
  const progress = element("div", { class: "progress", hidden: true }, bar, step);
  const choice = element("fieldset", {}, element("legend", { class: "visually-hidden", text: text("move.where") }), trash.label, folder.label, path, known, hint);
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
    error.textContent = text("move.no_path");
    path.focus();
  });

  async function run(destination) {
    error.textContent = "";
    choice.disabled = submit.disabled = true;
    try {
      job = (await api.startJob({ action: "move", photos: photos.map(({ id }) => id), ...destination })).id;
      cancel.querySelector("span").textContent = text("move.stop");
      progress.hidden = false;
      const result = await api.followJob(job, showProgress);
      job = null;
      dialog.close();
      moved(outcome(result, destination.to), result.moved > 0 ? result.move : null);
    } catch (problem) {
      error.replaceChildren(...problemLine(problem));
    } finally {
      job = null;
      reset();
    }
  }

  function showProgress({ done, total }) {
    bar.value = total ? done / total : 0;
    step.textContent = text("move.step", { done, count: total });
  }

  function stop() {
    cancel.disabled = true;
    api.stopJob(job).catch(() => {}); // it has just ended
  }

  function reset() {
    choice.disabled = submit.disabled = cancel.disabled = false;
    cancel.querySelector("span").textContent = text("move.cancel");
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
      heading.textContent = text("move.heading", { count: list.length, size: fileSize(bytes) });
      submit.firstElementChild.textContent = text("move.button", { count: list.length });
      names.replaceChildren(...namesOf(list));
      known.replaceChildren(...info.move_folders.map((value) => element("option", { value })));
      hint.textContent = text("move.hint", { folders: foldersText(info.move_folders) });
      trash.label.hidden = !info.trash;
      (info.trash ? trash : folder).input.checked = true;
      error.textContent = "";
      reset();
      dialog.showModal();
      (info.trash ? trash.input : path).focus();
    },
  };
}

function radio(value, label) {
  const input = element("input", { type: "radio", name: "where", value });
  return { input, label: element("label", {}, input, ` ${label}`) };
}

/** Return the names of the first photos, and how many there are besides, as pieces. */
function namesOf(photos) {
  const first = photos.slice(0, MAX_NAMES).flatMap(({ name }, index) => [index > 0 && text("page.separator"), element("bdi", { text: name })]);
  const names = element("span", {}, ...first);
  return photos.length > MAX_NAMES ? parts("move.more", { names, count: photos.length - MAX_NAMES }) : [names];
}

/** List folders of which one is chosen. */
function foldersText(folders) {
  const named = folders.slice(0, MAX_FOLDERS);
  const more = folders.length - named.length;
  if (more > 0) named.push(text("move.other_folders", { count: more }));
  return named.length ? named.reduce((first, second) => text("move.or", { first, second })) : "";
}

/** Bring the files of a move back; return the pieces of a text about it. */
export async function undoMove(move) {
  const { id } = await api.startJob({ action: "undo-move", move });
  const { moved, failed, failures, renamed, renames } = await api.followJob(id, () => {});
  return [...sentences(text("move.back", { count: moved }), failed, failures), ...renameSentence(renamed, renames)];
}

function outcome({ moved, failed, failures, stopped }, folder) {
  const place = folder === undefined ? "_trash" : "";
  return sentences(text(stopped ? `move.stopped${place}` : `move.moved${place}`, { count: moved, folder }), failed, failures);
}

function sentences(done, failed, failures) {
  if (!failed) return [done];
  const [{ name, reason }] = failures;
  const why = element("span", { lang: "en", text: reason });
  return [done, " ", ...parts("move.failed", { count: failed, name: element("bdi", { text: name }), reason: why })];
}

/** Say that files came back under other names, as a file was in their places; return pieces. */
function renameSentence(count, renames) {
  if (!count) return [];
  const [name, now] = [renames[0].name, renames[0].now].map((each) => element("bdi", { text: each }));
  return [" ", ...parts("move.renamed", { count, name, now })];
}

/** Create the list of moves whose files are not back; `undone` is called with pieces of a text, `failed` with a problem. */
export function createPastMoves({ undone, failed }) {
  const list = element("ul", { class: "past-moves", "aria-label": text("move.past") });

  async function load() {
    const { moves } = await api.moves().catch(() => ({ moves: [] }));
    list.replaceChildren(...moves.map(item));
    list.hidden = !moves.length;
  }

  function item({ id, started, photos, trash, folder }) {
    const day = date(started, { day: "numeric", month: "long", year: "numeric" });
    const line = text(trash ? "move.past_trash" : "move.past_folder", { count: photos, folder, day });
    const back = button({ text: text("move.bring_back"), icon: "refresh", class: "chip", press: () => run(id, back) });
    return element("li", {}, element("span", { text: line }), back);
  }

  async function run(id, control) {
    control.disabled = true;
    announce(text("move.bringing_back"));
    try {
      undone(await undoMove(id));
    } catch (problem) {
      control.disabled = false;
      failed(problem);
    }
  }

  return { list, load };
}
