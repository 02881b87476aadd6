/** The geometry of a justified grid: rows of equal width in which every photo keeps its aspect ratio. */

/**
 * @typedef {{left: number, width: number}} Cell
 * @typedef {{top: number, height: number, photoHeight: number, start: number,
 *   cells: Cell[]}} Row  `start` is the index of the row's first photo
 * @typedef {{width: number, rowHeight: number, gap: number, caption: number}} Measures  pixels
 */

const MIN_ASPECT = 0.5;
const MAX_ASPECT = 2.6;

/** Return the aspect ratio at which a photo is shown: extreme ones are cropped. @param {{width: number, height: number}} photo */
export function shownAspect(photo) {
  const aspect = photo.width / photo.height;
  return Number.isFinite(aspect) ? Math.min(MAX_ASPECT, Math.max(MIN_ASPECT, aspect)) : 4 / 3;
}

/**
 * Lay photos out in rows. Rows are filled to the width; the last row of a complete list keeps the
 * preferred height and may end early.
 *
 * @param {{width: number, height: number}[]} photos
 * @param {Measures} measures
 * @param {Row[]} [previous] rows of an earlier call for the first of these photos; all but the
 *   last one, which may have been incomplete, are reused
 * @returns {Row[]}
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

/** Return the height of all rows. @param {Row[]} rows */
export function totalHeight(rows) {
  const last = rows.at(-1);
  return last ? last.top + last.height : 0;
}

/** Return the index of the first row that ends below a height. @param {Row[]} rows @param {number} y */
export function rowAt(rows, y) {
  const index = rows.findIndex(({ top, height }) => top + height > y);
  return index < 0 ? rows.length : index;
}

/**
 * Return the photo above (-1) or below (+1) another: in the next row, nearest to its middle.
 *
 * @param {Row[]} rows
 * @param {number} index
 * @param {-1|1} direction
 * @returns {number} the same index at the edge
 */
export function neighborRow(rows, index, direction) {
  const row = rows.findIndex(({ start, cells }) => index < start + cells.length);
  const other = rows[row + direction];
  if (row < 0 || !other) return index;
  const center = ({ left, width }) => left + width / 2;
  const middle = center(rows[row].cells[index - rows[row].start]);
  const offsets = other.cells.map((cell) => Math.abs(center(cell) - middle));
  return other.start + offsets.indexOf(Math.min(...offsets));
}
