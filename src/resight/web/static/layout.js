/** The geometry of a justified grid: rows of equal width in which every photo keeps its shape. */

/**
 * @typedef {{left: number, width: number}} Cell
 * @typedef {{top: number, height: number, photoHeight: number, start: number,
 *   cells: Cell[]}} Row  `start` is the index of the row's first photo
 * @typedef {{width: number, rowHeight: number, gap: number, caption: number}} Measures  pixels
 */

const NARROWEST = 0.5;
const WIDEST = 2.6;

/**
 * The shape in which a photo is shown: very long ones are cut to bearable.
 *
 * @param {{width: number, height: number}} photo
 * @returns {number} width over height
 */
export function shownAspect(photo) {
  const aspect = photo.width / photo.height;
  return Number.isFinite(aspect) ? Math.min(WIDEST, Math.max(NARROWEST, aspect)) : 4 / 3;
}

/**
 * Lay photos out in rows. Rows are filled to the width; the last row of a finished list keeps the
 * height asked for and may end early.
 *
 * @param {{width: number, height: number}[]} photos
 * @param {Measures} measures
 * @param {Row[]} [known] rows of an earlier call for the first of these photos, used again except
 *   for the last one, which may have been incomplete
 * @returns {Row[]}
 */
export function justify(photos, measures, known = []) {
  const rows = known.slice(0, -1);
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
    rows.push(makeRow(photos, start, end + 1, top, photoHeight, measures, complete));
    top += photoHeight + caption + gap;
    start = end + 1;
    sum = 0;
  }
  return rows;
}

function makeRow(photos, start, end, top, photoHeight, { width, gap, caption }, complete) {
  const cells = [];
  let left = 0;
  for (let i = start; i < end; i += 1) {
    const ideal = shownAspect(photos[i]) * photoHeight;
    // The last photo of a full row takes up what rounding left over.
    const cell = { left, width: complete && i === end - 1 ? width - left : ideal };
    cells.push(cell);
    left += cell.width + gap;
  }
  return { top, height: photoHeight + caption, photoHeight, start, cells };
}

/**
 * The height of all rows.
 *
 * @param {Row[]} rows
 * @returns {number}
 */
export function totalHeight(rows) {
  const last = rows.at(-1);
  return last ? last.top + last.height : 0;
}

/**
 * The first row that ends below a height, by bisection; `rows.length` when none does.
 *
 * @param {Row[]} rows
 * @param {number} y
 * @returns {number}
 */
export function rowAt(rows, y) {
  let low = 0;
  let high = rows.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (rows[middle].top + rows[middle].height <= y) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * The photo that the arrow up (-1) or down (+1) leads to: in the next row, nearest to the middle.
 *
 * @param {Row[]} rows
 * @param {number} index
 * @param {-1|1} direction
 * @returns {number} the same index at the edge
 */
export function neighborRow(rows, index, direction) {
  const at = rows.findIndex((row) => index < row.start + row.cells.length);
  const other = rows[at + direction];
  if (at < 0 || !other) return index;
  const cell = rows[at].cells[index - rows[at].start];
  const middle = cell.left + cell.width / 2;
  const away = other.cells.map((c) => Math.abs(c.left + c.width / 2 - middle));
  return other.start + away.indexOf(Math.min(...away));
}
