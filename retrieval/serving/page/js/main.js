// Shows the state in the address, and follows its changes.

import { getJson } from "./api.js";
import { showOverview } from "./collection_page.js";
import { build, byId } from "./dom.js";
import { showFilters } from "./filters.js";
import "./keyboard.js";
import { addItem, showQuery } from "./query_bar.js";
import { clear, onCards, show } from "./results.js";
import { showSelection, toggleSelected } from "./selection.js";
import { ALL, address, go, readState, search, searchParameters } from "./state.js";
import { showItem } from "./viewer.js";

let shown = null; // the search whose results are shown

onCards({
  more: (hit) => addItem(hit, 1),
  less: (hit) => addItem(hit, -0.5),
  select: toggleSelected,
});

async function render() {
  const state = readState();
  showQuery(state);
  showFilters(state);
  const isOverview = state.view === "collection";
  byId("results").hidden = isOverview;
  byId("about").href = address({ ...state, item: null, view: isOverview ? "" : "collection" });
  byId("about").textContent = isOverview ? "Back to the results" : "Collection";
  document.title = state.q ? `${state.q} – retrieval` : "retrieval";
  const parameters = searchParameters(state).toString();
  if (isOverview) {
    clear();
    shown = null;
    byId("examples").replaceChildren();
    byId("message").textContent = "";
    await showOverview(state).catch(showError);
  } else {
    showOverview(state);
    if (parameters !== shown) await renderResults(state, parameters);
  }
  if (parameters === searchParameters(readState()).toString()) showItem(readState());
}

async function renderResults(state, parameters) {
  shown = parameters;
  const message = byId("message");
  message.classList.remove("error");
  message.textContent = "Searching…";
  byId("hidden-count").textContent = "";
  let answer;
  try {
    answer = await show(state);
  } catch (error) {
    if (error.name === "AbortError") return;
    shown = null;
    clear();
    showError(error);
    return;
  }
  const isQuery = state.q || state.like.length || state.file.length;
  byId("examples").replaceChildren();
  if (answer.hits.length) message.textContent = isQuery ? "" : "Newest items";
  else message.replaceChildren(...nothing(state));
  if (state.cutoff) byId("hidden-count").textContent = answer.hidden ? `${answer.hidden} hidden` : "none hidden";
  if (!isQuery) showExamples(state);
  showSelection();
}

/** Say that nothing matches, and offer to remove what restricts the results. */
function nothing(state) {
  const remove = (text, change) => build("button", { type: "button", onclick: () => search(change) }, text);
  const isRestricted = state.where.length || state.to.length || state.cutoff;
  return [
    build("p", {}, isRestricted ? "Nothing matches these conditions." : "Nothing matches."),
    build("div", { class: "row" },
      state.where.length ? remove("Remove the filters", { where: [] }) : null,
      state.to.length ? remove("Search all types", { to: [] }) : null,
      state.cutoff ? remove("Show less likely results", { cutoff: false }) : null),
  ];
}

function showError(error) {
  byId("message").textContent = error.message;
  byId("message").classList.add("error");
}

/** Show queries that work for this collection, and the choice of a collection if there are several. */
async function showExamples(state) {
  const { collections } = await getJson("api/collections");
  const names = collections.map((each) => each.collection);
  byId("collection").hidden = names.length < 2;
  const current = state.collection === ALL || names.includes(state.collection) ? state.collection : names[0];
  byId("collection").replaceChildren(
    ...names.map((name) => build("option", { value: name, selected: name === current }, name)),
    build("option", { value: ALL, selected: current === ALL }, "All collections"),
  );
  const examples = (collections.find((each) => each.collection === current) ?? collections[0])?.examples ?? [];
  if (readState().q || !examples.length) return;
  byId("examples").replaceChildren(
    build("span", {}, "Try"),
    ...examples.map((query) => build("button", { type: "button", onclick: () => search({ q: query }) }, query)),
  );
}

byId("collection").addEventListener("change", (event) =>
  search({ collection: event.target.value, like: [], file: [], where: [] }));

// Links of the page change the state without loading the page again.
addEventListener("click", (event) => {
  const link = event.target.closest("a[href^='?']");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  go({ ...readState(link.getAttribute("href")) });
});
addEventListener("popstate", render);
addEventListener("statechange", render);
render();
