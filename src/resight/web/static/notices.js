/** Empty, loading and error states: a heading, a sentence, and what one can do about it. */

import { button, element, icon } from "./dom.js";

/**
 * A quiet block in place of content.
 *
 * @param {{title: string, text?: string, icon?: string, actions?: HTMLElement[],
 *   code?: string}} what `code` is a command to type
 * @returns {HTMLElement}
 */
export function emptyState({ title, text, icon: name = "photo", actions = [], code }) {
  return element(
    "div", { class: "empty" },
    icon(name),
    element("h2", { text: title }),
    text ? element("p", { text }) : null,
    code ? element("p", {}, element("code", { text: code })) : null,
    actions.length ? element("div", { class: "actions" }, ...actions) : null,
  );
}

/**
 * An error, told at once to those who listen.
 *
 * @param {any} problem anything thrown; a `Problem` says what happened in a sentence
 * @param {() => void} [retry]
 * @param {HTMLElement[]} [actions]
 * @returns {HTMLElement}
 */
export function errorState(problem, retry, actions = []) {
  const title = problem?.title ?? "Something went wrong in this page";
  const text = sentence(problem?.message || String(problem));
  const again = retry ? [button({ text: "Try again", icon: "refresh", press: retry })] : [];
  const block = emptyState({ title, text, actions: [...again, ...actions] });
  block.classList.add("error");
  block.setAttribute("role", "alert");
  return block;
}

/**
 * A line that says something is under way, without moving anything.
 *
 * @param {string} text
 * @returns {HTMLElement}
 */
export function loading(text) {
  return element("p", { class: "loading" }, element("span", { class: "spinner", "aria-hidden": "true" }), text);
}

/** Errors of the program start small and end without a full stop; on the page they are sentences.
 *
 * @param {string} text
 * @returns {string}
 */
export function sentence(text) {
  const trimmed = text.trim();
  if (!trimmed) return "";
  const start = trimmed[0].toUpperCase() + trimmed.slice(1);
  return /[.!?)…”]$/.test(start) ? start : `${start}.`;
}
