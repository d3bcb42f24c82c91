// The state of the page is its address: query, filters, the open item and its time.

/** The value of `collection` that stands for all of them. */
export const ALL = "*";

const LISTS = ["like", "file", "to", "where"];

/** Read the state from the address of the page. */
export function readState(search = location.search) {
  const parameters = new URLSearchParams(search);
  const state = {
    collection: parameters.get("collection") ?? "",
    q: parameters.get("q") ?? "",
    cutoff: parameters.get("cutoff") === "true",
    item: parameters.get("item"),
    t: parameters.has("t") ? Number(parameters.get("t")) : null,
    view: parameters.get("view") ?? "",
  };
  for (const name of LISTS) state[name] = parameters.getAll(name);
  return state;
}

/** Return the parameters that a query and a curve share. */
export function queryParameters(state) {
  const parameters = new URLSearchParams();
  if (state.q) parameters.set("q", state.q);
  for (const name of ["like", "file"]) for (const value of state[name]) parameters.append(name, value);
  return parameters;
}

/** Return the parameters of a search. */
export function searchParameters(state) {
  const parameters = queryParameters(state);
  if (state.collection) parameters.set("collection", state.collection);
  for (const name of ["to", "where"]) for (const value of state[name]) parameters.append(name, value);
  if (state.cutoff) parameters.set("cutoff", "true");
  return parameters;
}

/** Return the address of a state, relative to the page. */
export function address(state) {
  const parameters = searchParameters(state);
  if (state.view) parameters.set("view", state.view);
  if (state.item !== null) {
    parameters.set("item", state.item);
    if (state.t !== null) parameters.set("t", state.t.toFixed(1));
  }
  return `?${parameters}`;
}

/** Go to a changed state: a new entry of the history, or with `replace` in place of the current one. */
export function go(change, { replace = false } = {}) {
  const next = address({ ...readState(), ...change });
  if (next === address(readState())) return;
  history[replace ? "replaceState" : "pushState"](null, "", next);
  dispatchEvent(new Event("statechange"));
}

/** Replace the query, and close what is open. */
export const search = (change) => go({ item: null, t: null, view: "", ...change });

/** Split `NAME:WEIGHT`. */
export function weighted(term) {
  const [name, weight] = term.split(":");
  return { name, weight: weight === undefined ? 1 : Number(weight) };
}
