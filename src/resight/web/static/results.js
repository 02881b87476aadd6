/** The answer to one query, fetched page by page, and kept so that the way back is instant. */

import * as api from "./api.js";
import { fileOf, nameFile } from "./intake.js";
import { formatHash } from "./state.js";

export const PAGE = 60;
const KEPT = 10;
const answers = new Map();

/**
 * @typedef {import("./state.js").State} State
 * @typedef {{key: string, items: import("./api.js").Result[], total: number, took: number,
 *   query: {photo: number|null, width: number, height: number, upload?: string|null}|null,
 *   complete: boolean}} Answer
 */

/**
 * What names a query and its options among the answers kept.
 *
 * @param {State} state
 * @returns {string}
 */
export function answerKey({ photo, upload, file, box, verify, limit }) {
  return formatHash({ page: "search", photo, upload, file, box, verify, limit });
}

/**
 * The answer so far, empty when the query is new.
 *
 * @param {State} state
 * @returns {Answer}
 */
export function answerTo(state) {
  const key = answerKey(state);
  const known = answers.get(key);
  const answer = known ?? { key, items: [], total: 0, took: 0, query: null, complete: false };
  answers.delete(key);
  answers.set(key, answer);
  for (const old of answers.keys()) {
    if (answers.size <= KEPT) break;
    answers.delete(old);
  }
  return answer;
}

/** Forget all answers: the collection has changed. */
export function forgetAnswers() {
  answers.clear();
}

/**
 * Fetch the next results into an answer. A file is uploaded the first time, and again by itself
 * when the server no longer has it.
 *
 * @param {State} state
 * @param {Answer} answer
 * @param {AbortSignal} signal
 * @returns {Promise<void>}
 */
export async function fetchMore(state, answer, signal) {
  const offset = answer.items.length;
  const options = { box: state.box, k: PAGE, offset, limit: state.limit, verify: offset ? undefined : state.verify };
  const intake = fileOf(state);
  const query = queryOf(state, intake);
  let said;
  try {
    said = await api.search(query, options, signal);
  } catch (problem) {
    if (!intake || query.blob || ![400, 404, 410].includes(problem.status)) throw problem;
    said = await api.search({ blob: intake.blob }, options, signal);
  }
  answer.query = said.query;
  answer.total = said.total;
  if (!offset) answer.took = said.took_ms;
  answer.items = answer.items.concat(said.results);
  answer.complete = said.results.length < PAGE || answer.items.length >= said.total;
  if (intake && said.query.upload) nameFile(intake, said.query.upload);
}

/**
 * Let an answer also stand under the name that the server gave to its upload.
 *
 * @param {Answer} answer
 * @param {State} state the state that names the upload
 */
export function renameAnswer(answer, state) {
  answers.delete(answer.key);
  answer.key = answerKey(state);
  answers.set(answer.key, answer);
}

function queryOf({ photo, upload }, intake) {
  if (photo !== undefined) return { photo };
  if (upload !== undefined) return { upload };
  return { blob: intake?.blob };
}
