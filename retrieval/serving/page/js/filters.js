// Filters: conditions over columns, built from the collection's columns or typed as text.

import { getJson } from "./api.js";
import { label, unit } from "./columns.js";
import { build, byId, refill } from "./dom.js";
import { ALL, readState, search } from "./state.js";

const dialog = byId("filter-dialog");
const RANGES = ["int64", "double", "timestamp", "date"];
const DATES = ["timestamp", "date"];
const DAY_MILLISECONDS = 86_400_000;
const LISTED_ELSEWHERE = ["folder"]; // the tree of folders

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
  refill(byId("filters"), ...chips, add);
}

/** Shorten the condition of a folder to its name, and show days instead of seconds. */
function readable(condition) {
  const days = condition.replace(/\bmtime (>=|<) (\d+)\b/g, (_, operator, seconds) =>
    `${operator === "<" ? "changed before" : "changed from"} ${new Date(seconds * 1000).toLocaleDateString()}`);
  if (days !== condition) return days.replace(" AND changed", ",");
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
    ...answer.columns.filter(({ name, count }) => count && !LISTED_ELSEWHERE.includes(name)).map((column) =>
      build("details", { "data-column": column.name },
        build("summary", {}, label(column.name), label(column.name) === column.name ? null : build("small", {}, ` ${column.name}`)),
        RANGES.includes(column.type) ? range(column) : values(column))),
    closeButton(),
  );
  dialog.querySelector("input").focus();
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
  const isSeconds = column.name === "mtime";
  const isDate = isSeconds || DATES.includes(column.type);
  const shown = (value) => (isSeconds ? new Date(value * 1000).toISOString() : String(value));
  const field = (side, value) =>
    build("input", {
      name: side, type: isDate ? "date" : "number", step: "any", "aria-label": `${column.name}: ${side}`,
      placeholder: isDate ? null : shown(value), value: isDate ? shown(value).slice(0, 10) : null,
    });
  const [from, to] = [field("from", column.min), field("to", column.max)];
  return build("form", {
    class: "row",
    onsubmit: (event) => {
      event.preventDefault();
      const bounds = [lower(column, from.value), upper(column, to.value)].filter(Boolean);
      if (bounds.length) add(bounds.join(" AND "));
    },
  }, from, build("span", {}, "to"), to, build("span", {}, unit(column.name)), build("button", { class: "primary" }, "Add"));
}

function lower({ name, type }, value) {
  if (!value) return null;
  if (name === "mtime") return `mtime >= ${midnight(value)}`;
  return `${quotedName(name)} >= ${DATES.includes(type) ? literal(value) : value}`;
}

/** Return the condition up to a value; the last day is included. */
function upper({ name, type }, value) {
  if (!value) return null;
  if (name === "mtime") return `mtime < ${midnight(value, 1)}`;
  if (type !== "timestamp") return `${quotedName(name)} <= ${type === "date" ? literal(value) : value}`;
  const next = new Date(Date.parse(value) + DAY_MILLISECONDS).toISOString().slice(0, 10);
  return `${quotedName(name)} < ${literal(next)}`;
}

/** Return the begin of a day here, or of a later one, in seconds since 1970. */
function midnight(date, daysLater = 0) {
  const [year, month, day] = date.split("-").map(Number);
  return Math.floor(new Date(year, month - 1, day + daysLater).getTime() / 1000);
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
