/** Why two photos matched: heat and mask laid over them, lines between matched places. */

import { placeBox } from "./boxes.js";
import { element, svg } from "./dom.js";

/**
 * @typedef {{width: number, height: number, heat: string|null, cam: string|null}} Side
 * @typedef {{query: Side, result: Side, matches: [number, number, number, number][],
 *   inliers: number, distance: number, agreement: number}} Explanation
 */

const MOST_LINES = 64; // more would hide the photos

/**
 * A photo with places for the layers over it.
 *
 * @param {"query"|"result"} which
 */
export function createPane(which) {
  const image = element("img", { class: "pane-photo", alt: "", draggable: "false" });
  const heat = element("img", { class: "layer heat", alt: "", hidden: true });
  const cam = element("img", { class: "layer cam", alt: "", hidden: true });
  const box = element("div", { class: "pane-box", hidden: true });
  const stage = element("div", { class: "pane-stage", data: { side: which } }, image, heat, cam, box);
  const name = element("figcaption");
  const pane = element("figure", { class: "pane" }, element("div", { class: "pane-fit" }, stage, name));
  return {
    pane, stage, name,
    /** Show a photo of a known size. */
    setPhoto(source, title, size) {
      if (size) stage.style.setProperty("--aspect", String(size.width / size.height));
      if (image.src !== source) image.src = source;
      image.alt = title;
      name.textContent = title;
      this.setLayers(null);
    },
    setBox(at, size) {
      box.hidden = !at;
      if (at && size) Object.assign(box.style, placeBox(at, size));
    },
    /** @param {Side|null} side */
    setLayers(side) {
      for (const [layer, source] of [[heat, side?.heat], [cam, side?.cam]]) {
        if (source) layer.src = source;
        else layer.removeAttribute("src");
        layer.hidden = !source;
      }
    },
  };
}

/**
 * Draw the matched places and their lines over two panes.
 *
 * @param {SVGElement} canvas lies over both panes
 * @param {HTMLElement} query the stage of the query
 * @param {HTMLElement} result the stage of the result
 * @param {Explanation|null} explanation
 */
export function drawLines(canvas, query, result, explanation) {
  canvas.replaceChildren();
  if (!explanation) return;
  const frame = canvas.getBoundingClientRect();
  canvas.setAttribute("viewBox", `0 0 ${frame.width} ${frame.height}`);
  const from = placer(query, explanation.query, frame);
  const to = placer(result, explanation.result, frame);
  for (const match of spread(explanation.matches)) {
    const [x1, y1] = from(match[0], match[1]);
    const [x2, y2] = to(match[2], match[3]);
    // Neighbors in the photo get neighboring colors, so that a line can be followed by eye.
    const hue = 40 + (280 * match[1]) / explanation.query.height;
    const group = svg("g", { class: "match", stroke: `hsl(${hue} 85% 62%)`, fill: `hsl(${hue} 85% 62%)` });
    group.append(
      svg("line", { x1, y1, x2, y2 }),
      svg("circle", { cx: x1, cy: y1, r: 3 }),
      svg("circle", { cx: x2, cy: y2, r: 3 }),
    );
    canvas.append(group);
  }
}

function placer(stage, size, frame) {
  const area = stage.getBoundingClientRect();
  return (x, y) => [
    round(area.left - frame.left + (x / size.width) * area.width),
    round(area.top - frame.top + (y / size.height) * area.height),
  ];
}

const round = (value) => Math.round(value * 10) / 10;

/** At most so many matches as can be told apart, spread evenly over the list. */
function spread(matches) {
  const step = Math.max(1, matches.length / MOST_LINES);
  const chosen = [];
  for (let i = 0; i < matches.length; i += step) chosen.push(matches[Math.floor(i)]);
  return chosen;
}

/**
 * The explanation in one or two sentences.
 *
 * @param {Explanation} explanation
 * @returns {string}
 */
export function inWords({ inliers, matches, agreement, query }) {
  const said = [];
  if (inliers > 0) said.push(`${inliers} places in the two photos match and agree on one geometry.`);
  else if (matches.length > 0) said.push(`${matches.length} places match, but they agree on no common geometry.`);
  else said.push("No single places could be matched.");
  if (agreement > 0 && agreement <= 1) said.push(`The descriptors have ${Math.round(100 * agreement)} % in common.`);
  if (query.heat) said.push("Warm colors show what brought them together.");
  return said.join(" ");
}
