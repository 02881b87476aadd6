/** Drawing a box on a photo with a mouse, a finger, a pen or the keyboard. */

import { boxBetween, middleBox, moveBox, placeBox, resizeBox, sameBox } from "./boxes.js";
import { announce, debounce, element } from "./dom.js";

/** @typedef {import("./api.js").Box} Box */

const HANDLES = ["nw", "n", "ne", "e", "se", "s", "sw", "w"];
const CLICK = 6; // pixels on the screen: less is a click, not a box
const KEY_PAUSE = 350; // milliseconds after the last key
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const HELP =
  "Arrow keys move the region, with Shift they resize it, with Alt in single pixels. Delete removes it.";

/**
 * Make a stage (an element as large as the photo it shows) into an editor of one box.
 *
 * A mouse draws at any time. A finger scrolls the page unless it touches the box or `arm` was
 * called.
 *
 * @param {HTMLElement} stage
 * @param {(box: Box|null, how: "pointer"|"key") => void} onCommit called when a box is finished
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

  function commit(how) {
    stage.classList.remove("armed");
    if (box) announce(view.getAttribute("aria-label"));
    onCommit(box, how);
  }
  const commitSoon = debounce(() => commit("key"), KEY_PAUSE);

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
    const on = handle ? "resize" : event.target === view ? "move" : "draw";
    if (on === "draw" && event.pointerType === "touch" && !stage.classList.contains("armed")) return;
    event.preventDefault();
    stage.setPointerCapture(event.pointerId);
    const [x, y] = toPhoto(event);
    gesture = { on, handle, x, y, before: box, screen: [event.clientX, event.clientY], id: event.pointerId };
    stage.classList.add("dragging");
    if (on !== "draw") view.focus({ preventScroll: true });
  });

  stage.addEventListener("pointermove", (event) => {
    if (!gesture || event.pointerId !== gesture.id) return;
    const [x, y] = toPhoto(event);
    const { on, handle, before } = gesture;
    const moved = Math.hypot(event.clientX - gesture.screen[0], event.clientY - gesture.screen[1]);
    if (moved >= CLICK) gesture.real = true;
    if (!gesture.real) return;
    if (on === "draw") show(boxBetween(gesture.x, gesture.y, x, y, photo));
    else if (on === "move") show(moveBox(before, x - gesture.x, y - gesture.y, photo));
    else show(resizeBox(before, handle, x - gesture.x, y - gesture.y, photo));
  });

  function finish(event, keep) {
    if (!gesture || event.pointerId !== gesture.id) return;
    const { before, real } = gesture;
    gesture = null;
    stage.classList.remove("dragging");
    if (!keep || !real) show(before);
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
    const step = event.altKey ? 1 : Math.max(1, Math.round(Math.max(photo.width, photo.height) / 50));
    const [dx, dy] = [arrow[0] * step, arrow[1] * step];
    show(event.shiftKey ? resizeBox(box, "se", dx, dy, photo) : moveBox(box, dx, dy, photo));
    commitSoon();
  });

  return {
    /** Set the photo's size in its own pixels; null while it is unknown. */
    setPhoto(size) {
      photo = size;
      show(box);
    },
    /** Show a box without telling of it; a drag in progress wins. */
    setBox(next) {
      if (!gesture && !sameBox(next, box)) show(next ?? null);
    },
    /** Put a box in the middle to be moved and resized, and let a finger draw another. */
    arm() {
      if (!photo) return;
      stage.classList.add("armed");
      if (!box) show(middleBox(photo));
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
