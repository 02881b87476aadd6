/** Photos that are selected in groups, and the bar of what can be done with them. */

import { announce, button, element, fieldForm } from "./dom.js";
import { text } from "./texts.js";

/** Create the selection. The actions get the selected photos, and the photos of the groups that they are in. */
export function createSelection({ apart, same, name, move }) {
  const chosen = new Map(); // checkboxes to photos and their groups; a photo can be in two groups
  let left = null; // the checkbox from which the bar was entered
  const number = element("p", { class: "chosen" });
  const naming = fieldForm({
    input: { type: "text", maxlength: "100", placeholder: text("names.example"), "aria-label": text("names.field"), spellcheck: "false" },
    text: text("names.save"),
    submit: (value) => value && act(name, value),
  });
  const actions = {
    apart: button({ text: text("selection.apart"), press: () => act(apart) }),
    same: button({ text: text("selection.same"), press: () => act(same) }),
    name: button({ text: text("selection.name"), press: () => toggleName(naming.hidden) }),
    move: button({ text: text("selection.move"), press: () => act(move) }),
  };
  const bar = element(
    "div", { class: "selection", role: "group", "aria-label": text("selection.label"), hidden: true },
    number, element("div", { class: "actions" }, ...Object.values(actions)),
    button({ icon: "close", class: "icon-button", label: text("selection.clear"), press: () => clear() }), naming,
  );
  bar.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    if (!naming.hidden) return toggleName(false);
    clear();
    left?.focus();
  });

  function act(action, value) {
    action(photos(), groups(), value);
  }

  const photos = () => [...new Map([...chosen.values()].map(({ photo }) => [photo.id, photo])).values()];

  const groups = () => [...new Set([...chosen.values()].map(({ group }) => group))];

  function toggleName(shown) {
    naming.hidden = !shown;
    if (shown) naming.querySelector("input").focus();
    else actions.name.focus();
  }

  function show() {
    const involved = groups();
    bar.hidden = !chosen.size;
    const { length } = photos();
    number.textContent = text("selection.selected", { count: length });
    const whole = involved.length === 1 && length === involved[0].photos.length;
    actions.apart.disabled = involved.length !== 1 || whole;
    actions.apart.title = text(actions.apart.disabled ? "selection.apart_not" : "selection.apart_why");
    actions.same.disabled = length < 2;
    actions.same.title = text(actions.same.disabled ? "selection.same_not" : "selection.same_why");
    if (!chosen.size) naming.hidden = true;
  }

  function set(photo, group, checkbox, selected) {
    checkbox.checked = selected;
    checkbox.closest("li").classList.toggle("selected", selected);
    if (selected) chosen.set(checkbox, { photo, group });
    else chosen.delete(checkbox);
  }

  function clear() {
    for (const [checkbox, { photo, group }] of [...chosen]) set(photo, group, checkbox, false);
    show();
  }

  return {
    bar,
    clear,
    /** Build the checkbox of a photo in a group. */
    checkbox(photo, group) {
      const box = element("input", { type: "checkbox", "aria-label": text("selection.select", { name: photo.name }) });
      box.addEventListener("change", () => {
        set(photo, group, box, box.checked);
        show();
        announce(text(chosen.size ? "selection.spoken" : "selection.nothing", { count: photos().length }));
      });
      box.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" || bar.hidden) return;
        event.preventDefault();
        left = box;
        bar.querySelector("button:not(:disabled)").focus();
      });
      return element("label", { class: "pick" }, box);
    },
    /** Select photos of a group, given their checkboxes. */
    select(list, group, boxes) {
      for (const [index, photo] of list.entries()) set(photo, group, boxes[index], true);
      show();
    },
    /** Show or hide moving, which not every server allows. */
    allowMoves(allowed) {
      actions.move.hidden = !allowed;
    },
  };
}

/** Return one photo of each content: decisions are about contents. */
export function ofEachContent(photos) {
  return [...new Map(photos.map((photo) => [photo.version, photo])).values()];
}
