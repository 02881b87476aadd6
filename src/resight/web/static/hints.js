/** What a person decides about two photos: the same thing, or not. The collection remembers it. */

import * as api from "./api.js";
import { announce, button, element } from "./dom.js";
import { text } from "./texts.js";

const VERDICTS = ["same", "different"];

/** Build the two buttons; `changed` is called when a decision was made or undone, `failed` with what went wrong. */
export function createHints({ changed, failed }) {
  const buttons = new Map(VERDICTS.map((verdict) => [
    verdict, button({ text: text(`hints.decide_${verdict}`), class: "chip", "aria-pressed": "false", press: () => press(verdict) }),
  ]));
  const group = element("div", { class: "hints", role: "group", "aria-label": text("hints.yours"), hidden: true }, ...buttons.values());
  let pair = null;
  let decided = null;

  async function press(verdict) {
    const photos = pair;
    setDisabled(true);
    try {
      if (verdict === decided) await undo(photos);
      else await api.decide(verdict, photos);
      announce(text(verdict === decided ? "hints.undone" : `hints.remembered_${verdict}`));
      if (photos === pair) changed();
    } catch (problem) {
      failed(problem);
      setDisabled(false);
    }
  }

  function setDisabled(value) {
    for (const control of buttons.values()) control.disabled = value;
  }

  return {
    group,
    /** Show the buttons for two photos of the collection; `verdict` is what a person decided, if so. */
    show(photos, verdict) {
      pair = photos;
      decided = verdict;
      group.hidden = false;
      setDisabled(false);
      for (const [name, control] of buttons) control.setAttribute("aria-pressed", String(name === verdict));
    },
    hide() {
      pair = null;
      group.hidden = true;
    },
  };
}

/** Undo the decision on two photos; photos of identical content share it. */
async function undo(ids) {
  const photos = await Promise.all(ids.map((id) => api.photo(id)));
  const versions = photos.map(({ version }) => version).sort().join();
  const { hints } = await api.hints();
  const found = hints.find((hint) => hint.photos.map((photo) => photo?.version).sort().join() === versions);
  if (found) await api.undoHint(found.id);
}
