/** The line above the results of a search for a named thing: photos that do not carry the name yet. */

import * as api from "./api.js";
import { announce, button, count, element, sentence } from "./dom.js";

/** Create the line; `named` is called with the key of the results after photos were named. */
export function createThing({ named }) {
  const text = element("p", {});
  const add = button({ text: "Name them, too", press: () => run() });
  const block = element("div", { class: "thing-line", hidden: true }, text, add);
  let shown = null;

  async function run() {
    const { name, ids, key } = shown;
    add.disabled = true;
    try {
      await api.nameThing(name, ids);
      announce(`${count(ids.length, "photo")} named “${name}”.`);
      named(key);
    } catch (problem) {
      text.textContent = `${problem.title ?? "Something went wrong"}. ${sentence(problem.message ?? "")}`;
      add.disabled = false;
    }
  }

  return {
    block,
    hide() {
      block.hidden = true;
    },
    /** Show how many of the photos found surely show the thing and do not carry its name. */
    show({ named: name }, found, key) {
      const ids = found.filter((result) => result.named === false && result.verdict === "same").map(({ id }) => id);
      shown = { name, ids, key };
      block.hidden = name === undefined || !ids.length;
      add.disabled = false;
      text.textContent = `${count(ids.length, "photo")} found ${ids.length === 1 ? "is" : "are"} not named yet.`;
    },
  };
}
