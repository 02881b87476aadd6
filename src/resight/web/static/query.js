/** The query: its photo, the box on it, and what one can do with both. */

import * as api from "./api.js";
import { createBoxEditor } from "./boxeditor.js";
import { button, element, icon } from "./dom.js";
import { fileOf } from "./intake.js";
import { known, photoOf } from "./known.js";

/** @typedef {import("./state.js").State} State */

/**
 * @param {HTMLElement} root
 * @param {{onBox: (box: import("./api.js").Box|null, how: "pointer"|"key") => void,
 *   onLarge: () => void, pick: () => void}} actions
 */
export function createQueryPanel(root, { onBox, onLarge, pick }) {
  let shown = null;
  let photo = null;

  const image = element("img", { alt: "", draggable: "false" });
  const stage = element("div", { id: "stage", class: "stage" }, image);
  const cannot = element("p", { class: "cannot", hidden: true });
  const name = element("p", { class: "query-name" });
  const editor = createBoxEditor(stage, onBox);
  const draw = button({ text: "Draw a box", icon: "box", press: () => editor.arm() });
  const clear = button({ text: "Whole photo", icon: "close", press: () => editor.clear() });
  const large = button({ icon: "expand", class: "icon-button", label: "Enlarge the photo", press: onLarge });
  const other = button({ icon: "photo", class: "icon-button", label: "Choose another photo", press: pick });
  const hint = element("p", { class: "hint", text: "Drag across the thing you mean to search with it alone." });
  root.append(
    element("div", { class: "stage-frame" }, stage),
    cannot,
    element("div", { class: "query-tools" }, draw, clear, element("span", { class: "spring" }), large, other),
    name, hint,
  );

  image.addEventListener("load", () => {
    stage.classList.add("ready");
    if (!photo) setSize({ width: image.naturalWidth, height: image.naturalHeight });
  });
  image.addEventListener("error", () => {
    if (!image.getAttribute("src")) return;
    cannot.textContent = "This browser cannot show this kind of photo. Resight can read it all the same.";
    cannot.hidden = false;
  });

  function setSize(size) {
    photo = size;
    stage.style.setProperty("--aspect", String(size.width / size.height));
    stage.classList.add("sized");
    editor.setPhoto(size);
  }

  function setPhoto(source, title, size) {
    photo = null;
    editor.setPhoto(null);
    cannot.hidden = true;
    stage.classList.remove("ready", "sized");
    if (size) setSize(size);
    image.src = source;
    image.alt = `The query: ${title}`;
    name.textContent = title;
    name.title = title;
  }

  function identify({ photo: id, upload, file }) {
    return id !== undefined ? `photo ${id}` : (fileOf({ upload, file })?.preview ?? `upload ${upload ?? file}`);
  }

  return {
    stage,
    /** Show the query that a state means. */
    show(state, signal) {
      const identity = identify(state);
      if (identity !== shown) {
        shown = identity;
        const intake = fileOf(state);
        if (state.photo !== undefined) {
          const photoKnown = known(state.photo);
          setPhoto(api.original(photoKnown ?? { id: state.photo }), photoKnown?.name ?? "", photoKnown);
          if (!photoKnown) photoOf(state.photo, signal).then((found) => {
            if (shown !== identity) return;
            setSize(found);
            name.textContent = found.name;
            image.alt = `The query: ${found.name}`;
          }, () => {}); // the search itself says what is wrong
        } else if (intake) setPhoto(intake.preview, intake.name, null);
        else setPhoto(api.uploaded(state.upload ?? ""), "Your photo", null);
      }
      editor.setBox(state.box ?? null);
      clear.hidden = !state.box;
      draw.hidden = Boolean(state.box);
      hint.hidden = Boolean(state.box);
      const label = state.large ? "Show the photo smaller" : "Enlarge the photo";
      large.setAttribute("aria-label", label);
      large.setAttribute("aria-pressed", String(Boolean(state.large)));
      large.title = label;
      large.replaceChildren(icon(state.large ? "shrink" : "expand"));
    },
    /** The size as the server sees it, in whose pixels boxes are. */
    setSize(size) {
      if (photo && photo.width === size.width && photo.height === size.height) return;
      setSize(size);
    },
    /** The server's own picture of an upload that this browser cannot show. */
    fallback(token) {
      if (cannot.hidden) return;
      cannot.hidden = true;
      image.src = api.uploaded(token);
    },
    busy(state) {
      root.setAttribute("aria-busy", String(state));
    },
    arm: () => editor.arm(),
  };
}
