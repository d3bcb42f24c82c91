// Requests to the server, with addresses relative to the page.

/** Fetch JSON; an error has the server's one line as its message. */
export async function getJson(address, options = {}) {
  let response;
  try {
    response = await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer. Is it still running?");
  }
  if (response.ok) return response.json();
  const text = await response.text();
  let message = `${response.status} ${response.statusText}`;
  try {
    message = JSON.parse(text).error ?? message;
  } catch {
    // not JSON: the status says enough
  }
  if (response.status === 401) message = "The session has ended. Open the address that the server printed.";
  throw new Error(message);
}

/** Run at most `limit` functions at once. */
export function limiter(limit) {
  const waiting = [];
  let running = 0;
  const next = () => {
    if (running >= limit || !waiting.length) return;
    running += 1;
    const { run, resolve, reject } = waiting.shift();
    run().then(resolve, reject).finally(() => {
      running -= 1;
      next();
    });
  };
  return (run) =>
    new Promise((resolve, reject) => {
      waiting.push({ run, resolve, reject });
      next();
    });
}

const path = (route, hit) => `${route}/${encodeURIComponent(hit.collection)}/${hit.item_id}`;

export const mediaAddress = (hit, play = null) => path("media", hit) + (play === null ? "" : `?play=${play}`);
export const clipAddress = (hit) => `${path("clips", hit)}?start=${hit.start_seconds}&end=${hit.end_seconds}`;
export const thumbnailAddress = (hit, seconds, size) =>
  `${path("thumbnails", hit)}?size=${size}${seconds ? `&t=${seconds.toFixed(1)}` : ""}`;

const limited = limiter(3);
const cached = new Map();

/** Fetch once per address, a few at a time. */
function once(address) {
  if (!cached.has(address)) {
    if (cached.size > 500) cached.clear();
    const answer = limited(() => getJson(address));
    answer.catch(() => cached.delete(address));
    cached.set(address, answer);
  }
  return cached.get(address);
}

export const details = (hit) => once(path("api/items", hit));
export const waveform = (hit, bins) => once(`${path("waveforms", hit)}?bins=${bins}`);

/** Return the score curve of a hit, or null if the query has none. */
export async function curveOf(hit, query) {
  if (![...query.keys()].length) return null;
  const parameters = new URLSearchParams(query);
  if (hit.space) parameters.set("space", hit.space);
  if (hit.medium !== "image") parameters.set("medium", hit.medium);
  const { curves } = await once(`${path("curves", hit)}?${parameters}`);
  return curves.find((curve) => curve.medium === hit.medium) ?? curves[0] ?? null;
}
