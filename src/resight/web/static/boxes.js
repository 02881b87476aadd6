/** Boxes on a photo, (x, y, w, h) in whole pixels of the upright photo: their geometry, and an editor. */

import { announce, debounce, element } from "./dom.js";
import { text } from "./texts.js";

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const MIN_DRAG = 6; // pixels on the screen: less is a click
const KEY_PAUSE_MS = 350;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const MIN_SIDE = 16; // shortest side of a drawn box, in pixels of the photo, unless the photo's own is shorter

/** Return the box between two corners, inside the photo. */
export function boxBetween(x1, y1, x2, y2, photo) {
  const [left, right] = interval(x1, x2, photo.width);
  const [top, bottom] = interval(y1, y2, photo.height);
  return [left, top, right - left, bottom - top];
}

function interval(a, b, length) {
  const shortest = Math.min(MIN_SIDE, length);
  let low = Math.round(Math.min(Math.max(Math.min(a, b), 0), length));
  let high = Math.round(Math.max(Math.min(Math.max(a, b), length), 0));
  if (high - low < shortest) {
    high = Math.min(length, low + shortest);
    low = high - shortest;
  }
  return [low, high];
}

/** Move a box within the photo. */
export function moveBox([x, y, w, h], dx, dy, photo) {
  const clamp = (value, max) => Math.round(Math.min(Math.max(value, 0), max));
  return [clamp(x + dx, photo.width - w), clamp(y + dy, photo.height - h), w, h];
}

/** Drag a side or corner ("n", "se") of a box; dragged past the opposite side, the box flips. */
export function resizeBox([x, y, w, h], handle, dx, dy, photo) {
  const left = x + (handle.includes("w") ? dx : 0);
  const right = x + w + (handle.includes("e") ? dx : 0);
  const top = y + (handle.includes("n") ? dy : 0);
  const bottom = y + h + (handle.includes("s") ? dy : 0);
  return boxBetween(left, top, right, bottom, photo);
}

/** Return the middle of a photo, half as wide and high: the first box without a mouse. */
export function centerBox({ width, height }) {
  return boxBetween(width / 4, height / 4, (3 * width) / 4, (3 * height) / 4, { width, height });
}

/** Crop a box to the photo; return null if it lies outside. */
export function insideBox(box, photo) {
  if (!box || box[0] >= photo.width || box[1] >= photo.height) return null;
  const [x, y, w, h] = box;
  return [x, y, Math.min(w, photo.width - x), Math.min(h, photo.height - y)];
}

/** Return a box's position on its photo in percent, for CSS. */
export function placeBox([x, y, w, h], { width, height }) {
  const percent = (value, total) => `${(100 * value) / total}%`;
  return { left: percent(x, width), top: percent(y, height), width: percent(w, width), height: percent(h, height) };
}

/** Return the share of the smaller of two boxes that lies in the other, 0 to 1. */
export function overlap([ax, ay, aw, ah], [bx, by, bw, bh]) {
  const width = Math.max(0, Math.min(ax + aw, bx + bw) - Math.max(ax, bx));
  const height = Math.max(0, Math.min(ay + ah, by + bh) - Math.max(ay, by));
  return (width * height) / Math.max(1, Math.min(aw * ah, bw * bh));
}

/** Tell whether two boxes are equal. */
export const sameBox = (a, b) => (a ?? []).join() === (b ?? []).join();

/**
 * Create an editor on a stage, an element as large as the photo it shows; `onCommit` receives each finished box. A
 * mouse always draws; a finger scrolls the page unless it touches the box or `arm` was called.
 */
export function createBoxEditor(stage, onCommit) {
  let photo = null;
  let box = null;
  let gesture = null;
  let enabled = true;

  const help = element("p", { id: `${stage.id}-help`, hidden: true, text: text("box.help") });
  const view = element("div", {
    class: "box", tabindex: "0", role: "group", "aria-roledescription": text("box.role"),
    "aria-describedby": help.id, hidden: true,
  });
  for (const name of HANDLES) {
    view.append(element("span", { class: `handle ${name}`, data: { handle: name }, "aria-hidden": "true" }));
  }
  stage.append(view, help);

  function show(next) {
    box = next;
    view.hidden = !box;
    stage.classList.toggle("boxed", Boolean(box));
    if (!box || !photo) return;
    Object.assign(view.style, placeBox(box, photo));
    const [x, y, w, h] = box;
    view.setAttribute("aria-label", text("box.label", { w: String(w), h: String(h), x: String(x), y: String(y) }));
  }

  function commit(input) {
    stage.classList.remove("armed");
    if (box) announce(view.getAttribute("aria-label"));
    onCommit(box, input);
  }
  const commitSoon = debounce(() => commit("key"), KEY_PAUSE_MS);

  function toPhoto(event) {
    const area = stage.getBoundingClientRect();
    return [
      ((event.clientX - area.left) / area.width) * photo.width,
      ((event.clientY - area.top) / area.height) * photo.height,
    ];
  }

  stage.addEventListener("pointerdown", (event) => {
    if (!photo || !enabled || gesture || event.button !== 0) return;
    if (event.target.closest(".proposal")) return; // a click on it is its own
    const handle = event.target.dataset?.handle;
    const action = handle ? "resize" : event.target === view ? "move" : "draw";
    if (action === "draw" && event.pointerType === "touch" && !stage.classList.contains("armed")) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    const [x, y] = toPhoto(event);
    gesture = { action, handle, x, y, before: box, screen: [event.clientX, event.clientY], id: event.pointerId };
    stage.classList.add("dragging");
    if (action !== "draw") view.focus({ preventScroll: true });
  });

  stage.addEventListener("pointermove", (event) => {
    if (!gesture || event.pointerId !== gesture.id) return;
    const [x, y] = toPhoto(event);
    const { action, handle, before } = gesture;
    const distance = Math.hypot(event.clientX - gesture.screen[0], event.clientY - gesture.screen[1]);
    if (distance >= MIN_DRAG) gesture.dragged = true;
    if (!gesture.dragged) return;
    if (action === "draw") show(boxBetween(gesture.x, gesture.y, x, y, photo));
    else if (action === "move") show(moveBox(before, x - gesture.x, y - gesture.y, photo));
    else show(resizeBox(before, handle, x - gesture.x, y - gesture.y, photo));
  });

  function finish(event, keep) {
    if (!gesture || event.pointerId !== gesture.id) return;
    const { before, dragged } = gesture;
    gesture = null;
    stage.classList.remove("dragging");
    if (!keep || !dragged) show(before);
    else if (!sameBox(box, before)) commit("pointer");
  }
  stage.addEventListener("pointerup", (event) => finish(event, true));
  stage.addEventListener("pointercancel", (event) => finish(event, false));
  stage.addEventListener("dragstart", (event) => event.preventDefault());

  view.addEventListener("keydown", (event) => {
    if (!photo || !box || event.ctrlKey || event.metaKey) return;
    if (event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      show(null);
      commit("pointer");
      return;
    }
    const arrow = ARROWS[event.key];
    if (!arrow) return;
    event.preventDefault();
    event.stopPropagation();
    const size = event.altKey ? 1 : Math.max(1, Math.round(Math.max(photo.width, photo.height) / 50));
    const [dx, dy] = [arrow[0] * size, arrow[1] * size];
    show(event.shiftKey ? resizeBox(box, "se", dx, dy, photo) : moveBox(box, dx, dy, photo));
    commitSoon();
  });

  return {
    /** Set the photo's size in pixels; null while it is unknown. */
    setPhoto(size) {
      photo = size;
      show(box);
    },
    /** Show a box without calling `onCommit`; a drag in progress wins. */
    setBox(next) {
      if (!gesture && !sameBox(next, box)) show(next ?? null);
    },
    /** Allow drawing, or not. */
    setEnabled(value) {
      enabled = value;
      stage.classList.toggle("fixed", !value);
    },
    /** Add a box in the middle to be moved and resized, and let a finger draw another. */
    arm() {
      if (!photo) return;
      stage.classList.add("armed");
      if (!box) show(centerBox(photo));
      view.focus({ preventScroll: true });
      commitSoon();
    },
    /** Remove the box. */
    clear() {
      show(null);
      commit("pointer");
    },
  };
}
