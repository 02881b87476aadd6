/** The results of searches: fetched page by page, and cached so that going back costs nothing. */

import * as api from "./api.js";
import { linkUpload, localFile } from "./files.js";
import { serverFilters } from "./filters.js";
import { formatHash } from "./state.js";
import { deref, queryViews, refer, uploadFile } from "./views.js";

const PAGE_SIZE = 60;
const MAX_CACHED = 10;
const cache = new Map();
const renewed = new Map(); // references of uploads that the server deleted, to their new ones

/** Return the cache key of a state's query, options and filters; those by kind are among the results. */
export function resultsKey(state) {
  const { photo, upload, file, box, verify, limit, named } = state;
  const views = queryViews(state);
  const query = views.length > 1 ? { more: views.toSorted() } : { photo, upload, file };
  return formatHash({ page: "search", ...query, box, verify, limit, named, ...serverFilters(state) });
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
  const options = { box: state.box, k: PAGE_SIZE, offset, limit: state.limit, verify: offset ? undefined : state.verify, ...serverFilters(state) };
  const views = queryViews(state);
  if (views.length > 1) results.views ??= views;
  const file = results.views ? undefined : localFile(state);
  const { photo, upload } = state;
  const query = results.views ? {} : photo !== undefined ? { photo } : upload !== undefined ? { upload } : { blob: file?.blob };
  const page = await fetchPage(state, results.views, query, options, signal).catch((problem) => {
    if (!file || query.blob || ![400, 404].includes(problem.status)) throw problem;
    return api.search({ blob: file.blob }, options, signal);
  });
  results.query = page.query;
  results.fetched += page.results.length;
  // Query photos are left out, unless they have copies; of a named thing all are shown.
  const queries = new Set(state.named === undefined ? (results.views ?? [refer(state)]) : []);
  const others = page.results.filter(({ id, copies }) => copies || !queries.has(refer({ photo: id })));
  for (const result of others) result.query = shownBy(result, state, results.views);
  results.items = results.items.concat(others).map((result, index) => ({ ...result, rank: index + 1 }));
  results.complete = page.results.length < PAGE_SIZE || (page.total !== null && results.fetched >= page.total);
  // The server also counts the query, and copies, which are folded under one result.
  const left = results.complete ? 0 : page.total === null ? NaN : page.total - results.fetched;
  results.total = results.items.length + left; // NaN: unknown, as of filtered results
  if (file && page.query.upload) linkUpload(file, page.query.upload);
}

function fetchPage(state, views, query, options, signal) {
  if (state.named !== undefined) return api.searchThing(state.named, options, signal);
  return views ? searchViews(views, options, signal) : api.search(query, options, signal);
}

/** Return the query photo that shows a result most probably, null if there is only one. */
function shownBy({ view }, state, views) {
  if (view === undefined) return null;
  return state.named === undefined ? deref(views[view]) : { photo: view };
}

/** Search with several photos; uploads that the server no longer has are uploaded again. */
async function searchViews(views, options, signal) {
  const search = () => {
    const [first, ...more] = views.map((text) => deref(renewed.get(text) ?? text));
    return api.search(first, { ...options, more }, signal);
  };
  try {
    return await search();
  } catch (problem) {
    const files = views.map((text) => [text, localFile(deref(text))]).filter(([, file]) => file);
    if (problem.status !== 404 || !files.length) throw problem;
    for (const [text, file] of files) renewed.set(text, refer({ upload: await uploadFile(file, signal) }));
    return search();
  }
}

/** Move results to the key of a state that names the upload. */
export function renameResults(results, state) {
  cache.delete(results.key);
  results.key = resultsKey(state);
  cache.set(results.key, results);
}

/** Search again next time: the collection has changed. */
export const clearResults = () => cache.clear();
