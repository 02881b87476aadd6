/** Several photos as a query: all of one thing, searched with together, or one after the other. */

import * as api from "./api.js";
import { announce, button, element } from "./dom.js";
import { addFile, checkFile, linkUpload, localFile } from "./files.js";

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
    onProgress(`Uploading photo ${index + 1} of ${files.length}`);
    const reason = checkFile(blob, limits);
    if (reason) {
      problems.push(reason);
      continue;
    }
    try {
      uploaded.push(refer({ upload: await uploadFile(addFile(blob)) }));
    } catch (problem) {
      if (problem.status !== 415) throw problem; // the others would fail as well
      problems.push(`“${blob.name}” is not a photo that can be read.`);
    }
  }
  if (files.length > MAX_VIEWS) problems.push(`Only the first ${MAX_VIEWS} photos are used.`);
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
  const list = element("ul", { class: "views", "aria-label": "Photos of this query" });
  const note = element("p", { class: "hint" });
  const modes = [
    [undefined, "One thing"],
    [true, "One by one"],
  ].map(([each, text]) => [each, button({ text, class: "chip", press: () => go({ ...state, each, box: undefined }) })]);
  const mode = element("div", { class: "layers", role: "group", "aria-label": "Search with these photos" }, ...modes.map(([, chip]) => chip));
  const plus = button({ icon: "plus", class: "icon-button", label: "Add photos to the query", press: add });
  const root = element("div", { class: "views-panel" }, list, mode, note);

  function entry(text, index, number) {
    const label = `Photo ${index + 1} of ${number}`;
    const image = element("img", { src: pictureOf(text), alt: "", draggable: "false" });
    const show = element("button", { type: "button", class: "view-photo", "aria-label": `Show ${label.toLowerCase()}`, "aria-current": text === refer(state) ? "true" : null }, image);
    show.addEventListener("click", () => go(withFirst(state, text)));
    const remove = button({
      icon: "close", class: "tool", label: `Remove ${label.toLowerCase()} from the query`,
      press: () => {
        announce(`${label} removed`);
        go(without(state, text));
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
      const texts = next.more ? [refer(next), ...next.more].sort() : [];
      root.hidden = !texts.length;
      if (!texts.length) return;
      list.replaceChildren(...texts.map((text, index) => entry(text, index, texts.length)));
      for (const [each, chip] of modes) chip.setAttribute("aria-pressed", String(Boolean(each) === Boolean(next.each)));
      note.textContent = next.each
        ? "Each photo is searched with separately."
        : "All photos are searched with together, as views of one thing.";
    },
  };
}
