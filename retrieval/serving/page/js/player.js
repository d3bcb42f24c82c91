// The only player that is alive: starting one stops the other.

import { mediaAddress } from "./api.js";

let current = null;

/** Make a media element the live one. */
export function claim(element) {
  if (current && current !== element) release(current);
  current = element;
}

/** Stop a player and free its connection. */
export function release(element) {
  element.pause();
  element.dispatchEvent(new Event("release"));
  element.removeAttribute("src");
  element.load();
  if (current === element) current = null;
}

/** Play a recording in its card from the moment on, without opening it; a second call stops it. */
export function play(hit, card) {
  if (current?.card === card) {
    release(current);
    return;
  }
  const start = hit.start_seconds ?? 0;
  const audio = new Audio(mediaAddress(hit));
  audio.card = card;
  claim(audio);
  showPlaying(audio, hit);
  audio.addEventListener("loadedmetadata", () => {
    if (!audio.base) audio.currentTime = start;
  });
  audio.addEventListener("error", () => {
    if (audio.base !== undefined || current !== audio) return release(audio);
    audio.base = start; // browsers do not play the file: it is converted from the moment on
    audio.src = mediaAddress(hit, start.toFixed(2));
    audio.play().catch(() => {});
  });
  audio.play().catch(() => {});
}

function showPlaying(audio, hit) {
  const { card } = audio;
  const button = card.querySelector(".play");
  const show = (isPlaying) => {
    card.classList.toggle("playing", isPlaying);
    button.setAttribute("aria-pressed", String(isPlaying));
  };
  show(true);
  audio.addEventListener("release", () => show(false));
  audio.addEventListener("ended", () => release(audio));
  audio.addEventListener("timeupdate", () => {
    const seconds = hit.metadata.duration_seconds ?? audio.duration;
    card.style.setProperty("--at", ((audio.base ?? 0) + audio.currentTime) / seconds);
  });
}

/** Play or pause the live player. */
export function toggle() {
  if (!current) return false;
  if (current.paused) current.play().catch(() => {});
  else current.pause();
  return true;
}
