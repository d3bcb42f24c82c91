// Selected hits, and their export: saved hits, a table, or clips.

import { clipAddress, mediaAddress } from "./api.js";
import { itemOf } from "./card.js";
import { build, byId, fileName } from "./dom.js";
import { cards } from "./results.js";
import { readState } from "./state.js";

const selected = new Map(); // hits by item and time

const key = (hit) => `${itemOf(hit)}@${hit.start_seconds}`;

/** Select a hit, or take it out. */
export function toggleSelected(hit) {
  if (!selected.delete(key(hit))) selected.set(key(hit), hit);
  showSelection();
}

/** Take all hits out; returns whether there were any. */
export function clearSelection() {
  const had = selected.size > 0;
  selected.clear();
  showSelection();
  return had;
}

/** Mark the selected cards and show what can be done with them. */
export function showSelection() {
  for (const element of cards()) {
    const isSelected = selected.has(key(element.hit));
    element.classList.toggle("selected", isSelected);
    element.querySelector(".select").setAttribute("aria-pressed", String(isSelected));
  }
  const bar = byId("selection");
  bar.hidden = selected.size === 0;
  if (bar.hidden) return;
  bar.replaceChildren(
    build("span", {}, `${selected.size} selected`),
    build("button", { type: "button", class: "primary", onclick: exportJson }, "Save hits (JSON)"),
    build("button", { type: "button", onclick: exportCsv }, "Save table (CSV)"),
    build("button", { type: "button", onclick: exportFiles }, "Save clips and files"),
    build("button", { type: "button", onclick: clearSelection }, "Clear"),
  );
}

/** Go to the export of the selection. */
export function startExport() {
  byId("selection").querySelector("button")?.focus();
  return selected.size > 0;
}

function save(name, address) {
  const link = build("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}

function saveText(name, type, text) {
  const address = URL.createObjectURL(new Blob([text], { type }));
  save(name, address);
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Save what `retrieval export-hits` reads. */
function exportJson() {
  const hits = [...selected.values()].map((hit, index) => ({ ...hit, rank: index + 1 }));
  saveText("hits.json", "application/json", `${JSON.stringify({ query: readState().q, hits, took_ms: {} })}\n`);
}

function exportCsv() {
  const columns = ["rank", "score", "item_id", "uri", "modality", "medium", "start_seconds", "end_seconds", "space", "likely"];
  const cell = (value) => `"${String(value ?? "").replaceAll('"', '""')}"`;
  const rows = [...selected.values()].map((hit, index) =>
    columns.map((name) => cell(name === "rank" ? index + 1 : hit[name])).join(","));
  saveText("hits.csv", "text/csv", `${[columns.join(","), ...rows].join("\r\n")}\r\n`);
}

/** Save a clip of each hit with a time, and the file of each other hit. */
async function exportFiles() {
  for (const hit of selected.values()) {
    save(fileName(hit.uri), hit.start_seconds === null ? mediaAddress(hit) : clipAddress(hit));
    await new Promise((resolve) => setTimeout(resolve, 400)); // browsers drop downloads that start at once
  }
}
