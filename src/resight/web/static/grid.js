/** A justified grid of any number of photos; only tiles near the window are in the document. */

import { thumbnailUrl } from "./api.js";
import { debounce, element } from "./dom.js";
import { formatHash } from "./state.js";
import { text } from "./texts.js";

const GAP = 10;
const OVERSCAN = 1; // windows above and below that are rendered
const NEAR_END = 3; // windows before the end at which more photos are requested
const FAST = 1.5; // windows per frame above which scrolling loads no thumbnails
const STEPS = { ArrowLeft: -1, ArrowRight: 1 };
const MIN_ASPECT = 0.5;
const MAX_ASPECT = 2.6;

/** Return the aspect ratio at which a photo is shown: extreme ones are cropped. */
export function shownAspect(photo) {
  const aspect = photo.width / photo.height;
  return Number.isFinite(aspect) ? Math.min(MAX_ASPECT, Math.max(MIN_ASPECT, aspect)) : 4 / 3;
}

/** Build a link around a photo's image to a search with that photo. */
export function photoLink({ id, name }, image) {
  const href = formatHash({ page: "search", photo: id });
  return element("a", { class: "tile-photo", href, title: name, "aria-label": text("grid.search_with", { name }) }, image);
}

/**
 * Lay photos out in rows filled to the width; the last one keeps the preferred height and may end early. Rows of an
 * earlier call for the first of these photos are reused, except for the last one. A row's `start` is the index of its
 * first photo.
 */
export function justify(photos, measures, previous = []) {
  const rows = previous.slice(0, -1);
  const { width, rowHeight, gap, caption } = measures;
  const last = rows.at(-1);
  let top = last ? last.top + last.height + gap : 0;
  let start = last ? last.start + last.cells.length : 0;
  let sum = 0;
  for (let end = start; end < photos.length; end += 1) {
    sum += shownAspect(photos[end]);
    const free = width - gap * (end - start);
    const complete = sum * rowHeight >= free;
    if (!complete && end + 1 < photos.length) continue;
    const photoHeight = complete ? free / sum : rowHeight;
    rows.push(createRow(photos, start, end + 1, top, photoHeight, measures, complete));
    top += photoHeight + caption + gap;
    start = end + 1;
    sum = 0;
  }
  return rows;
}

function createRow(photos, start, end, top, photoHeight, { width, gap, caption }, complete) {
  const cells = [];
  let left = 0;
  for (let i = start; i < end; i += 1) {
    const ideal = shownAspect(photos[i]) * photoHeight;
    // The last photo of a full row absorbs rounding errors.
    const cell = { left, width: complete && i === end - 1 ? width - left : ideal };
    cells.push(cell);
    left += cell.width + gap;
  }
  return { top, height: photoHeight + caption, photoHeight, start, cells };
}

/** Return the height of all rows. */
export const totalHeight = (rows) => (rows.length ? rows.at(-1).top + rows.at(-1).height : 0);

/** Return the index of the first row that ends below a height. */
export function rowAt(rows, y) {
  const index = rows.findIndex(({ top, height }) => top + height > y);
  return index < 0 ? rows.length : index;
}

/** Return the photo above (-1) or below (+1) another, nearest to its middle; at the edge, the photo itself. */
export function neighborRow(rows, index, direction) {
  const row = rows.findIndex(({ start, cells }) => index < start + cells.length);
  const other = rows[row + direction];
  if (row < 0 || !other) return index;
  const center = ({ left, width }) => left + width / 2;
  const middle = center(rows[row].cells[index - rows[row].start]);
  const offsets = other.cells.map((cell) => Math.abs(center(cell) - middle));
  return other.start + offsets.indexOf(Math.min(...offsets));
}

/**
 * Create a grid in a list element. `fill(tile, photo, image)` adds a tile's link and texts around its image; `caption`
 * is the height of the texts in pixels, `narrow` how many square photos are side by side on a phone. Tab reaches one
 * tile; arrow keys, Home and End move from there.
 */
export function createGrid(list, { label, caption = 0, narrow = 3, onNearEnd, fill }) {
  let photos = [];
  let rows = [];
  let measures = null;
  let active = 0;
  let size = -1;
  let lastY = window.scrollY;
  let frame = 0;
  let scrolled = false; // until then, only photos in the window are loaded
  const tiles = new Map();
  list.classList.add("grid");
  list.setAttribute("role", "list");
  list.setAttribute("aria-label", label);

  function measure() {
    const width = Math.floor(list.clientWidth);
    if (!width) return null;
    const rowHeight = width < 520 ? Math.max(100, width / narrow) : Math.min(244, Math.max(170, width / 4.3));
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
    scrolled ||= window.scrollY !== lastY;
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
    else loadImages(top + height);
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
    image.addEventListener("error", () => {
      tile.classList.add("broken");
      image.parentElement.dataset.broken = text("grid.broken");
    });
    fill(tile, photos[index], image);
    for (const control of controls(tile)) control.tabIndex = index === active ? 0 : -1;
    return tile;
  }

  function loadImages(bottom) {
    for (const [index, tile] of tiles) {
      const image = tile.querySelector("img");
      if (!image.src && (scrolled || rows[rowOf(index)].top < bottom)) image.src = image.dataset.src;
    }
  }

  function drop(index) {
    const tile = tiles.get(index);
    tiles.delete(index);
    const image = tile.querySelector("img");
    if (!image.complete) image.removeAttribute("src"); // cancels a load that nobody waits for
    tile.remove();
  }

  const controls = (tile) => tile?.querySelectorAll("a, button") ?? [];

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
  const observer = new ResizeObserver(() => {
    if (measure()?.width !== measures?.width || (photos.length && !rows.length)) layout(false);
    else schedule();
  });
  observer.observe(list);
  observer.observe(document.body); // what is above may get shorter
  window.addEventListener("resize", schedule);

  return {
    /** Show photos; with `keep`, the tiles of the first ones stay as they are. */
    setPhotos(next, { keep = false, total = -1 } = {}) {
      photos = next;
      size = total;
      if (!keep) {
        for (const index of [...tiles.keys()]) drop(index);
        rows = []; // of other photos; a hidden list is laid out when it is shown
        active = 0;
      }
      layout(keep);
    },
    /** Update the tiles near the window, for instance after scrolling. */
    refresh: () => layout(true),
    focus,
  };
}
