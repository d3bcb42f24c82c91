// The list of results: it grows while the reader scrolls, and keeps what is selected.

import { getJson } from "./api.js";
import { card, itemOf } from "./card.js";
import { build, byId } from "./dom.js";
import { searchParameters } from "./state.js";

const FIRST_PAGE = 30;

let next = null; // address of the next page
let abort = new AbortController();
let loading = false;
let actions = {};

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
    append(answer);
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
  const shown = answer.hits.map((hit) => card({ collection: answer.collection, ...hit }, actions));
  list.append(...shown, build("span", { class: "filler" })); // keeps the last row at its height
  next = answer.next;
  performance.mark("results-painted");
}

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
  // The end can still be in view, as on a tall screen.
  if (!signal.aborted && next && byId("more").getBoundingClientRect().top < innerHeight + 600) loadMore();
}

new IntersectionObserver((entries) => {
  if (entries.some((entry) => entry.isIntersecting)) loadMore();
}, { rootMargin: "600px" }).observe(byId("more"));
