/** The HTTP interface, one function per endpoint. Every failure is a `Problem` with a plain sentence. */

/**
 * @typedef {{id: number, name: string, path?: string, width: number, height: number,
 *   version?: string}} Photo  `version` changes with the content
 * @typedef {Photo & {rank: number, distance: number, verdict?: "same"|"probable"|"different",
 *   probability?: number, kind?: string, inliers?: number}} Result
 * @typedef {[number, number, number, number]} Box  x, y, w, h in pixels of the upright photo
 * @typedef {{photo?: number, upload?: string, url?: string, blob?: File}} Query
 */

import { text } from "./texts.js";

const ROOT = new URL("api/v1/", document.baseURI);
const MAX_ATTEMPTS = 4;
const TITLED = [401, 403, 404, 408, 409, 413, 415, 422, 429, 503]; // statuses with a heading of their own

/**
 * A failed request: `title` is a short heading, `message` a sentence, `status` 0 without a response. The sentence is in
 * the reader's language if it is the page's `own`; those of the server are in English.
 */
export class Problem extends Error {
  constructor(status, title, detail, own = false) {
    super(detail);
    this.status = status;
    this.title = title;
    this.own = own;
  }
}

/** Return the URL of a resource of the interface. */
export const resourceUrl = (path) => new URL(path, ROOT).href;
export const thumbnailUrl = (photo) => pictureUrl(photo, "thumbnail");
export const originalUrl = (photo) => pictureUrl(photo, "original");
export const uploadUrl = (token) => resourceUrl(`uploads/${encodeURIComponent(token)}`);

/** Fetch the collection's name, method and limits. */
export const collection = () => request("collection");
/** Fetch the photos that could not be indexed, with reasons. */
export const failed = () => request("failed");
/** Fetch the explanation of why a photo of the collection matched. */
export const explain = (query, box, result, signal) =>
  request("explain", { json: { query: reference(query), box: box?.join(","), result }, signal });
/** Remember that photos show the same thing, or not: "same" or "different", with `others` from each of these. */
export const decide = (verdict, photos, others) => request("hints", { json: { verdict, photos, others } });
/** Fetch the decisions on photos. */
export const hints = () => request("hints");
/** Undo a decision. */
export const undoHint = (id) => request(`hints/${id}`, { method: "DELETE" });
/** Undo a whole decision by the response to it, and restore what it replaced. */
export async function undoDecision({ hints: [{ decided }], replaced }) {
  await request(withQuery("hints", { decided }), { method: "DELETE" });
  for (const { verdict, photos } of replaced) {
    if (photos.every(Boolean)) await decide(verdict, photos.map(({ id }) => id));
  }
}
/** Fetch the named things. */
export const names = () => request("names");
/** Name the thing that photos show. */
export const nameThing = (name, photos) => request("names", { json: { name, photos } });
/** Remove a name, from all photos or from some. */
export const removeName = (name, photos = []) => {
  const values = new URLSearchParams([["name", name], ...photos.map((id) => ["photo", String(id)])]);
  return request(`names?${values}`, { method: "DELETE" });
};
/** Search with the photos that carry a name. */
export const searchThing = (name, { box: _, ...options }, signal) => request("names/search", { json: { thing: name, ...options }, signal });
/** Fetch the moves that can be undone. */
export const moves = () => request("moves");
/** Fetch whether the collection's folders are watched, and what was added. */
export const watch = () => request("watch");
/** Switch watching on or off. */
export const setWatch = (watching) => request("watch", { json: { watching } });
/** Stop a job. */
export const stopJob = (id) => request(`jobs/${encodeURIComponent(id)}`, { method: "DELETE" });
/** Start a job; the response holds its id. */
export const startJob = (job) => request("jobs", { json: job });
/** Fetch a page of the collection's photos that match filters, in an order. */
export const photos = (query, signal) => request(withQuery("photos", query), { signal });
/** Fetch the folders of the photos, with their numbers of photos. */
export const folders = () => request("folders");
/** Fetch a photo's details: date, camera, size of its file, folder. */
export const details = (id) => request(`photos/${id}/details`);
/** Show a photo in the file manager of the server's machine. */
export const reveal = (id) => request(`photos/${id}/reveal`, { method: "POST" });
/** Fetch a page of groups of photos that show the same thing. */
export const groups = ({ limit, after, min_photos, under }, signal) => request(withQuery("groups", { limit, after, min_photos, under }), { signal });

/** Search. A blob is uploaded; the response's `query.upload` names it from then on. */
export function search(query, { box, ...options }, signal) {
  const fields = { ...options, box: box?.join(",") };
  if (!query.blob) return request("search", { json: { ...reference(query), ...fields }, signal });
  const form = new FormData();
  form.set("file", query.blob, query.blob.name || "photo");
  for (const [key, value] of Object.entries(fields)) if (value !== undefined) form.set(key, String(value));
  return request("search", { form, signal });
}

/** Follow a job's events until it ends; resolves to the data of its last event. */
export function followJob(id, onProgress) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(resourceUrl(`jobs/${encodeURIComponent(id)}/events`));
    const onEnd = (name, settle) => source.addEventListener(name, (event) => {
      source.close();
      settle(event.data ? JSON.parse(event.data) : {});
    });
    source.addEventListener("progress", (event) => onProgress(JSON.parse(event.data)));
    onEnd("done", resolve);
    onEnd("failed", ({ detail }) => reject(new Problem(500, text("problem.job"), detail ?? "")));
    source.addEventListener("error", () => {
      // The browser reconnects a broken connection by itself, but not a refused one.
      if (source.readyState === EventSource.CLOSED) reject(unreachable());
    });
  });
}

const photoCache = new Map();

/** Cache the entries of photos, so that each has its place before it has loaded. */
export function cachePhotos(list) {
  for (const { id, name, width, height, version, path } of list) photoCache.set(id, { id, name, width, height, version, path });
}

/** Return a cached photo. */
export const cachedPhoto = (id) => photoCache.get(id);

/** Empty the cache: the collection has changed. */
export const clearPhotos = () => photoCache.clear();

/** Return a photo's name and size. */
export async function photo(id, signal) {
  if (!photoCache.has(id)) cachePhotos([await request(`photos/${id}`, { signal })]);
  return photoCache.get(id);
}

const pictureUrl = ({ id, version }, kind) => resourceUrl(withQuery(`photos/${id}/${kind}`, { v: version }));

function reference({ photo: id, upload, url }) {
  if (id !== undefined) return { photo: id };
  return upload !== undefined ? { upload } : { url };
}

function withQuery(path, values) {
  const present = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return present.length ? `${path}?${new URLSearchParams(present.map(([k, v]) => [k, String(v)]))}` : path;
}

function unreachable() {
  return new Problem(0, text("problem.offline_title"), text("problem.offline"), true);
}

async function request(path, { json, form, signal, method } = {}) {
  const options = { signal, method, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (json || form) {
    options.method = "POST";
    options.body = form ?? JSON.stringify(json);
    if (json) options.headers["Content-Type"] = "application/json";
  }
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(resourceUrl(path), options).catch((error) => {
      throw signal?.aborted ? error : unreachable();
    });
    if (response.ok) return response.json();
    if (response.status !== 429 || attempt >= MAX_ATTEMPTS) throw await readProblem(response);
    await pause(Number(response.headers.get("Retry-After")) || 1, signal);
  }
}

async function readProblem(response) {
  const title = text(TITLED.includes(response.status) ? `problem.status_${response.status}` : "problem.other");
  if (response.status === 401) {
    return new Problem(401, title, text("problem.token"), true);
  }
  const { detail } = await response.json().catch(() => ({}));
  return new Problem(response.status, title, typeof detail === "string" ? detail : "");
}

function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, Math.min(seconds, 10) * 1000);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
