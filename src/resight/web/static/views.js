/** Several photos as a query: all of one thing, searched with together, or one after the other. */

import * as api from "./api.js";
import { announce, button, element } from "./dom.js";
import { addFile, checkFile, linkUpload, localFile } from "./files.js";
import { text } from "./texts.js";

const MAX_VIEWS = 16; // of one search, as the server allows

/** Return the text that stands for a photo in the address: "p3", or "u" and an upload's token. */
export const refer = ({ photo, upload }) => (photo === undefined ? `u${upload}` : `p${photo}`);

/** Return the photo or upload that a text stands for. */
export const deref = (text) => (text.startsWith("p") ? { photo: Number(text.slice(1)) } : { upload: text.slice(1) });

/** Tell whether a text stands for a photo. */
export const isReference = (text) => /^(p[1-9][0-9]*|u[\w-]+)$/.test(text);

/** Return the query photos of a search: all that are searched with together, the shown one first. */
export function queryViews({ photo, upload, more, each }) {
  if (photo === undefined && upload === undefined) return [];
  return [refer({ photo, upload }), ...((!each && more) || [])];
}

/** Return a state with another photo shown first. */
export function withFirst(state, text) {
  const { photo, upload, file, box, more = [], compare, ...rest } = state;
  const others = [refer({ photo, upload }), ...more].filter((other) => other !== text);
  return { ...rest, ...deref(text), more: others.length ? others : undefined };
}

/** Return a state with further photos. */
export function withMore(state, texts) {
  const first = refer(state);
  const more = [...new Set([...(state.more ?? []), ...texts])].filter((text) => text !== first);
  const { box, compare, named, ...rest } = state;
  return { ...rest, more: more.slice(0, MAX_VIEWS - 1) };
}

/** Return a state without one of its photos. */
export function without(state, text) {
  const next = text === refer(state) && state.more ? withFirst(state, state.more[0]) : state;
  const more = (next.more ?? []).filter((other) => other !== text);
  return { ...next, more: more.length ? more : undefined };
}

/** Upload files; return references to them, and sentences about files that could not be used. */
export async function uploadAll(files, limits, onProgress) {
  const uploaded = [];
  const problems = [];
  for (const [index, blob] of files.slice(0, MAX_VIEWS).entries()) {
    onProgress(text("files.uploading", { index: index + 1, total: files.length }));
    const reason = checkFile(blob, limits);
    if (reason) {
      problems.push(reason);
      continue;
    }
    try {
      uploaded.push(refer({ upload: await uploadFile(addFile(blob)) }));
    } catch (problem) {
      if (problem.status !== 415) throw problem; // the others would fail as well
      problems.push(text("files.not_a_photo", { name: blob.name }));
    }
  }
  if (files.length > MAX_VIEWS) problems.push(text("files.only_first", { count: MAX_VIEWS }));
  return { uploaded, problems };
}

/** Upload a file that this page has; return its token. */
export async function uploadFile(file, signal) {
  const { query } = await api.search({ blob: file.blob }, { k: 1, decide: false }, signal);
  linkUpload(file, query.upload);
  return query.upload;
}

/** Return the address of a small picture of a query photo. */
function pictureOf(text) {
  const { photo, upload } = deref(text);
  if (photo !== undefined) return api.thumbnailUrl(api.cachedPhoto(photo) ?? { id: photo });
  return localFile({ upload })?.preview ?? api.uploadUrl(upload);
}

/** Create the strip of query photos below the shown one. */
export function createViews({ go, add }) {
  let state = null;
  let order = []; // as the photos were given, whichever of them is shown
  const list = element("ul", { class: "views", "aria-label": text("views.label") });
  const note = element("p", { class: "hint" });
  const modes = [[undefined, "views.together"], [true, "views.each"]].map(([each, key]) => [
    each, button({ text: text(key), class: "chip", press: () => go({ ...state, each, box: undefined }) }),
  ]);
  const mode = element("div", { class: "layers", role: "group", "aria-label": text("views.mode") }, ...modes.map(([, chip]) => chip));
  const plus = button({ icon: "plus", class: "icon-button", label: text("views.add"), press: add });
  const root = element("div", { class: "views-panel" }, list, mode, note);

  function entry(reference, index, total) {
    const place = { index: index + 1, total };
    const image = element("img", { src: pictureOf(reference), alt: "", draggable: "false" });
    const show = element("button", { type: "button", class: "view-photo", "aria-label": text("views.show", place), "aria-current": reference === refer(state) ? "true" : null }, image);
    show.addEventListener("click", () => go(withFirst(state, reference)));
    const remove = button({
      icon: "close", class: "tool", label: text("views.remove", place),
      press: () => {
        announce(text("views.removed", place));
        go(without(state, reference));
        list.querySelector("button")?.focus();
      },
    });
    return element("li", {}, show, remove);
  }

  return {
    root,
    plus,
    /** Show the query photos of a state. */
    show(next) {
      state = next;
      const references = next.more ? [refer(next), ...next.more] : [];
      order = [...new Set([...order.filter((reference) => references.includes(reference)), ...references])];
      root.hidden = !order.length;
      if (!order.length) return;
      list.replaceChildren(...order.map((reference, index) => entry(reference, index, order.length)));
      for (const [each, chip] of modes) chip.setAttribute("aria-pressed", String(Boolean(each) === Boolean(next.each)));
      note.textContent = text(next.each ? "views.note_each" : "views.note_together");
    },
  };
}
