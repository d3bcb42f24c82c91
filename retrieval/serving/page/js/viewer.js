// The open item: a picture, or a player that starts at the moment, with the score over time below.

import { clipAddress, curveOf, details, mediaAddress, thumbnailAddress, waveform } from "./api.js";
import { itemOf } from "./card.js";
import { facts } from "./columns.js";
import { curveSeconds, drawCurve, drawWaveform } from "./curve.js";
import { build, byId, clock, fileName, marked, span } from "./dom.js";
import { claim, release } from "./player.js";
import { addItem } from "./query_bar.js";
import { cardOf } from "./results.js";
import { go, queryParameters, readState } from "./state.js";

const dialog = byId("viewer");
let shown = null; // {key, player, base}: base is the time at which a converted stream begins

/** Open or close the viewer as the state says. */
export function showItem(state) {
  const key = state.item;
  if (key === null) {
    if (dialog.open) dialog.close();
    return;
  }
  if (shown?.key === key && dialog.open) {
    if (state.t !== null) seek(state.t);
    return;
  }
  open(key, state);
}

async function open(key, state) {
  stop();
  shown = { key, player: null, base: 0 };
  const cut = key.lastIndexOf("/");
  const known = cardOf(key)?.hit;
  const hit = known ?? {
    collection: key.slice(0, cut), item_id: key.slice(cut + 1), start_seconds: null, end_seconds: null,
    space: null, medium: null, matched: null, score: null,
  };
  dialog.replaceChildren(build("p", { class: "loading" }, "Opening…"), bar(null));
  if (!dialog.open) dialog.showModal();
  let item;
  try {
    item = await details(hit);
  } catch (error) {
    if (shown?.key === key) dialog.replaceChildren(build("p", { class: "error" }, error.message), bar(null));
    return;
  }
  if (shown?.key !== key) return;
  const complete = { ...hit, uri: item.uri, modality: item.modality, medium: hit.medium ?? item.modality };
  shown.hit = complete;
  shown.seconds = item.metadata.duration_seconds ?? null;
  const start = state.t ?? hit.start_seconds ?? 0;
  dialog.setAttribute("aria-label", item.name);
  dialog.replaceChildren(
    stage(complete, item, start), build("div", { id: "timeline" }), bar(complete), description(complete, item),
  );
  dialog.focus();
  if (item.modality !== "image") drawTimeline(key, complete, state);
}

function stage(hit, item, start) {
  if (item.modality === "image") {
    const image = build("img", { src: item.playable ? mediaAddress(hit) : thumbnailAddress(hit, null, 2560), alt: item.name, onclick: zoom });
    return build("div", { class: "stage" }, image);
  }
  const player = build(item.modality === "video" ? "video" : "audio", { controls: true, playsinline: true, preload: "metadata" });
  shown.player = player;
  shown.converted = !item.playable;
  player.classList.toggle("converted", shown.converted);
  claim(player);
  load(start);
  player.addEventListener("timeupdate", moveCursor);
  player.addEventListener("error", () => {
    if (!player.src) return; // it was released
    dialog.querySelector(".bar")?.before(build("p", { class: "error", role: "status" }, "The file cannot be played from this time on."));
  }, { once: true });
  return build("div", { class: "stage" }, player);
}

/** Load the player so that it shows a time. A converted stream begins there. */
function load(seconds) {
  const { player, converted, hit } = shown;
  shown.base = converted ? seconds : 0;
  player.src = mediaAddress(hit, converted ? seconds.toFixed(2) : null);
  if (!converted) {
    player.addEventListener("loadedmetadata", () => {
      player.currentTime = seconds;
    }, { once: true });
  }
  player.play().catch(() => {}); // browsers can forbid it before the first click
}

function seek(seconds) {
  if (!shown?.player) return;
  if (shown.converted) load(seconds);
  else shown.player.currentTime = seconds;
}

/** Return the time of the player in the file. */
export const playerSeconds = () => (shown?.player ? shown.base + shown.player.currentTime : null);

async function drawTimeline(key, hit, state) {
  const place = byId("timeline");
  const query = queryParameters(state);
  const [curve, wave] = await Promise.all([
    curveOf(hit, query).catch(() => null),
    hit.modality === "audio" || ![...query.keys()].length ? waveform(hit, 400).catch(() => null) : null,
  ]);
  if (shown?.key !== key) return;
  const seconds = wave?.seconds ?? shown.seconds ?? (curve ? curveSeconds(curve) : 0);
  if (!seconds) return;
  shown.seconds = seconds;
  const scale = build("div", {
    class: "seek", role: "slider", tabindex: "0", "aria-label": "Time", "aria-valuemin": "0", "aria-valuemax": seconds.toFixed(1),
    onclick: (event) => {
      const box = scale.getBoundingClientRect();
      moveTo(((event.clientX - box.left) / box.width) * seconds);
    },
    onkeydown: (event) => {
      const time = playerSeconds();
      const to = { ArrowLeft: time - 1, ArrowRight: time + 1, Home: 0, End: seconds }[event.key];
      if (to === undefined) return;
      event.preventDefault();
      moveTo(Math.min(seconds, Math.max(0, to)));
    },
  }, wave ? drawWaveform(wave, hit) : null, curve ? drawCurve(curve, hit, seconds) : null,
  build("span", { class: "cursor" }));
  const times = [clock(0), "", clock(seconds)].map((text) => build("span", {}, text));
  times[1].className = "now";
  place.replaceChildren(scale, build("div", { class: "times" }, ...times));
  moveCursor();
}

/** Seek, and put the time into the address. */
function moveTo(seconds) {
  seek(seconds);
  go({ t: seconds }, { replace: true });
}

function moveCursor() {
  const scale = dialog.querySelector(".seek");
  if (!scale || !shown?.player) return;
  const seconds = playerSeconds();
  scale.style.setProperty("--at", Math.min(1, seconds / shown.seconds));
  scale.setAttribute("aria-valuenow", seconds.toFixed(1));
  scale.setAttribute("aria-valuetext", clock(seconds));
  dialog.querySelector(".now").textContent = clock(seconds);
}

function bar(hit) {
  const step = (label, text, distance) =>
    build("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick: () => stepBy(distance) }, text);
  return build(
    "div",
    { class: "bar" },
    step("Previous result", "←", -1),
    step("Next result", "→", 1),
    hit && hit.start_seconds !== null
      ? build("button", { type: "button", onclick: () => moveTo(hit.start_seconds) }, `Moment ${span(hit)}`)
      : null,
    hit ? build("button", { type: "button", onclick: () => addItem(hit, 1) }, "More like this") : null,
    hit ? build("a", { href: mediaAddress(hit), download: fileName(hit.uri), class: "button" }, "Download") : null,
    hit && hit.start_seconds !== null
      ? build("a", { href: clipAddress(hit), download: "", class: "button" }, "Download the moment")
      : null,
    build("button", { type: "button", class: "primary", onclick: () => dialog.close() }, "Close"),
  );
}

/** Return the hit that is open, if it is complete. */
export const openHit = () => shown?.hit ?? null;

/** Show the open picture pixel by pixel, or fitted; returns whether there is one. */
export function zoom() {
  const stage = dialog.querySelector(".stage:has(img)");
  stage?.classList.toggle("zoomed");
  return Boolean(stage);
}

/** Open the neighbour of the open item in the list. */
export function stepBy(distance) {
  const here = shown && cardOf(shown.key);
  const all = here ? [...here.parentElement.querySelectorAll(".card")] : [];
  const other = all[all.indexOf(here) + distance];
  if (other) go({ item: itemOf(other.hit), t: other.hit.start_seconds }, { replace: true });
}

function description(hit, item) {
  const rows = facts(item);
  const score = hit.score ?? hit.text_score ?? null;
  if (score !== null) rows.push(["Score", `${score.toFixed(2)}${hit.likely ? "" : ", less likely"}`]);
  return build(
    "div",
    { class: "facts" },
    build("h2", {}, item.name),
    hit.matched ? build("p", {}, marked(hit.matched)) : null,
    build("dl", {}, ...rows.flatMap(([name, value]) => [build("dt", {}, name), build("dd", {}, value)])),
  );
}

function stop() {
  if (shown?.player) release(shown.player);
  shown = null;
  dialog.replaceChildren();
}

dialog.addEventListener("close", () => {
  const key = shown?.key;
  stop();
  if (readState().item !== null) go({ item: null, t: null });
  cardOf(key)?.querySelector("a").focus();
});
dialog.addEventListener("click", (event) => {
  if (event.target === dialog) dialog.close();
});
