/** Zoom and pan photos together: by wheel, fingers, mouse and keyboard. */

const MAX_SCALE = 16;
const STEP = 1.5; // of keys and buttons
const DOUBLE = 3; // of a double click
const WHEEL = 0.0022; // per pixel of a wheel
const PAN = 0.12; // of the visible part, by keys
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/**
 * Return a view at another scale, with the same point under the pointer. Points are shares of the photo's sides; a view
 * is its scale and the point in the middle.
 */
export function zoomAt(view, factor, point) {
  const scale = Math.min(MAX_SCALE, Math.max(1, view.scale * factor));
  const kept = view.scale / scale;
  return inside({ scale, x: point.x + (view.x - point.x) * kept, y: point.y + (view.y - point.y) * kept });
}

/** Return a view whose visible part is inside the photo. */
export function inside({ scale, x, y }) {
  const half = 0.5 / scale;
  const clamp = (value) => Math.min(1 - half, Math.max(half, value));
  return { scale, x: clamp(x), y: clamp(y) };
}

/** Zoom the stages in an area together; `changed` is called with the scale after each change. */
export function createZoom(area, stages, changed) {
  const pointers = new Map();
  let view = { scale: 1, x: 0.5, y: 0.5 };

  function set(next) {
    view = next;
    const { scale, x, y } = view;
    area.classList.toggle("zoomed", scale > 1);
    const shift = (value) => `${(0.5 - value) * scale * 100}%`;
    for (const stage of stages) {
      stage.style.transform = scale === 1 ? "" : `translate(${shift(x)}, ${shift(y)}) scale(${scale})`;
    }
    changed(scale);
  }

  /** Return the point of the nearest photo under the pointer. */
  function pointAt({ clientX, clientY }) {
    const distance = (frame) => Math.hypot(clientX - (frame.left + frame.right) / 2, clientY - (frame.top + frame.bottom) / 2);
    const panes = stages.map((stage) => [stage, stage.parentElement.getBoundingClientRect()]);
    const [stage] = panes.reduce((a, b) => (distance(b[1]) < distance(a[1]) ? b : a));
    const { left, top, width, height } = stage.getBoundingClientRect();
    return { x: (clientX - left) / width, y: (clientY - top) / height };
  }

  function pan(dx, dy) {
    const { width, height } = stages[0].getBoundingClientRect();
    set(inside({ ...view, x: view.x - dx / width, y: view.y - dy / height }));
  }

  area.addEventListener("wheel", (event) => {
    event.preventDefault();
    set(zoomAt(view, Math.exp(-event.deltaY * WHEEL * (event.deltaMode ? 30 : 1)), pointAt(event)));
  }, { passive: false });
  area.addEventListener("dblclick", (event) => {
    set(zoomAt(view, view.scale > 1 ? 0 : DOUBLE, pointAt(event)));
  });
  area.addEventListener("pointerdown", (event) => {
    if (event.target.closest("a, button")) return; // a captured pointer would not click them
    pointers.set(event.pointerId, event);
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    const other = [...pointers.values()].find(({ pointerId }) => pointerId !== event.pointerId);
    pointers.set(event.pointerId, event);
    if (!other) {
      pan(event.clientX - before.clientX, event.clientY - before.clientY);
      return;
    }
    const apart = ({ clientX, clientY }) => Math.hypot(clientX - other.clientX, clientY - other.clientY);
    const middle = { clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 };
    set(zoomAt(view, apart(event) / Math.max(1, apart(before)), pointAt(middle)));
    pan((event.clientX - before.clientX) / 2, (event.clientY - before.clientY) / 2);
  });
  for (const end of ["pointerup", "pointercancel"]) area.addEventListener(end, ({ pointerId }) => pointers.delete(pointerId));

  return {
    by: (factor) => set(zoomAt(view, factor, view)),
    reset: () => set({ scale: 1, x: 0.5, y: 0.5 }),
    /** Zoom by `+`, `-` and `0`, and pan by Shift and the arrows; return whether the key did. */
    press({ key, shiftKey }) {
      if (shiftKey && ARROWS[key]) {
        const [x, y] = ARROWS[key];
        set(inside({ ...view, x: view.x + (x * PAN) / view.scale, y: view.y + (y * PAN) / view.scale }));
      } else if (key === "+" || key === "=") this.by(STEP);
      else if (key === "-") this.by(1 / STEP);
      else if (key === "0") this.reset();
      else return false;
      return true;
    },
  };
}
