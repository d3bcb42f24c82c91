// The page of a collection: contents, indexes, failures, near-duplicates, and a running writer.

import { getJson, thumbnailAddress } from "./api.js";
import { size } from "./columns.js";
import { build, byId, clock, fileName } from "./dom.js";
import { address, readState } from "./state.js";

const WRITER_MILLISECONDS = 1_500;
const IDLE_MILLISECONDS = 5_000;
const MEDIA = { image: "images", audio: "recordings", video: "videos" };

let timer = null;

/** Show the page of a collection, or hide it. */
export async function showOverview(state) {
  const page = byId("overview");
  page.hidden = state.view !== "collection";
  clearTimeout(timer);
  if (page.hidden) return;
  const collection = await currentCollection(state);
  page.replaceChildren(
    build("h1", {}, collection.collection),
    build("div", { id: "contents" }, ...contents(collection)),
    build("section", { id: "failures" }),
    build("section", { id: "duplicates" }, build("h2", {}, "Near-duplicates"), duplicatesButton(collection)),
  );
  showFailures(collection);
  timer = setTimeout(() => refresh(collection), refreshAfter(collection));
}

/** Show new contents and the progress of a writer; lists that are open stay. */
async function refresh(before) {
  const state = readState();
  if (state.view !== "collection") return;
  let collection = before;
  try {
    collection = await currentCollection(state);
  } catch {
    // The next refresh asks again.
  }
  if (readState().view !== "collection" || collection.collection !== before.collection) return;
  byId("contents").replaceChildren(...contents(collection));
  if (collection.failures !== before.failures) showFailures(collection);
  timer = setTimeout(() => refresh(collection), refreshAfter(collection));
}

const refreshAfter = ({ writer: process }) => (process ? WRITER_MILLISECONDS : IDLE_MILLISECONDS);

async function currentCollection(state) {
  const { collections } = await getJson("api/collections");
  return collections.find((each) => each.collection === state.collection) ?? collections[0];
}

const contents = (collection) => [...writer(collection), tiles(collection), spaces(collection)];

function writer({ writer: process }) {
  if (!process) return [];
  const since = process.since ? ` since ${new Date(process.since * 1000).toLocaleTimeString()}` : "";
  const { progress } = process;
  const bar = build("progress", {
    "aria-label": "Progress of the command that is writing", value: progress?.total ? progress.done : null, max: progress?.total || null,
  });
  return [build("div", { class: "writer" },
    build("strong", {}, progress ? titled(progress.task) : "A command is writing"), bar,
    build("span", {}, progress ? progressText(progress) : `Process ${process.process}${since}`))];
}

const titled = (text) => text.charAt(0).toUpperCase() + text.slice(1);

/** Describe progress: `120 of 300 files · 118 items · 2 failed · 5 min left`. */
function progressText({ done, total, items, failed, updated_at: updated, ends_at: end }) {
  const left = end === null ? null : Math.max(0, end - updated);
  return [
    total === null ? `${done.toLocaleString()} so far` : `${done.toLocaleString()} of ${total.toLocaleString()}`,
    `${items.toLocaleString()} items`,
    failed ? `${failed.toLocaleString()} failed` : "",
    left === null ? "" : left < 100 ? `${Math.ceil(left)} s left` : `${Math.round(left / 60)} min left`,
  ].filter(Boolean).join(" · ");
}

function tiles({ items, hours, failures, bytes, generation }) {
  const tile = (value, label) => build("div", { class: "tile" }, build("strong", {}, value), build("span", {}, label));
  return build("div", { class: "tiles" },
    ...Object.entries(items).filter(([, count]) => count).map(([medium, count]) => tile(count.toLocaleString(), MEDIA[medium] ?? medium)),
    hours ? tile(clock(hours * 3600), "of sound and video") : null,
    tile(size(bytes), "on disk"),
    tile(String(failures), "failures"),
    tile(String(generation), "generation"));
}

function spaces({ spaces: list }) {
  const recall = (part) =>
    Object.entries(part.recall).map(([name, value]) => (value === null ? null : `${name} ${(value * 100).toFixed(1)} %`)).filter(Boolean).join(", ");
  const rows = list.map((space) =>
    build("tr", {},
      build("th", { scope: "row" }, space.encoder),
      build("td", {}, space.media.join(", ")),
      build("td", {}, space.rows.toLocaleString()),
      build("td", {}, space.index.length ? space.index.map((part) => part.kind).join(", ") : "none"),
      build("td", {}, space.index.map(recall).filter(Boolean).join("; ") || "exact")));
  const head = ["Model", "Media", "Vectors", "Index", "Recall at 10"].map((name) => build("th", { scope: "col" }, name));
  return build("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Spaces" },
    build("table", {}, build("thead", {}, build("tr", {}, ...head)), build("tbody", {}, ...rows)));
}

async function showFailures(collection) {
  const place = byId("failures");
  const answer = await getJson(`api/failures?${new URLSearchParams({ collection: collection.collection })}`);
  if (!answer.total) {
    place.replaceChildren(build("h2", {}, "Failures"), build("p", {}, "Every file was embedded."));
    return;
  }
  const list = build("ul", {});
  const append = (page) => list.append(...page.failures.map((each) =>
    build("li", {}, build("strong", { title: each.uri }, fileName(each.uri)), ` (${each.stage}): ${each.reason}`)));
  append(answer);
  place.replaceChildren(build("h2", {}, `${answer.total} failures`), list, moreButton("api/failures", answer.next, append));
}

function moreButton(route, next, append) {
  if (!next) return "";
  const button = build("button", { type: "button" }, "Show more");
  button.addEventListener("click", async () => {
    const page = await getJson(`${route}${next}`);
    append(page);
    if (page.next) next = page.next;
    else button.remove();
  });
  return button;
}

function duplicatesButton(collection) {
  const place = build("div", { role: "status" });
  const button = build("button", { type: "button" }, "Find near-duplicates");
  button.addEventListener("click", async () => {
    button.disabled = true;
    place.textContent = "Comparing…";
    try {
      const answer = await getJson(`api/duplicates?${new URLSearchParams({ collection: collection.collection })}`);
      const append = (page) => place.append(...page.groups.map((group) => duplicateGroup(group, collection.collection)));
      place.textContent = answer.total ? `${answer.total} groups` : "There are none.";
      append(answer);
      place.append(moreButton("api/duplicates", answer.next, append));
    } catch (error) {
      place.textContent = error.message;
    }
    button.disabled = false;
  });
  return build("div", {}, button, place);
}

function duplicateGroup(group, collection) {
  return build("div", { class: "group" }, ...group.items.map((item) => {
    const hit = { ...item, collection };
    const name = fileName(item.uri);
    return build("a", { href: address({ ...readState(), item: `${collection}/${item.item_id}`, t: null }), title: name },
      group.modality === "audio" ? build("span", { class: "name" }, name) : build("img", { src: thumbnailAddress(hit, null, 240), alt: name, loading: "lazy" }));
  }));
}
