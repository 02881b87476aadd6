/** Names and sizes of photos seen so far, so that a photo has its place before it has loaded. */

import * as api from "./api.js";

const photos = new Map();

/** @param {import("./api.js").Photo[]} list */
export function remember(list) {
  for (const { id, name, width, height, version } of list) {
    photos.set(id, { id, name, width, height, version });
  }
}

/**
 * @param {number} id
 * @returns {import("./api.js").Photo|undefined}
 */
export function known(id) {
  return photos.get(id);
}

/**
 * @param {number} id
 * @param {AbortSignal} [signal]
 * @returns {Promise<import("./api.js").Photo>}
 */
export async function photoOf(id, signal) {
  if (!photos.has(id)) remember([await api.photo(id, signal)]);
  return photos.get(id);
}

/** Forget them: the collection has changed. */
export function forgetPhotos() {
  photos.clear();
}
