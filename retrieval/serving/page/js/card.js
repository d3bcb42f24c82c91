// One hit in the list of results.

import { curveOf, thumbnailAddress, waveform } from "./api.js";
import { drawCurve, drawWaveform } from "./curve.js";
import { build, fileName, marked, span } from "./dom.js";
import { play } from "./player.js";
import { address, queryParameters, readState } from "./state.js";

const STILLS = 4;
const RECORDING_RATIO = 2.4;
const VIDEO_RATIO = 1.6;

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
    { class: `card ${hit.modality}${hit.likely ? "" : " unlikely"}${hit.missing ? " missing" : ""}` },
    link,
    build("div", { class: "scale" }),
    caption(hit, name),
    buttons(hit, actions),
  );
  element.hit = hit;
  element.style.setProperty("--ratio", ratio(hit));
  element.addEventListener("seen", () => complete(element, hit), { once: true });
  visible.observe(element);
  return element;
}

/** Return the identity of a hit's item in the address. */
export const itemOf = (hit) => `${hit.collection}/${hit.item_id}`;

function ratio(hit) {
  if (hit.modality === "audio") return RECORDING_RATIO;
  const { width, height } = hit.metadata;
  if (hit.modality === "video" || !width || !height) return VIDEO_RATIO;
  return Math.min(3, Math.max(0.5, width / height));
}

function picture(hit, name) {
  if (hit.modality === "audio") return build("span", { class: "sound" });
  if (hit.modality === "image") return still(hit, null, name);
  const strip = build("span", { class: "strip" });
  const { start_seconds: start, end_seconds: end } = hit;
  const length = hit.metadata.duration_seconds ?? end ?? 0;
  const from = start ?? 0;
  const to = start === null ? length : end;
  // The stills show the moment; one of a short moment, several of a long one.
  const count = Math.max(1, Math.min(STILLS, Math.round((to - from) / 0.5)));
  for (let index = 0; index < count; index += 1)
    strip.append(still(hit, from + ((index + 0.5) / count) * (to - from), index ? "" : name));
  return strip;
}

function still(hit, seconds, text) {
  const image = build("img", { src: thumbnailAddress(hit, seconds, 480), alt: text, loading: "lazy", decoding: "async" });
  image.addEventListener("error", () => image.classList.add("broken"), { once: true });
  return image;
}

function caption(hit, name) {
  const score = hit.score ?? hit.text_score ?? null;
  return build(
    "div",
    { class: "caption" },
    build("span", { class: "name", title: name }, hit.metadata.title || name),
    build("span", { class: "facts" },
      [span(hit), score === null ? "" : score.toFixed(2), hit.missing ? "file missing" : ""].filter(Boolean).join(" · ")),
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
    hit.modality === "audio" ? button("▶", "Play", play) : null,
    button("+", "More like this", more),
    button("−", "Less like this", less),
    build("button", {
      type: "button", class: "select", "aria-pressed": "false", "aria-label": `Select: ${name}`, title: "Select",
      onclick: () => select(hit),
    }, "✓"),
  );
}

/** Load what a card shows besides its picture: the waveform and the score curve. */
async function complete(element, hit) {
  if (hit.modality === "image" || hit.missing) return;
  const scale = element.querySelector(".scale");
  if (hit.modality === "audio") {
    waveform(hit, 160).then(
      (wave) => element.querySelector(".sound").replaceChildren(drawWaveform(wave, hit)),
      () => element.querySelector(".sound").replaceChildren("no waveform"),
    );
  }
  try {
    const curve = await curveOf(hit, queryParameters(readState()));
    if (curve && curve.scores.length > 1) scale.replaceChildren(drawCurve(curve, hit));
  } catch {
    // A card without a curve is complete.
  }
}
