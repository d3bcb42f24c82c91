// One hit in the list of results.

import { curveOf, thumbnailAddress, waveform } from "./api.js";
import { drawCurve, drawWaveform, isWhole } from "./curve.js";
import { build, fileName, marked, span } from "./dom.js";
import { play } from "./player.js";
import { address, queryParameters, readState } from "./state.js";

const STILLS = 4;
const RECORDING_RATIO = 2.4;
const STRIP_SHARE = 0.26; // of the height of a video's picture

const visible = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    if (!entry.isIntersecting) continue;
    visible.unobserve(entry.target);
    entry.target.dispatchEvent(new Event("seen"));
  }
}, { rootMargin: "200px" });

/** Build the card of a hit; `actions` has `more`, `less` and `select`. */
export function card(hit, actions) {
  const name = fileName(hit.uri);
  const state = readState();
  const link = build(
    "a",
    {
      class: "open",
      href: address({ ...state, item: itemOf(hit), t: hit.start_seconds }),
      "aria-label": `${name}${span(hit) ? `, ${span(hit)}` : ""}`,
    },
    picture(hit, name),
  );
  const element = build(
    "article",
    { class: `card ${hit.modality}${hit.missing ? " missing" : ""}` },
    link,
    hit.modality === "audio" ? playButton(hit, name) : null,
    hasCurve(hit) ? build("div", { class: "scale" }) : null,
    caption(hit, name),
    buttons(hit, actions),
  );
  element.hit = hit;
  element.style.setProperty("--ratio", ratio(hit));
  element.addEventListener("seen", () => complete(element, hit), { once: true });
  visible.observe(element);
  return element;
}

/** Whether the scores of a hit change over time: an image and a short recording have one score. */
function hasCurve(hit) {
  if (hit.modality === "image" || hit.missing || ![...queryParameters(readState()).keys()].length) return false;
  return !isWhole(hit, hit.metadata.duration_seconds);
}

/** Return the identity of a hit's item in the address. */
export const itemOf = (hit) => `${hit.collection}/${hit.item_id}`;

function ratio(hit) {
  if (hit.modality === "audio") return RECORDING_RATIO;
  const { width, height } = hit.metadata;
  const shape = width && height ? width / height : 16 / 9;
  if (hit.modality === "video") return Math.min(1.8, Math.max(1, shape * (1 - STRIP_SHARE)));
  return Math.min(3, Math.max(0.5, shape));
}

function picture(hit, name) {
  if (hit.modality === "audio") return build("span", { class: "sound" });
  if (hit.modality === "image") return still(hit, null, name);
  const { start_seconds: start, end_seconds: end } = hit;
  const length = hit.metadata.duration_seconds ?? end ?? 0;
  const from = start ?? 0;
  const to = start === null ? length : end;
  // The stills show the moment; one of a short moment, several of a long one.
  const count = Math.max(1, Math.min(STILLS, Math.round((to - from) / 0.5)));
  const times = Array.from({ length: count }, (_, index) => from + ((index + 0.5) / count) * (to - from));
  const large = still(hit, times[Math.floor((count - 1) / 2)], name);
  if (count === 1) return large;
  const strip = build("span", { class: "strip" }, ...times.map((time) => still(hit, time, "")));
  strip.addEventListener("pointerover", (event) => {
    if (event.target.src) large.src = event.target.src;
  });
  return build("span", { class: "stills" }, large, strip);
}

function still(hit, seconds, text) {
  const image = build("img", { src: thumbnailAddress(hit, seconds, 480), alt: text, loading: "lazy", decoding: "async", elementtiming: "picture" });
  image.addEventListener("error", () => image.classList.add("broken"), { once: true });
  return image;
}

function caption(hit, name) {
  const facts = [span(hit), hit.missing ? "file missing" : ""].filter(Boolean).join(" · ");
  return build(
    "div",
    { class: "caption" },
    build("span", { class: "name", title: name, elementtiming: "hit" }, hit.metadata.title || name),
    facts ? build("span", { class: "facts" }, facts) : null,
    hit.matched ? marked(hit.matched) : build("span", { class: "words" }, hit.metadata.caption ?? ""),
  );
}

function buttons(hit, { more, less, select }) {
  const name = fileName(hit.uri);
  const button = (text, label, run) =>
    build("button", { type: "button", "aria-label": `${label}: ${name}`, title: label, onclick: () => run(hit) }, text);
  return build(
    "div",
    { class: "buttons" },
    button("+", "More like this", more),
    button("−", "Less like this", less),
    build("button", {
      type: "button", class: "select", "aria-pressed": "false", "aria-label": `Select: ${name}`, title: "Select",
      onclick: () => select(hit),
    }, "✓"),
  );
}

function playButton(hit, name) {
  const button = build("button", {
    type: "button", class: "play", "aria-label": `Play: ${name}`, "aria-pressed": "false", title: "Play",
    onclick: () => play(hit, button.closest(".card")),
  });
  return button;
}

/** Load what a card shows besides its picture: the waveform and the score curve. */
async function complete(element, hit) {
  if (hit.modality === "image" || hit.missing) return;
  if (hit.modality === "audio") {
    waveform(hit, 160).then(
      (wave) => element.querySelector(".sound").replaceChildren(drawWaveform(wave, hit), build("span", { class: "cursor" })),
      () => element.querySelector(".sound").replaceChildren("no waveform"),
    );
  }
  const scale = element.querySelector(".scale");
  if (!scale) return;
  try {
    const curve = await curveOf(hit, queryParameters(readState()));
    if (curve && curve.scores.length > 1) scale.replaceChildren(drawCurve(curve, hit));
  } catch {
    // A card without a curve is complete.
  }
}
