/** An editor for one box on a photo: mouse, touch, pen or keyboard. */

import { boxBetween, centerBox, moveBox, placeBox, resizeBox, sameBox } from "./boxes.js";
import { announce, debounce, element } from "./dom.js";

/** @typedef {import("./api.js").Box} Box */

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const MIN_DRAG = 6; // pixels on the screen: less is a click
const KEY_PAUSE_MS = 350;
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP =
  "Arrow keys move the region; with Shift they resize it; with Alt they go by single pixels. Delete removes it.";

/**
 * Create an editor on a stage, an element as large as the photo it shows. A mouse always draws; a
 * finger scrolls the page unless it touches the box or `arm` was called.
 *
 * @param {HTMLElement} stage
 * @param {(box: Box|null, input: "pointer"|"key") => void} onCommit called when a box is finished
 */
export function createBoxEditor(stage, onCommit) {
  let photo = null;
  let box = null;
  let gesture = null;

  const help = element("p", { id: `${stage.id}-help`, hidden: true, text: HELP });
  const view = element("div", {
    class: "box", tabindex: "0", role: "group", "aria-roledescription": "region",
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
    view.setAttribute("aria-label", `Search region, ${w} by ${h} pixels, ${x} from the left, ${y} from the top`);
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
    if (!photo || gesture || event.button !== 0) return;
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
