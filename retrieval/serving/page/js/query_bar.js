// The query: a text, files, and items as removable weighted chips; targets and the cut-off.

import { getJson, thumbnailAddress } from "./api.js";
import { build, byId, fileName, refill } from "./dom.js";
import { readState, search, weighted } from "./state.js";

const TARGETS = { image: "Images", music: "Sounds", video: "Videos", moment: "Moments" };
const names = new Map(); // names of items and files of this session, by term

/** Add an item to the query with weight 1 or -0.5. */
export function addItem(hit, weight) {
  const state = readState();
  const id = String(hit.item_id);
  names.set(id, fileName(hit.uri));
  const others = state.like.filter((term) => weighted(term).name !== id);
  search({ collection: hit.collection, like: [...others, weight === 1 ? id : `${id}:${weight}`] });
}

/** Send a file and search with it. */
export async function addFile(file) {
  byId("message").textContent = `Reading ${file.name}…`;
  const { collection } = readState();
  const parameters = new URLSearchParams({ k: "1", ...(collection ? { collection } : {}) });
  try {
    const answer = await getJson(`api/search?${parameters}`, { method: "POST", body: file });
    const digest = answer.file.at(-1);
    names.set(digest, file.name || "pasted file");
    search({ file: [...readState().file.filter((term) => weighted(term).name !== digest), digest] });
  } catch (error) {
    byId("message").textContent = `${file.name || "The file"}: ${error.message}`;
  }
}

/** Show the query of a state. */
export function showQuery(state) {
  const field = byId("q");
  if (document.activeElement !== field || !field.dataset.edited) field.value = state.q;
  field.dataset.edited = "";
  refill(byId("terms"),
    ...["like", "file"].flatMap((list) => state[list].map((term) => chip(state, list, term))),
  );
  byId("cutoff").checked = state.cutoff;
  refill(byId("targets"),
    ...Object.entries(TARGETS).map(([target, label]) =>
      build("button", {
        type: "button", class: "toggle", "aria-pressed": String(state.to.includes(target)),
        onclick: () => search({ to: toggled(state.to, target) }),
      }, label)),
  );
}

const toggled = (list, value) => (list.includes(value) ? list.filter((each) => each !== value) : [...list, value]);

function chip(state, list, term) {
  const { name, weight } = weighted(term);
  const label = names.get(name) ?? (list === "like" ? `item ${name}` : "file");
  const others = state[list].filter((each) => each !== term);
  const reweigh = (value) => search({ [list]: [...others, value === 1 ? name : `${name}:${value}`] });
  return build(
    "span",
    { class: `chip ${weight < 0 ? "less" : "more"}` },
    list === "like" && state.collection ? picture(state.collection, name) : null,
    build("span", {}, `${weight < 0 ? "less like" : "like"} ${label}`),
    build("input", {
      type: "number", step: "0.25", min: "-4", max: "4", value: weight, title: "Weight", "aria-label": `Weight of ${label}`,
      onchange: (event) => reweigh(Number(event.target.value) || 1),
    }),
    build("button", { type: "button", "aria-label": `Remove ${label}`, onclick: () => search({ [list]: others }) }, "×"),
  );
}

function picture(collection, id) {
  const image = build("img", { src: thumbnailAddress({ collection, item_id: id }, null, 160), alt: "" });
  image.addEventListener("error", () => image.remove()); // a recording without a cover
  return image;
}

byId("q").addEventListener("input", (event) => {
  event.target.dataset.edited = "yes";
});
byId("query").addEventListener("submit", (event) => {
  event.preventDefault();
  byId("q").dataset.edited = "";
  search({ q: byId("q").value.trim() });
});
byId("cutoff").addEventListener("change", (event) => search({ cutoff: event.target.checked }));
byId("file").addEventListener("change", (event) => {
  if (event.target.files.length) addFile(event.target.files[0]);
  event.target.value = "";
});
addEventListener("paste", (event) => {
  const [file] = event.clipboardData?.files ?? [];
  if (!file) return;
  event.preventDefault();
  addFile(file);
});

let depth = 0; // dragenter and dragleave also come from children
const dragged = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
addEventListener("dragenter", (event) => {
  if (!dragged(event)) return;
  depth += 1;
  byId("drop").hidden = false;
});
addEventListener("dragleave", () => {
  depth = Math.max(0, depth - 1);
  byId("drop").hidden = depth === 0;
});
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  depth = 0;
  byId("drop").hidden = true;
  const [file] = event.dataTransfer?.files ?? [];
  if (file) addFile(file);
});
