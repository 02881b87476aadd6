/** Taking in a photo: dropped, pasted or picked, anywhere on the page. */

import { announce } from "./dom.js";

/**
 * @typedef {{key: string, blob: File, preview: string, name: string}} Intake
 */

const KEPT = 12;
const byKey = new Map();
let counter = 0;

/**
 * Keep a file as a query.
 *
 * @param {File} blob
 * @returns {Intake}
 */
export function keepFile(blob) {
  const key = String((counter += 1));
  const intake = { key, blob, preview: URL.createObjectURL(blob), name: blob.name || "pasted photo" };
  byKey.set(key, intake);
  for (const [old, { preview }] of byKey) {
    if (byKey.size <= KEPT) break;
    byKey.delete(old);
    if (![...byKey.values()].some((other) => other.preview === preview)) URL.revokeObjectURL(preview);
  }
  return intake;
}

/**
 * Let the server's name of an upload stand for the same file.
 *
 * @param {Intake} intake
 * @param {string} token
 */
export function nameFile(intake, token) {
  byKey.set(`upload ${token}`, intake);
}

/**
 * The file that a state of the page means, if this page still has it.
 *
 * @param {{file?: string, upload?: string}} state
 * @returns {Intake|undefined}
 */
export function fileOf({ file, upload }) {
  return upload === undefined ? byKey.get(file ?? "") : byKey.get(`upload ${upload}`);
}

/**
 * Why a file cannot be a query, known before it is sent.
 *
 * @param {File} file
 * @param {{max_upload_bytes?: number}|null} limits
 * @returns {string|null}
 */
export function refusal(file, limits) {
  const most = limits?.max_upload_bytes;
  if (file.size === 0) return `“${file.name}” is empty.`;
  if (most && file.size > most) {
    const size = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
    return `“${file.name}” has ${size(file.size)}; photos of up to ${size(most)} can be searched with.`;
  }
  return null;
}

/**
 * Listen for photos that are dropped on the page, pasted, or picked.
 *
 * @param {{picker: HTMLInputElement, veil: HTMLElement, onFile: (file: File) => void,
 *   onLink: (link: string) => void}} options
 */
export function initIntake({ picker, veil, onFile, onLink }) {
  let depth = 0;
  const carries = (event) => {
    const types = event.dataTransfer?.types ?? [];
    return types.includes("Files") || types.includes("text/uri-list");
  };
  const showVeil = (shown) => {
    veil.hidden = !shown;
    if (shown) announce("Drop to search");
  };
  window.addEventListener("dragenter", (event) => {
    if (!carries(event)) return;
    event.preventDefault();
    depth += 1;
    showVeil(true);
  });
  window.addEventListener("dragleave", (event) => {
    if (!carries(event)) return;
    depth = Math.max(0, depth - 1);
    if (depth === 0) showVeil(false);
  });
  window.addEventListener("dragover", (event) => {
    if (carries(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    depth = 0;
    showVeil(false);
    take(event.dataTransfer, onFile, onLink);
  });
  window.addEventListener("paste", (event) => {
    if (event.target instanceof HTMLInputElement) return;
    if (take(event.clipboardData, onFile, onLink)) event.preventDefault();
  });
  picker.addEventListener("change", () => {
    if (picker.files?.[0]) onFile(picker.files[0]);
    picker.value = ""; // so that the same file can be picked again
  });
}

function take(data, onFile, onLink) {
  const files = [...(data?.files ?? [])];
  const file = files.find(({ type }) => type.startsWith("image/")) ?? files[0];
  if (file) {
    onFile(file);
    return true;
  }
  const text = (data?.getData("text/uri-list") || data?.getData("text/plain") || "").trim();
  if (!/^https?:\/\/\S+$/.test(text)) return false;
  onLink(text);
  return true;
}
