/** Query photos from this computer: dropped, pasted or picked, anywhere on the page. */

import { announce } from "./dom.js";
import { number, text } from "./texts.js";

/** @typedef {{key: string, blob: File, preview: string, name: string}} LocalFile */

const MAX_FILES = 24;
const files = new Map();
let counter = 0;

/** Add a file that can be searched with. */
export function addFile(blob) {
  const key = String((counter += 1));
  const file = { key, blob, preview: URL.createObjectURL(blob), name: blob.name || text("files.pasted") };
  files.set(key, file);
  for (const [oldest, { preview }] of files) {
    if (files.size <= MAX_FILES) break;
    files.delete(oldest);
    if (![...files.values()].some((other) => other.preview === preview)) URL.revokeObjectURL(preview);
  }
  return file;
}

/** Link the server's token of an upload to its file. */
export const linkUpload = (file, token) => files.set(`upload ${token}`, file);

/** Return the file of a state, if this page still has it. */
export const localFile = ({ file, upload }) => files.get(upload === undefined ? (file ?? "") : `upload ${upload}`);

/** Return why a file cannot be uploaded, or null if it can. */
export function checkFile(file, limits) {
  const maxBytes = limits?.max_upload_bytes;
  if (file.size === 0) return text("files.is_empty", { name: file.name });
  if (!maxBytes || file.size <= maxBytes) return null;
  const size = (bytes) => {
    const digits = bytes < 1e7 ? 1 : 0;
    return text("unit.MB", { value: number(bytes / 1e6, { minimumFractionDigits: digits, maximumFractionDigits: digits }) });
  };
  return text("files.is_too_large", { name: file.name, size: size(file.size), limit: size(maxBytes) });
}

/** Listen for photos that are dropped on the page, pasted, or picked. */
export function listenForFiles({ picker, veil, onFiles, onLink }) {
  let depth = 0;
  const accepts = ({ dataTransfer }) => ["Files", "text/uri-list"].some((type) => dataTransfer?.types.includes(type));
  const setDepth = (value) => {
    depth = Math.max(0, value);
    veil.hidden = depth === 0;
  };
  window.addEventListener("dragenter", (event) => {
    if (!accepts(event)) return;
    event.preventDefault();
    setDepth(depth + 1);
    announce(text("page.drop"));
  });
  window.addEventListener("dragleave", (event) => {
    if (accepts(event)) setDepth(depth - 1);
  });
  window.addEventListener("dragover", (event) => {
    if (accepts(event)) event.preventDefault();
  });
  window.addEventListener("drop", (event) => {
    event.preventDefault();
    setDepth(0);
    receive(event.dataTransfer, onFiles, onLink);
  });
  window.addEventListener("paste", (event) => {
    if (event.target instanceof HTMLInputElement) return;
    if (receive(event.clipboardData, onFiles, onLink)) event.preventDefault();
  });
  picker.addEventListener("change", () => {
    if (picker.files?.length) onFiles([...picker.files]);
    picker.value = ""; // so that the same file can be picked again
  });
}

function receive(data, onFiles, onLink) {
  const dropped = [...(data?.files ?? [])];
  const photos = dropped.filter(({ type }) => type.startsWith("image/"));
  if (dropped.length) {
    onFiles(photos.length ? photos : dropped.slice(0, 1));
    return true;
  }
  const link = (data?.getData("text/uri-list") || data?.getData("text/plain") || "").trim();
  if (!/^https?:\/\/\S+$/.test(link)) return false;
  onLink(link);
  return true;
}
