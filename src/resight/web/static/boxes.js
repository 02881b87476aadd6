/** The geometry of boxes: (x, y, w, h) in whole pixels of the upright photo. */

/**
 * @typedef {import("./api.js").Box} Box
 * @typedef {{width: number, height: number}} Size
 */

/** Shortest side of a drawn box, in pixels of the photo (or the photo's own side). */
const MIN_SIDE = 16;

/**
 * Return the box between two corners, inside the photo.
 *
 * @param {number} x1 @param {number} y1 @param {number} x2 @param {number} y2 @param {Size} photo
 * @returns {Box}
 */
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

/**
 * Move a box within the photo.
 *
 * @param {Box} box @param {number} dx @param {number} dy @param {Size} photo
 * @returns {Box}
 */
export function moveBox([x, y, w, h], dx, dy, photo) {
  const clamp = (value, max) => Math.round(Math.min(Math.max(value, 0), max));
  return [clamp(x + dx, photo.width - w), clamp(y + dy, photo.height - h), w, h];
}

/**
 * Drag one side or corner of a box; dragged past the opposite side, the box flips.
 *
 * @param {Box} box @param {string} handle compass points such as "n" or "se"
 * @param {number} dx @param {number} dy @param {Size} photo
 * @returns {Box}
 */
export function resizeBox([x, y, w, h], handle, dx, dy, photo) {
  const left = x + (handle.includes("w") ? dx : 0);
  const right = x + w + (handle.includes("e") ? dx : 0);
  const top = y + (handle.includes("n") ? dy : 0);
  const bottom = y + h + (handle.includes("s") ? dy : 0);
  return boxBetween(left, top, right, bottom, photo);
}

/** Return the middle of a photo, half as wide and high: the first box without a mouse. @param {Size} photo */
export function centerBox({ width, height }) {
  return boxBetween(width / 4, height / 4, (3 * width) / 4, (3 * height) / 4, { width, height });
}

/**
 * Crop a box to the photo; return null if it lies outside.
 *
 * @param {Box|undefined|null} box @param {Size} photo
 * @returns {Box|null}
 */
export function insideBox(box, photo) {
  if (!box || box[0] >= photo.width || box[1] >= photo.height) return null;
  const [x, y, w, h] = box;
  return [x, y, Math.min(w, photo.width - x), Math.min(h, photo.height - y)];
}

/** Return a box's position on its photo in percent, for CSS. @param {Box} box @param {Size} photo */
export function placeBox([x, y, w, h], { width, height }) {
  const percent = (value, total) => `${(100 * value) / total}%`;
  return { left: percent(x, width), top: percent(y, height), width: percent(w, width), height: percent(h, height) };
}

/** Tell whether two boxes are equal. @param {Box|null|undefined} a @param {Box|null|undefined} b */
export function sameBox(a, b) {
  return (a ?? []).join() === (b ?? []).join();
}
