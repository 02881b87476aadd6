/** The first photos of a collection: a folder is chosen and indexed on the start page. */

import { button, element, fieldForm } from "./dom.js";
import { createIndexing } from "./indexing.js";
import { text } from "./texts.js";

/** Create the form; `ended` is called after photos were indexed. */
export function createBegin({ info, ended }) {
  const indexing = createIndexing({ info, busy: setBusy, ended });
  const form = fieldForm({
    input: { type: "text", "aria-label": text("begin.path"), spellcheck: "false" },
    text: text("begin.index"),
    submit: (path) => indexing.run({ action: "index", folders: [path] }),
  });
  form.hidden = false;
  const [field, submit] = form.elements;
  submit.classList.add("primary");
  const offered = element("div", { class: "actions" });
  const block = element("div", { class: "begin", hidden: true }, form, offered, indexing.progress, indexing.outcome);

  function setBusy(busy) {
    for (const control of [...form.elements, ...offered.children]) control.disabled = busy;
  }

  function offer(path) {
    return button({
      text: path,
      class: "chip",
      dir: "auto",
      press: () => {
        field.value = path;
        field.focus();
      },
    });
  }

  return {
    block,
    show({ index_folders: folders, indexing: running }) {
      field.value ||= folders[0] ?? "";
      field.placeholder = folders[0] ?? "/home/me/Pictures";
      offered.hidden = folders.length < 2;
      offered.replaceChildren(...folders.map(offer));
      if (running) indexing.resume();
    },
  };
}
