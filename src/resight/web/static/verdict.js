/** Decisions in words: whether a result shows the same thing as the query, how surely, and how it differs. */

import { element } from "./dom.js";
import { KINDS } from "./filters.js";
import { text } from "./texts.js";

/** Return whether a result shows the same thing, at least probably; also true without a decision. */
export const isFound = ({ verdict }) => verdict !== "different";

/** Format a probability. */
export const percent = (probability) => text("count.percent", { percent: Math.round(100 * probability) });

/** Describe the decision on a result for the eye: a badge, the probability, the kind. */
export function verdictParts({ verdict, probability, kind }) {
  const value = element("span", { class: "probability", text: percent(probability), title: text("verdict.probability") });
  if (verdict === "different") return [value];
  return [
    element("span", { class: `badge ${verdict}`, text: text(`verdict.badge_${verdict}`) }),
    value,
    kind && element("span", { class: "kind", text: KINDS[kind] ?? kind }),
    element("span", { class: "break" }),
  ];
}

/** Describe the decision on a result in a phrase, empty without one. */
export function verdictPhrase({ verdict, probability, kind }) {
  if (!verdict) return "";
  const words = [text(`verdict.spoken_${verdict}`), percent(probability)];
  return [...words, ...(kind ? [KINDS[kind] ?? kind] : [])].join(text("page.separator"));
}
