/** The language of the page: its marked texts, its direction, and the choice of another language. */

import { element } from "./dom.js";
import { LANGUAGES, dir, language, setLanguage, text } from "./texts.js";

/** Put the texts of index.html in the reader's language, and let a select change it. */
export function initLanguage(select) {
  Object.assign(document.documentElement, { lang: language, dir });
  for (const node of document.querySelectorAll("[data-text]")) node.textContent = text(node.dataset.text);
  for (const node of document.querySelectorAll("[data-label]")) node.setAttribute("aria-label", text(node.dataset.label));
  const options = Object.entries(LANGUAGES).map(([code, { name }]) => element("option", { value: code, lang: code, text: name }));
  select.replaceChildren(...options);
  select.value = language;
  select.addEventListener("change", () => setLanguage(select.value));
}
