/** The page's texts in the reader's language; numbers and dates are written as is usual there. */

import { texts as english } from "./texts/en.js";

/** The languages that have a file in texts/, with their own names and directions of writing. */
export const LANGUAGES = {
  en: { name: "English", dir: "ltr" },
  de: { name: "Deutsch", dir: "ltr" },
};
const STORAGE_KEY = "resight-language";
const OTHER_WAY = { ltr: /[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufefc]/, rtl: /[A-Za-z]/ };

const codeOf = (tag) => tag?.split("-")[0].toLowerCase();

let translation = english;
export let language = preferred();
if (language !== "en") {
  try {
    ({ texts: translation } = await import(`./texts/${language}.js`));
  } catch {
    language = "en"; // the file cannot be loaded
  }
}
export const { dir } = LANGUAGES[language];

// The reader's own region, if it is one of this language: dates differ within a language.
const locale = navigator.languages.find((tag) => codeOf(tag) === language) ?? language;
const plurals = new Intl.PluralRules(locale);
const formats = new Map();

/**
 * Return a text. Each `{place}` in it is filled with the value of that name; of a text with plural forms,
 * `values.count` chooses one.
 */
export const text = (key, values) => parts(key, values).join("");

/** Return a text as a list of pieces, whose values may be nodes. */
export function parts(key, values = {}) {
  const entry = translation[key] ?? english[key] ?? key;
  const template = typeof entry === "string" ? entry : (entry[plurals.select(values.count)] ?? entry.other);
  return template.split(/\{(\w+)\}/).map((piece, index) => (index % 2 ? shown(values[piece]) : piece));
}

/** Format a number. */
export function number(value, options = {}) {
  const key = JSON.stringify(options);
  if (!formats.has(key)) formats.set(key, new Intl.NumberFormat(locale, options));
  return formats.get(key).format(value);
}

/** Format a date, a time, or both. */
export const date = (value, options) => new Date(value).toLocaleString(locale, options);

/** Use another language from now on; the choice is stored in this browser. */
export function setLanguage(code) {
  try {
    localStorage.setItem(STORAGE_KEY, code);
    location.reload();
  } catch {
    // Storage is disabled: the browser's language stays.
  }
}

/** Format a value of a text; one of the other direction is isolated, so that it does not turn the text around it. */
function shown(value) {
  if (typeof value === "number") return number(value);
  return typeof value === "string" && OTHER_WAY[dir].test(value) ? `\u2068${value}\u2069` : value;
}

function preferred() {
  let stored = null;
  try {
    stored = localStorage.getItem(STORAGE_KEY);
  } catch {
    // Storage is disabled.
  }
  return [stored, ...navigator.languages].map(codeOf).find((code) => Object.hasOwn(LANGUAGES, code ?? "")) ?? "en";
}
