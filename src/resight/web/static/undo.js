/** A line that says what was done, with a button that undoes it. */

import { announce, button, element, problemLine } from "./dom.js";
import { text } from "./texts.js";

/** Create the line; `undone` is called after something was undone. */
export function createUndoLine({ undone }) {
  const message = element("p", {});
  const undo = button({ text: text("undo.button"), icon: "refresh", press: () => run() });
  const close = button({ icon: "close", class: "icon-button", label: text("page.close_message"), press: () => hide() });
  const line = element("div", { class: "undo-line", hidden: true }, message, undo, close);
  let action = null;

  async function run() {
    undo.disabled = true;
    try {
      const said = await action();
      hide();
      announce(Array.isArray(said) ? said : text("undo.done"));
      undone();
    } catch (problem) {
      fail(problem);
    }
  }

  function hide() {
    line.hidden = true;
    action = null;
  }

  function say(pieces, reverse) {
    message.replaceChildren(...[pieces].flat());
    line.classList.remove("problem");
    action = reverse ?? null;
    undo.hidden = !action;
    undo.disabled = false;
    line.hidden = false;
    announce(pieces);
  }

  function fail(problem) {
    say(problemLine(problem), action);
    line.classList.add("problem");
  }

  return {
    line,
    /** Say what was done, in a text or its pieces; `reverse` undoes it and may return pieces to announce. */
    say(pieces, reverse) {
      say(pieces, reverse);
      if (reverse) undo.focus({ preventScroll: true });
    },
    fail,
    hide,
  };
}
