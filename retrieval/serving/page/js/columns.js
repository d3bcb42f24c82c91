// Columns as people read them: labels, and values with units.

import { clock } from "./dom.js";

const LABELS = {
  album: "Album", artist: "Artist", bytes: "Size", camera: "Camera", caption: "Caption", duration_seconds: "Length",
  folder: "Folder", genre: "Genre", height: "Height", latitude: "Latitude", longitude: "Longitude", modality: "Type",
  mtime: "Changed", taken_at: "Taken", title: "Title", uri: "File", width: "Width", year: "Year",
};
const UNITS = { bytes: "bytes", duration_seconds: "seconds", width: "pixels", height: "pixels" };
const FIRST = ["caption", "title", "artist", "album", "genre", "year", "taken_at", "camera"];
const LAST = ["duration_seconds", "bytes", "mtime", "uri", "item_id"];
const JOINED = ["modality", "width", "height", "sha256", "folder"]; // part of other facts, or of no use here

const isKnown = (name) => Object.hasOwn(LABELS, name);

/** Return the label of a column; a column that the user added has its name. */
export const label = (name) => (isKnown(name) ? LABELS[name] : name);

/** Return the unit of the numbers of a column. */
export const unit = (name) => (Object.hasOwn(UNITS, name) ? UNITS[name] : "");

/** Format a number of bytes: 597 kB. */
export function size(bytes) {
  const units = ["bytes", "kB", "MB", "GB", "TB"];
  let power = 0;
  while (bytes >= 999.5 && power < units.length - 1) {
    bytes /= 1000;
    power += 1;
  }
  return `${power && bytes < 9.95 ? bytes.toFixed(1) : Math.round(bytes)} ${units[power]}`;
}

function formatted(name, value) {
  if (name === "bytes") return size(value);
  if (name === "mtime") return new Date(value * 1000).toLocaleString();
  if (name === "duration_seconds") return clock(value);
  if (name === "taken_at") return String(value).replace("T", " ");
  if (typeof value === "number" && !Number.isInteger(value)) return String(Number(value.toPrecision(6)));
  return String(value);
}

/** Return labels and texts of what is recorded about an item, the most telling first. */
export function facts(item) {
  const { metadata } = item;
  const names = Object.keys(metadata).filter((name) =>
    !JOINED.includes(name) && metadata[name] !== null && metadata[name] !== "");
  const place = (name) => {
    if (FIRST.includes(name)) return FIRST.indexOf(name) - FIRST.length;
    return LAST.includes(name) ? LAST.indexOf(name) + 1 : 0;
  };
  const rows = names.sort((a, b) => place(a) - place(b)).map((name) =>
    [name === "item_id" ? "Item" : label(name), formatted(name, metadata[name])]);
  const codecs = [item.video, item.audio].filter(Boolean).join(", ");
  const technical = [];
  if (metadata.width && metadata.height) technical.push(["Dimensions", `${metadata.width} × ${metadata.height}`]);
  if (item.container) technical.push(["Format", codecs ? `${codecs} in ${item.container.split(",")[0]}` : item.container]);
  const end = names.filter((name) => LAST.includes(name)).length;
  rows.splice(rows.length - end, 0, ...technical);
  return rows;
}
