/** The results of searches: fetched page by page, and cached so that going back costs nothing. */

import * as api from "./api.js";
import { linkUpload, localFile } from "./files.js";
import { formatHash } from "./state.js";

const PAGE_SIZE = 60;
const MAX_CACHED = 10;
const cache = new Map();

/** Return the cache key of a state's query and options. */
export function resultsKey({ photo, upload, file, box, verify, limit, named }) {
  return formatHash({ page: "search", photo, upload, file, box, verify, limit, named });
}

/** Return the results fetched so far, empty for a new query. */
export function cachedResults(state) {
  const key = resultsKey(state);
  const results = cache.get(key) ?? { key, items: [], fetched: 0, total: 0, query: null, complete: false };
  cache.delete(key);
  cache.set(key, results);
  if (cache.size > MAX_CACHED) cache.delete(cache.keys().next().value);
  return results;
}

/** Fetch the next page of results. A file is uploaded the first time, and again when the server no longer has it. */
export async function fetchMore(state, results, signal) {
  const offset = results.fetched;
  const options = { box: state.box, k: PAGE_SIZE, offset, limit: state.limit, verify: offset ? undefined : state.verify };
  const file = localFile(state);
  const { photo, upload } = state;
  const query = photo !== undefined ? { photo } : upload !== undefined ? { upload } : { blob: file?.blob };
  const first = state.named === undefined ? api.search(query, options, signal) : api.searchThing(state.named, options, signal);
  const page = await first.catch((problem) => {
    if (!file || query.blob || ![400, 404].includes(problem.status)) throw problem;
    return api.search({ blob: file.blob }, options, signal);
  });
  results.query = page.query;
  results.fetched += page.results.length;
  // The query itself is left out, unless it has copies.
  const others = page.results.filter(({ id, copies }) => id !== photo || copies || state.named !== undefined);
  results.items = results.items.concat(others).map((result, index) => ({ ...result, rank: index + 1 }));
  results.complete = page.results.length < PAGE_SIZE || results.fetched >= page.total;
  // The server also counts the query, and copies, which are folded under one result.
  results.total = results.complete ? results.items.length : page.total - results.fetched + results.items.length;
  if (file && page.query.upload) linkUpload(file, page.query.upload);
}

/** Move results to the key of a state that names the upload. */
export function renameResults(results, state) {
  cache.delete(results.key);
  results.key = resultsKey(state);
  cache.set(results.key, results);
}

/** Search again next time: the collection has changed. */
export const clearResults = () => cache.clear();
