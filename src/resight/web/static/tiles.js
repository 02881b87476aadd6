/** What a photo looks like in a grid: the picture is the link, the words stay small. */

import { formatHash } from "./state.js";
import { button, element, shortDistance } from "./dom.js";

/** @typedef {import("./api.js").Photo} Photo */
/** @typedef {import("./api.js").Result} Result */

export const CAPTION_HEIGHT = 26;

/**
 * A photo of the collection: it leads to a search with it.
 *
 * @param {HTMLElement} tile
 * @param {Photo} photo
 * @param {HTMLImageElement} image
 */
export function fillPhotoTile(tile, photo, image) {
  const href = formatHash({ page: "search", photo: photo.id });
  const link = element("a", { class: "tile-photo", href, title: photo.name, "aria-label": `Search with ${photo.name}` });
  link.append(image);
  tile.append(link);
}

/**
 * A result: it opens the comparison; two small buttons search from it or draw a box in it.
 *
 * @param {{compare: (result: Result) => string, searchFrom: (result: Result) => void,
 *   drawIn: (result: Result) => void}} actions `compare` gives the link's address
 * @returns {(tile: HTMLElement, result: Result, image: HTMLImageElement) => void}
 */
export function resultTile({ compare, searchFrom, drawIn }) {
  return (tile, result, image) => {
    const { name, rank, distance, inliers } = result;
    const spoken = `Result ${rank}: ${name}, distance ${shortDistance(distance)}. Compare`;
    const link = element("a", { class: "tile-photo", href: compare(result), title: name, "aria-label": spoken });
    // The address is made anew: the query or its box may have a new name by now.
    const renew = () => link.setAttribute("href", compare(result));
    link.addEventListener("click", renew, { capture: true });
    link.append(image);
    const tools = element(
      "div", { class: "tile-tools" },
      button({ icon: "search", class: "tool", label: `Search with ${name}`, press: () => searchFrom(result) }),
      button({ icon: "box", class: "tool", label: `Draw a box in ${name}`, press: () => drawIn(result) }),
    );
    const caption = element(
      "p", { class: "caption" },
      element("span", { class: "distance", text: shortDistance(distance), title: `distance ${distance}`, data: { distance } }),
      inliers ? element("span", { class: "inliers", text: `${inliers} agree`, title: `${inliers} places agree on one geometry` }) : null,
      element("span", { class: "name", text: name, title: name }),
    );
    tile.append(link, tools, caption);
  };
}
