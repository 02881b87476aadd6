/** The HTTP interface, one function each. Every failure is a `Problem` with a plain sentence. */

/**
 * @typedef {{id: number, name: string, path?: string, width: number, height: number,
 *   version?: string}} Photo  `version` changes with the content
 * @typedef {Photo & {rank: number, distance: number, inliers?: number|null}} Result
 * @typedef {[number, number, number, number]} Box  x, y, w, h in pixels of the upright photo
 * @typedef {{photo?: number, upload?: string, url?: string, blob?: File}} Query
 */

const ROOT = new URL("api/v1/", document.baseURI);
const BUSY_TRIES = 4;

/** A request that failed: `title` is short, `message` a sentence for the person, `status` 0 when
 * nothing answered. */
export class Problem extends Error {
  /**
   * @param {number} status
   * @param {string} title
   * @param {string} detail
   */
  constructor(status, title, detail) {
    super(detail);
    this.status = status;
    this.title = title;
  }
}

/**
 * Whether an error says only that its request was given up.
 *
 * @param {unknown} error
 * @returns {boolean}
 */
export function isAborted(error) {
  return error instanceof DOMException && error.name === "AbortError";
}

/**
 * The address of a resource of the interface.
 *
 * @param {string} path
 * @returns {string}
 */
export function address(path) {
  return new URL(path, ROOT).href;
}

/** @param {{id: number, version?: string}} photo @returns {string} */
export const thumbnail = (photo) => picture(photo, "thumbnail");
/** @param {{id: number, version?: string}} photo @returns {string} */
export const original = (photo) => picture(photo, "original");
/** @param {string} token @returns {string} */
export const uploaded = (token) => address(`uploads/${encodeURIComponent(token)}`);

/** What the collection is. */
export const collection = (signal) => request("collection", { signal });
/** One photo's name and size. */
export const photo = (id, signal) => request(`photos/${id}`, { signal });
/** Photos that could not be indexed, with reasons. */
export const failed = (signal) => request("failed", { signal });
/** An explanation of why a photo of the collection matched. */
export const explain = (query, box, result, signal) =>
  request("explain", { json: { query: named(query), box: box?.join(","), result }, signal });
/** Start a job; the answer holds its id. */
export const startJob = (job) => request("jobs", { json: job });

/**
 * A page of the collection's photos by ascending id.
 *
 * @param {number|null} after
 * @param {number} limit
 * @param {AbortSignal} [signal]
 */
export function photos(after, limit, signal) {
  return request(withQuery("photos", { after, limit }), { signal });
}

/**
 * Groups of photos that show the same thing.
 *
 * @param {{limit?: number, after?: number|string|null}} options
 * @param {AbortSignal} [signal]
 */
export function groups({ limit, after }, signal) {
  return request(withQuery("groups", { limit, after }), { signal });
}

/**
 * Search. A blob is uploaded; the answer's `query.upload` names it from then on.
 *
 * @param {Query} query
 * @param {{box?: Box|null, k: number, offset?: number, limit?: number, verify?: number}} options
 * @param {AbortSignal} [signal]
 */
export function search(query, { box, k, offset, limit, verify }, signal) {
  const fields = { k, offset, limit, verify };
  for (const key of Object.keys(fields)) if (fields[key] === undefined) delete fields[key];
  if (!query.blob) {
    return request("search", { json: { ...named(query), ...fields, box: box?.join(",") }, signal });
  }
  const form = new FormData();
  form.set("file", query.blob, query.blob.name || "photo");
  for (const [key, value] of Object.entries(fields)) form.set(key, String(value));
  if (box) form.set("box", box.join(","));
  return request("search", { form, signal });
}

/**
 * Follow a job's events until it ends.
 *
 * @param {string} id
 * @param {(progress: {what: string, done: number, total: number}) => void} onProgress
 * @returns {Promise<Record<string, any>>} what the job's last event said
 */
export function followJob(id, onProgress) {
  return new Promise((resolve, reject) => {
    const source = new EventSource(address(`jobs/${encodeURIComponent(id)}/events`));
    const end = (settle) => (event) => {
      source.close();
      settle(event.data ? JSON.parse(event.data) : {});
    };
    source.addEventListener("progress", (event) => onProgress(JSON.parse(event.data)));
    source.addEventListener("done", end(resolve));
    source.addEventListener(
      "failed",
      end((said) => reject(new Problem(500, "The job failed", said.detail ?? said.reason ?? ""))),
    );
    source.addEventListener("error", () => {
      // A broken connection is opened again by itself; one that was refused is not.
      if (source.readyState === EventSource.CLOSED) reject(unreachable());
    });
  });
}

function picture({ id, version }, which) {
  return address(withQuery(`photos/${id}/${which}`, { v: version }));
}

function named(query) {
  if (query.photo !== undefined) return { photo: query.photo };
  if (query.upload !== undefined) return { upload: query.upload };
  return { url: query.url };
}

function withQuery(path, values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  return given.length ? `${path}?${new URLSearchParams(given.map(([k, v]) => [k, String(v)]))}` : path;
}

function unreachable() {
  return new Problem(
    0,
    "Resight does not answer",
    "The program behind this page is not running or cannot be reached. Start it again with “resight serve”, then try again.",
  );
}

async function request(path, { json, form, signal } = {}) {
  const options = { signal, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (json) {
    options.method = "POST";
    options.headers["Content-Type"] = "application/json";
    options.body = JSON.stringify(json);
  } else if (form) {
    options.method = "POST";
    options.body = form;
  }
  for (let attempt = 1; ; attempt += 1) {
    const response = await fetch(address(path), options).catch((error) => {
      throw isAborted(error) ? error : unreachable();
    });
    if (response.ok) return response.json();
    if (response.status !== 429 || attempt >= BUSY_TRIES) throw await problem(response);
    await pause(Number(response.headers.get("Retry-After")) || 1, signal);
  }
}

async function problem(response) {
  if (response.status === 401) {
    const detail = "Open the whole link that “resight serve” printed: it holds the token.";
    return new Problem(401, "This page needs its token", detail);
  }
  const said = await response.json().catch(() => ({}));
  const detail = typeof said.detail === "string" ? said.detail : "";
  return new Problem(response.status, said.title || response.statusText || "Error", detail);
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
