// The list of results: it grows while the reader scrolls, and keeps what is selected.

import { getJson } from "./api.js";
import { card, itemOf } from "./card.js";
import { build, byId } from "./dom.js";
import { searchParameters } from "./state.js";

const FIRST_PAGE = 30;
const NEAR_PIXELS = 600;

let next = null; // address of the next page
let abort = new AbortController();
let loading = false;
let actions = {};
let last = null; // the hit before the next one

/** Set what the buttons of cards do: `more`, `less`, `select`. */
export const onCards = (functions) => {
  actions = functions;
};

/** Show the results of a state; resolves with the answer. */
export async function show(state) {
  abort.abort();
  abort = new AbortController();
  const parameters = searchParameters(state);
  parameters.set("k", FIRST_PAGE);
  next = null;
  const list = byId("results");
  list.setAttribute("aria-busy", "true");
  try {
    const answer = await getJson(`api/search?${parameters}`, { signal: abort.signal });
    list.replaceChildren();
    last = null;
    list.classList.toggle("sounds", answer.hits.length > 0 && answer.hits.every((hit) => hit.modality === "audio"));
    append(answer);
    loadIfNear();
    return answer;
  } finally {
    list.removeAttribute("aria-busy");
  }
}

/** Remove all results. */
export function clear() {
  abort.abort();
  next = null;
  byId("results").replaceChildren();
}

function append(answer) {
  const list = byId("results");
  list.querySelector(".filler")?.remove();
  for (const hit of answer.hits) {
    if (!hit.likely && (last?.likely ?? true) && !list.querySelector(".divider")) list.append(...divider());
    list.append(card({ collection: answer.collection, ...hit }, actions));
    last = hit;
  }
  list.append(filler());
  next = answer.next;
}

/** Keep the last row at its height. */
const filler = () => build("span", { class: "filler" });

/** Separate the hits that are no better than those of unrelated texts. */
const divider = () => [
  ...(last ? [filler()] : []),
  build("h2", { class: "divider" }, last ? "Less likely" : "No likely match. These are the nearest:"),
];

/** Return the cards, best first. */
export const cards = () => [...byId("results").querySelectorAll(".card")];

/** Return the card of an item, if it is shown. */
export const cardOf = (item) => cards().find((element) => itemOf(element.hit) === item);

async function loadMore() {
  if (!next || loading) return;
  loading = true;
  const { signal } = abort;
  byId("more").textContent = "Loading more…";
  try {
    append(await getJson(`api/search${next}`, { signal }));
    byId("more").textContent = "";
  } catch (error) {
    byId("more").textContent = error.name === "AbortError" ? "" : error.message;
  } finally {
    loading = false;
  }
  if (!signal.aborted) loadIfNear();
}

/** Load more if the end is in view, as on a tall screen: the observer reports changes only. */
function loadIfNear() {
  if (next && byId("more").getBoundingClientRect().top < innerHeight + NEAR_PIXELS) loadMore();
}

new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) loadMore();
}, { rootMargin: `${NEAR_PIXELS}px` }).observe(byId("more"));
