// Filters: conditions over columns, built from the collection's columns or typed as text.

import { getJson } from "./api.js";
import { build, byId } from "./dom.js";
import { ALL, readState, search } from "./state.js";

const dialog = byId("filter-dialog");
const RANGES = ["int64", "double", "timestamp", "date"];
const DATES = ["timestamp", "date"];

const quotedName = (name) => (/^[a-z_][a-z0-9_]*$/i.test(name) ? name : `"${name.replaceAll('"', '""')}"`);
const literal = (value) => (typeof value === "string" ? `'${value.replaceAll("'", "''")}'` : String(value));

/** Show the filters of a state as chips. */
export function showFilters(state) {
  const chips = state.where.map((condition) =>
    build(
      "span",
      { class: "chip" },
      build("span", { title: condition }, readable(condition)),
      build("button", {
        type: "button", "aria-label": `Remove the filter ${readable(condition)}`,
        onclick: () => search({ where: readState().where.filter((each) => each !== condition) }),
      }, "×"),
    ));
  const add = build("button", { type: "button", class: "toggle", id: "add-filter", onclick: openDialog }, "+ Filter");
  byId("filters").replaceChildren(...chips, add);
}

/** Shorten the condition of a folder to its name. */
function readable(condition) {
  const folder = condition.match(/^\(uri LIKE '(.*?)\/%' ESCAPE/);
  if (!folder) return condition;
  const path = folder[1].replace(/\\(.)/g, "$1").replaceAll("''", "'");
  try {
    return `in ${decodeURIComponent(path.split("/").pop())}`;
  } catch {
    return `in ${path.split("/").pop()}`;
  }
}

function add(condition) {
  dialog.close();
  const { where } = readState();
  if (!where.includes(condition)) search({ where: [...where, condition] });
}

async function openDialog() {
  dialog.replaceChildren(build("p", { class: "loading" }, "Reading the columns…"));
  dialog.showModal();
  const { collection: chosen } = readState();
  const collection = chosen === ALL ? "" : chosen; // the columns of the first one are offered
  let answer;
  try {
    answer = await getJson(`api/columns${collection ? `?${new URLSearchParams({ collection })}` : ""}`);
  } catch (error) {
    dialog.replaceChildren(build("p", { class: "error" }, error.message), closeButton());
    return;
  }
  dialog.replaceChildren(
    build("h2", {}, "Add a filter"),
    textForm(),
    answer.folders?.folders.length
      ? build("details", {}, build("summary", {}, "Folder"), tree(answer.folders))
      : "",
    ...answer.columns.map((column) =>
      build("details", { "data-column": column.name }, build("summary", {}, column.name),
        RANGES.includes(column.type) ? range(column) : values(column))),
    closeButton(),
  );
}

const closeButton = () => build("button", { type: "button", onclick: () => dialog.close() }, "Close");

function textForm() {
  const field = build("input", {
    name: "condition", "aria-label": "Condition", placeholder: "width > 1000 AND caption LIKE '%beach%'", autocomplete: "off",
  });
  return build("form", {
    class: "row",
    onsubmit: (event) => {
      event.preventDefault();
      if (field.value.trim()) add(field.value.trim());
    },
  }, field, build("button", { class: "primary" }, "Add"));
}

function range(column) {
  const isDate = DATES.includes(column.type);
  const field = (side, value) =>
    build("input", {
      name: side, type: isDate ? "date" : "number", step: "any", "aria-label": `${column.name}: ${side}`,
      placeholder: isDate ? null : String(value), min: isDate ? String(value).slice(0, 10) : null,
    });
  const [from, to] = [field("from", column.min), field("to", column.max)];
  const bound = (input, operator) => {
    if (!input.value) return null;
    const value = isDate ? literal(input.value) : input.value;
    return `${quotedName(column.name)} ${operator} ${value}`;
  };
  return build("form", {
    class: "row",
    onsubmit: (event) => {
      event.preventDefault();
      const bounds = [bound(from, ">="), bound(to, "<=")].filter(Boolean);
      if (bounds.length) add(bounds.join(" AND "));
    },
  }, from, build("span", {}, "to"), to, build("button", { class: "primary" }, "Add"));
}

function values(column) {
  return build(
    "ul",
    { class: "values" },
    ...column.values.map(({ value, count }) =>
      build("li", {}, build("button", {
        type: "button", onclick: () => add(`${quotedName(column.name)} = ${literal(value)}`),
      }, `${value} `, build("small", {}, String(count))))),
  );
}

function tree(folder) {
  let name = folder.name;
  try {
    name = decodeURIComponent(name);
  } catch {
    // not percent-encoded UTF-8
  }
  const button = build("button", { type: "button", onclick: () => add(folder.where) }, `${name || "/"} `, build("small", {}, String(folder.items)));
  return build("ul", { class: "values tree" }, build("li", {}, button, ...folder.folders.map(tree)));
}
