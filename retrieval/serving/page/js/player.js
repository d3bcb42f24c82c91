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
  element.removeAttribute("src");
  element.load();
  if (current === element) current = null;
}

/** Play the span of a recording without opening it; a second call stops it. */
export function play(hit) {
  const key = `${hit.collection}/${hit.item_id}`;
  if (current?.dataset.key === key && !current.paused) {
    release(current);
    return;
  }
  const audio = new Audio(mediaAddress(hit));
  audio.dataset.key = key;
  claim(audio);
  audio.addEventListener("loadedmetadata", () => {
    audio.currentTime = hit.start_seconds ?? 0;
  }, { once: true });
  audio.play().catch(() => {});
}

/** Play or pause the live player. */
export function toggle() {
  if (!current) return false;
  if (current.paused) current.play().catch(() => {});
  else current.pause();
  return true;
}
