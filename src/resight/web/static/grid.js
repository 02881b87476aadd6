/** A justified grid of any number of photos; only tiles near the window are in the document. */

import { thumbnailUrl } from "./api.js";
import { debounce, element } from "./dom.js";
import { justify, neighborRow, rowAt, totalHeight } from "./layout.js";

/**
 * @typedef {import("./api.js").Photo} Photo
 * @typedef {{label: string, caption?: number, onNearEnd?: () => void,
 *   fill: (tile: HTMLElement, photo: any, image: HTMLImageElement) => void}} Options
 *   `fill` adds a tile's link and texts around its image; `caption` is their height in pixels
 */

const GAP = 10;
const OVERSCAN = 1; // windows above and below that are rendered
const NEAR_END = 3; // windows before the end at which more photos are requested
const FAST = 1.5; // windows per frame above which scrolling loads no thumbnails
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };

/**
 * Create a grid in a list element. Tab reaches one tile; arrow keys, Home and End move from there.
 *
 * @param {HTMLElement} list
 * @param {Options} options
 */
export function createGrid(list, { label, caption = 0, onNearEnd, fill }) {
  let photos = [];
  let rows = [];
  let measures = null;
  let active = 0;
  let size = -1;
  let lastY = window.scrollY;
  let frame = 0;
  const tiles = new Map();
  list.classList.add("grid");
  list.setAttribute("role", "list");
  list.setAttribute("aria-label", label);

  function measure() {
    const width = Math.floor(list.clientWidth);
    if (!width) return null;
    const rowHeight = width < 520 ? Math.max(100, width / 3) : Math.min(244, Math.max(170, width / 4.3));
    return { width, rowHeight, gap: width < 520 ? 6 : GAP, caption };
  }

  function layout(reuse) {
    const current = measure();
    if (!current) return;
    const sameWidth = measures?.width === current.width;
    measures = current;
    rows = justify(photos, measures, reuse && sameWidth ? rows : []);
    list.style.height = `${totalHeight(rows)}px`;
    for (const index of tiles.keys()) if (index >= photos.length) drop(index);
    for (const [index, tile] of tiles) place(tile, index);
    draw();
  }

  function place(tile, index) {
    const row = rows[rowOf(index)];
    const cell = row.cells[index - row.start];
    tile.style.transform = `translate(${cell.left}px, ${row.top}px)`;
    tile.style.width = `${cell.width}px`;
    tile.style.height = `${row.height}px`;
    tile.firstElementChild.style.height = `${row.photoHeight}px`;
    tile.setAttribute("aria-setsize", String(size >= 0 ? size : photos.length));
  }

  const rowOf = (index) => rows.findLastIndex(({ start }) => start <= index);

  function draw() {
    if (!measures || !list.isConnected) return;
    const height = window.innerHeight;
    const top = -list.getBoundingClientRect().top;
    const fast = Math.abs(window.scrollY - lastY) > FAST * height;
    lastY = window.scrollY;
    const first = rows[rowAt(rows, top - OVERSCAN * height)];
    const visible = new Set();
    if (first) {
      const end = rowAt(rows, top + (1 + OVERSCAN) * height);
      const last = rows[Math.min(end, rows.length - 1)];
      for (let i = first.start; i < last.start + last.cells.length; i += 1) visible.add(i);
    }
    if (tiles.get(active)?.contains(document.activeElement)) visible.add(active);
    for (const index of [...tiles.keys()]) if (!visible.has(index)) drop(index);
    insert([...visible].sort((a, b) => a - b));
    if (fast) settle();
    else loadImages();
    if (photos.length && top + (1 + NEAR_END) * height > totalHeight(rows)) onNearEnd?.();
  }
  const settle = debounce(() => schedule(), 90);

  /** Insert tiles in the order of the list, for screen readers and the keyboard. */
  function insert(indices) {
    let cursor = list.firstElementChild;
    for (const index of indices) {
      let tile = tiles.get(index);
      if (tile && tile === cursor) {
        cursor = cursor.nextElementSibling;
        continue;
      }
      if (!tile) {
        tile = createTile(index);
        tiles.set(index, tile);
        place(tile, index);
      }
      list.insertBefore(tile, cursor);
    }
  }

  function createTile(index) {
    const image = element("img", { alt: "", decoding: "async", draggable: "false", data: { src: thumbnailUrl(photos[index]) } });
    const tile = element("li", { class: "tile", role: "listitem", "aria-posinset": index + 1, data: { index } });
    image.addEventListener("load", () => image.classList.add("ready"));
    image.addEventListener("error", () => tile.classList.add("broken"));
    fill(tile, photos[index], image);
    for (const control of controls(tile)) control.tabIndex = index === active ? 0 : -1;
    return tile;
  }

  function loadImages() {
    for (const tile of tiles.values()) {
      const image = tile.querySelector("img");
      if (!image.src) image.src = image.dataset.src;
    }
  }

  function drop(index) {
    const tile = tiles.get(index);
    tiles.delete(index);
    const image = tile.querySelector("img");
    if (!image.complete) image.removeAttribute("src"); // cancels a load that nobody waits for
    tile.remove();
  }

  function controls(tile) {
    return tile ? tile.querySelectorAll("a, button") : [];
  }

  function activate(index) {
    for (const control of controls(tiles.get(active))) control.tabIndex = -1;
    active = index;
    for (const control of controls(tiles.get(active))) control.tabIndex = 0;
  }

  function focus(index) {
    if (!photos.length) return;
    const row = rows[rowOf(index)];
    const top = list.getBoundingClientRect().top + row.top;
    if (top < 72) window.scrollBy(0, top - 84);
    else if (top + row.height > window.innerHeight) window.scrollBy(0, top + row.height - window.innerHeight + 16);
    activate(index);
    draw();
    tiles.get(index)?.querySelector("a")?.focus({ preventScroll: true });
  }

  function schedule() {
    if (frame || !list.offsetParent) return;
    frame = requestAnimationFrame(() => {
      frame = 0;
      draw();
    });
  }

  list.addEventListener("focusin", (event) => {
    const index = Number(event.target.closest(".tile")?.dataset.index);
    if (Number.isInteger(index) && index !== active) activate(index);
  });
  list.addEventListener("keydown", (event) => {
    if (event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    const next = target(event.key);
    if (next === null) return;
    event.preventDefault();
    focus(Math.min(Math.max(next, 0), photos.length - 1));
  });

  function target(key) {
    if (key in STEPS) return active + STEPS[key];
    if (key === "ArrowUp") return neighborRow(rows, active, -1);
    if (key === "ArrowDown") return neighborRow(rows, active, 1);
    if (key === "Home") return 0;
    return key === "End" ? photos.length - 1 : null;
  }

  window.addEventListener("scroll", schedule, { passive: true });
  new ResizeObserver(() => {
    if (measure()?.width !== measures?.width) layout(false);
    else schedule();
  }).observe(list);
  window.addEventListener("resize", schedule);

  return {
    /**
     * Show photos; with `keep`, the tiles of the first ones stay as they are.
     *
     * @param {any[]} next
     * @param {{keep?: boolean, total?: number}} [options] `keep` when photos were only added
     */
    setPhotos(next, { keep = false, total = -1 } = {}) {
      photos = next;
      size = total;
      if (!keep) {
        for (const index of [...tiles.keys()]) drop(index);
        active = 0;
      }
      layout(keep);
    },
    /** Update the tiles near the window, for instance after the page was scrolled. */
    refresh: () => layout(true),
    focus,
  };
}
