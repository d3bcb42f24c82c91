// Draws score curves and waveforms as SVG, with the moment marked.

import { buildSvg } from "./dom.js";

const WIDTH = 1000;
const HEIGHT = 100;

function drawing(label, ...children) {
  return buildSvg(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img", "aria-label": label, class: "curve" },
    ...children,
  );
}

const WHOLE_SHARE = 0.98;

/** Whether the span of a hit is its whole item, or unknown. */
export const isWhole = (hit, seconds) =>
  hit.start_seconds === null || !seconds || hit.end_seconds - hit.start_seconds >= WHOLE_SHARE * seconds;

/** The marked span of a hit; none if it is the whole item. */
function moment(hit, seconds) {
  if (isWhole(hit, seconds)) return null;
  const x = (hit.start_seconds / seconds) * WIDTH;
  const width = Math.max(4, ((hit.end_seconds - hit.start_seconds) / seconds) * WIDTH);
  return buildSvg("rect", { class: "moment", x, y: 0, width, height: HEIGHT });
}

/** Return the length that a curve covers. */
export const curveSeconds = (curve) => Math.max(...curve.end_seconds);

/** Draw the scores of a curve as steps from the lowest to the highest. */
export function drawCurve(curve, hit, seconds = curveSeconds(curve)) {
  const low = Math.min(...curve.scores);
  const range = Math.max(...curve.scores) - low || 1;
  const points = [];
  for (const [index, score] of curve.scores.entries()) {
    const y = (HEIGHT - 4 - ((score - low) / range) * (HEIGHT - 12)).toFixed(1);
    for (const time of [curve.start_seconds[index], curve.end_seconds[index]])
      points.push(`${((time / seconds) * WIDTH).toFixed(1)},${y}`);
  }
  const first = points[0].split(",")[0];
  const last = points.at(-1).split(",")[0];
  return drawing(
    "Score over time",
    moment(hit, seconds),
    buildSvg("polygon", { class: "area", points: `${first},${HEIGHT} ${points.join(" ")} ${last},${HEIGHT}` }),
    buildSvg("polyline", { class: "line", points: points.join(" ") }),
  );
}

/** Draw the peaks of a recording. */
export function drawWaveform(wave, hit) {
  const step = WIDTH / Math.max(1, wave.peaks.length);
  const strongest = Math.max(...wave.peaks, 1e-3);
  const path = wave.peaks
    .map((peak, index) => {
      const half = Math.max(1, (peak / strongest) * (HEIGHT / 2 - 2));
      return `M${((index + 0.5) * step).toFixed(1)} ${(HEIGHT / 2 - half).toFixed(1)}v${(2 * half).toFixed(1)}`;
    })
    .join("");
  return drawing(
    "Waveform",
    moment(hit, wave.seconds),
    buildSvg("path", { class: "wave", d: path, "stroke-width": (step * 0.6).toFixed(2) }),
  );
}
