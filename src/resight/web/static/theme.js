/** Light or dark: as the system has it, or as the person chose. */

import { icon } from "./dom.js";

const KEY = "resight-theme";
const ORDER = /** @type {const} */ (["auto", "light", "dark"]);
const NAMES = { auto: "as the system", light: "light", dark: "dark" };

/**
 * Let a button step through the themes; the choice is kept in this browser.
 *
 * @param {HTMLElement} control
 */
export function initTheme(control) {
  let theme = stored();
  const show = () => {
    const next = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    control.replaceChildren(icon(theme));
    const label = `Colors: ${NAMES[theme]}. Change to ${NAMES[next]}`;
    control.setAttribute("aria-label", label);
    control.title = label;
  };
  control.addEventListener("click", () => {
    theme = ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length];
    try {
      localStorage.setItem(KEY, theme);
    } catch {
      // Storage is switched off: the choice lasts as long as the page.
    }
    show();
  });
  show();
}

function stored() {
  try {
    const kept = localStorage.getItem(KEY);
    return ORDER.find((theme) => theme === kept) ?? "auto";
  } catch {
    return "auto";
  }
}
