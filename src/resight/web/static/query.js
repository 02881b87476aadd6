/** The query panel: the photo, the box on it, and their buttons. */

import * as api from "./api.js";
import { createBoxEditor } from "./boxes.js";
import { button, element, icon } from "./dom.js";
import { localFile } from "./files.js";
import { createProposals } from "./proposals.js";
import { text } from "./texts.js";
import { createViews } from "./views.js";

export function createQueryPanel(root, { onBox, onEnlarge, go, pick, add }) {
  let shown = null;
  let size = null;

  const image = element("img", { alt: "", draggable: "false" });
  const stage = element("div", { id: "stage", class: "stage" }, image);
  const unsupported = element("p", {
    class: "unsupported", hidden: true, text: text("query.unsupported"),
  });
  const name = element("p", { class: "query-name", dir: "auto" });
  const editor = createBoxEditor(stage, onBox);
  const proposals = createProposals(stage, (box) => onBox(box, "tap"));
  const draw = button({ text: text("query.draw"), icon: "box", press: () => editor.arm() });
  const clear = button({ text: text("query.whole"), icon: "close", press: () => editor.clear() });
  const enlarge = button({ icon: "expand", class: "icon-button", label: text("query.enlarge"), press: onEnlarge });
  const other = button({ icon: "photo", class: "icon-button", label: text("query.choose_other"), press: pick });
  const views = createViews({ go, add });
  const isTouch = matchMedia("(pointer: coarse)").matches; // a finger that drags scrolls the page
  const hint = element("p", { class: "hint", text: text(isTouch ? "query.hint_touch" : "query.hint") });
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

  function setName(given) {
    image.alt = text("query.alt", { name: given });
    name.textContent = given;
    name.title = given;
  }

  function setPhoto(source, given, knownSize) {
    size = null;
    editor.setPhoto(null);
    proposals.show([], null);
    unsupported.hidden = true;
    stage.classList.remove("ready", "sized");
    if (knownSize) setSize(knownSize);
    image.src = source;
    setName(given);
  }

  function setPhotoOf({ photo: id, upload }, file, identity, signal) {
    if (file) return setPhoto(file.preview, file.name, null);
    if (id === undefined) return setPhoto(api.uploadUrl(upload ?? ""), text("query.yours"), null);
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
      const label = text(state.large ? "query.shrink" : "query.enlarge");
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
