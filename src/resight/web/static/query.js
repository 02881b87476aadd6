/** The query panel: the photo, the box on it, and their buttons. */

import * as api from "./api.js";
import { createBoxEditor } from "./boxes.js";
import { button, element, icon } from "./dom.js";
import { localFile } from "./files.js";
import { createProposals } from "./proposals.js";
import { createViews } from "./views.js";

export function createQueryPanel(root, { onBox, onEnlarge, go, pick, add }) {
  let shown = null;
  let size = null;

  const image = element("img", { alt: "", draggable: "false" });
  const stage = element("div", { id: "stage", class: "stage" }, image);
  const unsupported = element("p", {
    class: "unsupported", hidden: true, text: "This browser cannot display this format, but Resight can search with it.",
  });
  const name = element("p", { class: "query-name" });
  const editor = createBoxEditor(stage, onBox);
  const proposals = createProposals(stage, (box) => onBox(box, "tap"));
  const draw = button({ text: "Draw a box", icon: "box", press: () => editor.arm() });
  const clear = button({ text: "Whole photo", icon: "close", press: () => editor.clear() });
  const enlarge = button({ icon: "expand", class: "icon-button", label: "Enlarge the photo", press: onEnlarge });
  const other = button({ icon: "photo", class: "icon-button", label: "Choose another photo", press: pick });
  const views = createViews({ go, add });
  const isTouch = matchMedia("(pointer: coarse)").matches; // a finger that drags scrolls the page
  const hint = element("p", { class: "hint", text: isTouch ? "Press “Draw a box” to search with only a region." : "Drag across an object to search with only that region." });
  root.append(
    element("div", { class: "stage-frame" }, stage),
    unsupported,
    element("div", { class: "query-tools" }, draw, clear, element("span", { class: "spring" }), enlarge, views.plus, other),
    name, hint, views.root,
  );

  image.addEventListener("load", () => {
    stage.classList.add("ready");
    if (!size) setSize({ width: image.naturalWidth, height: image.naturalHeight });
  });
  image.addEventListener("error", () => {
    if (image.getAttribute("src")) unsupported.hidden = false;
  });

  function setSize(value) {
    size = value;
    stage.style.setProperty("--aspect", String(size.width / size.height));
    stage.classList.add("sized");
    editor.setPhoto(size);
  }

  function setName(text) {
    image.alt = `The query: ${text}`;
    name.textContent = text;
    name.title = text;
  }

  function setPhoto(source, text, knownSize) {
    size = null;
    editor.setPhoto(null);
    proposals.show([], null);
    unsupported.hidden = true;
    stage.classList.remove("ready", "sized");
    if (knownSize) setSize(knownSize);
    image.src = source;
    setName(text);
  }

  function setPhotoOf({ photo: id, upload }, file, identity, signal) {
    if (file) return setPhoto(file.preview, file.name, null);
    if (id === undefined) return setPhoto(api.uploadUrl(upload ?? ""), "Your photo", null);
    const cached = api.cachedPhoto(id);
    setPhoto(api.originalUrl(cached ?? { id }), cached?.name ?? "", cached);
    if (cached) return;
    api.photo(id, signal).then((photo) => {
      if (shown !== identity) return;
      setSize(photo);
      setName(photo.name);
    }, () => {}); // the search itself reports the problem
  }

  return {
    /** Show the query of a state. */
    show(state, signal) {
      const { photo: id, upload, file: key } = state;
      const file = id === undefined ? localFile(state) : undefined;
      const identity = id !== undefined ? `photo ${id}` : (file?.preview ?? `upload ${upload ?? key}`);
      if (identity !== shown) {
        shown = identity;
        setPhotoOf(state, file, identity, signal);
      }
      editor.setBox(state.box ?? null);
      clear.hidden = !state.box;
      const isSingle = !state.more || state.each; // boxes are for one photo
      draw.hidden = Boolean(state.box) || !isSingle;
      hint.hidden = draw.hidden;
      editor.setEnabled(isSingle);
      if (state.box || !isSingle) proposals.show([], size);
      views.plus.hidden = state.file !== undefined; // until it is uploaded
      views.show(state);
      const label = state.large ? "Show the photo smaller" : "Enlarge the photo";
      enlarge.setAttribute("aria-label", label);
      enlarge.setAttribute("aria-pressed", String(Boolean(state.large)));
      enlarge.title = label;
      enlarge.replaceChildren(icon(state.large ? "shrink" : "expand"));
    },
    /** Set the size as the server sees it; boxes are in its pixels. */
    setSize(value) {
      if (size?.width !== value.width || size?.height !== value.height) setSize(value);
    },
    /** Show the server's picture of an upload that this browser cannot display. */
    showUpload(token) {
      if (unsupported.hidden) return;
      unsupported.hidden = true;
      image.src = api.uploadUrl(token);
    },
    /** Propose regions to search with. */
    propose(regions) {
      proposals.show(regions, size);
    },
    arm: () => editor.arm(),
  };
}
