// Keyboard control of the whole page.

import { byId } from "./dom.js";
import { toggle } from "./player.js";
import { addItem } from "./query_bar.js";
import { cards } from "./results.js";
import { clearSelection, startExport, toggleSelected } from "./selection.js";
import { openHit, stepBy, zoom } from "./viewer.js";

const isField = (element) => element.matches("input:not([type=checkbox]), select, textarea");
const current = () => document.activeElement?.closest(".card");

function focus(element) {
  element?.querySelector("a").focus();
  element?.scrollIntoView({ block: "nearest" });
}

/** Move to the neighbour in reading order, or to the nearest card of the row above or below. */
function move(name) {
  const all = cards();
  const here = current();
  if (!here) return focus(all[0]);
  if (name === "ArrowLeft") return focus(all[all.indexOf(here) - 1]);
  if (name === "ArrowRight") return focus(all[all.indexOf(here) + 1]);
  const box = here.getBoundingClientRect();
  const centre = (box.left + box.right) / 2;
  const down = name === "ArrowDown";
  let best = null;
  for (const other of all) {
    const { top, left, right } = other.getBoundingClientRect();
    const distance = (top - box.top) * (down ? 1 : -1);
    if (distance < 8) continue;
    const cost = distance * 10 + Math.abs((left + right) / 2 - centre);
    if (!best || cost < best.cost) best = { cost, other };
  }
  return focus(best?.other);
}

function onCard(event, hit) {
  const run = {
    x: () => toggleSelected(hit),
    m: () => addItem(hit, 1),
    l: () => addItem(hit, -0.5),
  }[event.key];
  run?.();
  return Boolean(run);
}

function inViewer(event) {
  if (event.key === "ArrowLeft" && !event.target.matches(".seek, video, audio")) stepBy(-1);
  else if (event.key === "ArrowRight" && !event.target.matches(".seek, video, audio")) stepBy(1);
  else if (event.key === " " && !event.target.matches("button, a, video, audio")) return toggle();
  else if (event.key === "z") return zoom();
  else return openHit() ? onCard(event, openHit()) : false;
  return true;
}

function inPage(event) {
  if (event.key === "/") {
    byId("q").focus();
    byId("q").select();
  } else if (event.key === "?") byId("help").showModal();
  else if (event.key === "e") return startExport();
  else if (event.key === "Escape") return clearSelection();
  else if (event.key.startsWith("Arrow")) move(event.key);
  else if (event.key === " " && current() && !event.target.matches("button")) {
    const play = current().querySelector(".play");
    if (play) play.click();
    else if (!toggle()) current().querySelector("a").click();
  } else return current() ? onCard(event, current().hit) : false;
  return true;
}

addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "k") {
    event.preventDefault();
    byId("q").focus();
    byId("q").select();
    return;
  }
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  if (isField(event.target)) {
    if (event.target.id === "q" && event.key === "ArrowDown") {
      event.preventDefault();
      focus(cards()[0]);
    } else if (event.target.id === "q" && event.key === "Escape") event.target.blur();
    return;
  }
  const open = document.querySelector("dialog[open]");
  const done = open ? open.id === "viewer" && inViewer(event) : inPage(event);
  if (done) event.preventDefault();
});

byId("help-button").addEventListener("click", () => byId("help").showModal());
