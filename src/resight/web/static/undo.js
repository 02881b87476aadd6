/** A line that says what was done, with a button that undoes it. */

import { announce, button, element, sentence } from "./dom.js";

/** Create the line; `undone` is called after something was undone. */
export function createUndoLine({ undone }) {
  const text = element("p", {});
  const undo = button({ text: "Undo", icon: "refresh", press: () => run() });
  const close = button({ icon: "close", class: "icon-button", label: "Close this message", press: () => hide() });
  const line = element("div", { class: "undo-line", hidden: true }, text, undo, close);
  let action = null;

  async function run() {
    undo.disabled = true;
    try {
      const said = await action();
      hide();
      announce(typeof said === "string" ? said : "Undone.");
      undone();
    } catch (problem) {
      fail(problem);
    }
  }

  function hide() {
    line.hidden = true;
    action = null;
  }

  function say(message, reverse) {
    text.textContent = message;
    line.classList.remove("problem");
    action = reverse ?? null;
    undo.hidden = !action;
    undo.disabled = false;
    line.hidden = false;
    announce(message);
  }

  function fail(problem) {
    say(`${problem.title ?? "Something went wrong"}. ${sentence(problem.message ?? "")}`, action);
    line.classList.add("problem");
  }

  return {
    line,
    /** Say what was done; `reverse` undoes it and may return what to announce. */
    say(message, reverse) {
      say(message, reverse);
      if (reverse) undo.focus({ preventScroll: true });
    },
    fail,
    hide,
  };
}
