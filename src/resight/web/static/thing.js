/** The line above the results of a search for a named thing: photos that do not carry the name yet. */

import * as api from "./api.js";
import { announce, button, element, problemLine } from "./dom.js";
import { text } from "./texts.js";

/** Create the line; `named` is called with the key of the results after photos were named. */
export function createThing({ named }) {
  const line = element("p", {});
  const add = button({ text: text("thing.add"), press: () => run() });
  const block = element("div", { class: "thing-line", hidden: true }, line, add);
  let shown = null;

  async function run() {
    const { name, ids, key } = shown;
    add.disabled = true;
    try {
      await api.nameThing(name, ids);
      announce(text("names.named", { count: ids.length, name }));
      named(key);
    } catch (problem) {
      line.replaceChildren(...problemLine(problem));
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
      line.textContent = text("thing.found", { count: ids.length });
    },
  };
}
