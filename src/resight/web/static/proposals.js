/** Proposed regions of the query: parts that results agree with, each a dot to tap. */

import { overlap, placeBox } from "./boxes.js";
import { element } from "./dom.js";
import { text } from "./texts.js";
import { isFound } from "./verdict.js";

const MAX_PROPOSALS = 5;
const MAX_SHARE = 0.6; // of the photo: a larger region is about the whole of it
const MIN_SHARE = 0.004; // a smaller one is hardly an object
const MAX_OVERLAP = 0.5; // of two regions

/** Return the regions of the query that results agree with, best first, distinct and smaller than the photo. */
export function proposedRegions(results, { width, height }) {
  const chosen = [];
  for (const result of results) {
    const box = result.query_region;
    if (!box || !isFound(result) || chosen.length === MAX_PROPOSALS) continue;
    const share = (box[2] * box[3]) / (width * height);
    if (share > MAX_SHARE || share < MIN_SHARE) continue;
    if (chosen.every((other) => overlap(other.box, box) < MAX_OVERLAP)) chosen.push({ box, name: result.name });
  }
  return chosen;
}

/** Show proposals on a stage. */
export function createProposals(stage, choose) {
  const layer = element("div", { class: "proposals", role: "group", "aria-label": text("proposals.label"), hidden: true });
  stage.append(layer);

  function draw({ box, name }, photo, index) {
    const label = text("proposals.search", { index: index + 1, name });
    const dot = element("button", { type: "button", class: "proposal", title: label, "aria-label": label });
    dot.addEventListener("click", () => choose(box));
    const area = element("div", { class: "proposal-area" }, dot);
    Object.assign(area.style, placeBox(box, photo));
    return area;
  }

  return {
    show(regions, photo) {
      layer.hidden = !regions.length;
      layer.replaceChildren(...regions.map((region, index) => draw(region, photo, index)));
    },
  };
}
