// Builds elements. Texts are always text nodes, so nothing that a file says becomes markup.

/** Create an element: `build("a", { href: "?", class: "x", onclick: f }, "text", child)`. */
export function build(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** Create an element of SVG. */
export function buildSvg(name, attributes = {}, ...children) {
  return fill(document.createElementNS("http://www.w3.org/2000/svg", name), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Replace the content of an element; the focus stays on the control of the same name, or on the last one. */
export function refill(place, ...children) {
  const name = (control) => control.getAttribute("aria-label") ?? control.textContent;
  const focused = place.contains(document.activeElement) ? name(document.activeElement) : null;
  place.replaceChildren(...children);
  if (focused === null) return;
  const controls = [...place.querySelectorAll("button, input")];
  (controls.find((control) => name(control) === focused) ?? controls.at(-1))?.focus();
}

/** Return the element of an id. */
export const byId = (id) => document.getElementById(id);

/** Format seconds as m:ss or h:mm:ss. */
export function clock(seconds) {
  const whole = Math.floor(seconds + 1e-6);
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return hours ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/** Format the span of a hit; empty for images. */
export function span(hit) {
  return hit.start_seconds === null ? "" : `${clock(hit.start_seconds)}–${clock(hit.end_seconds)}`;
}

/** Return the name of an item's file. */
export function fileName(uri) {
  const name = uri.split(/[/!]/).pop();
  try {
    return decodeURIComponent(name);
  } catch {
    return name; // not percent-encoded UTF-8
  }
}

/** Return the text of a match with its words in <mark>; marks are ranges of code points. */
export function marked(match) {
  const points = Array.from(match.text);
  const parts = [];
  let end = 0;
  for (const [first, last] of match.marks) {
    parts.push(points.slice(end, first).join(""));
    parts.push(build("mark", {}, points.slice(first, last).join("")));
    end = last;
  }
  parts.push(points.slice(end).join(""));
  return build("q", { title: `found in: ${match.source}` }, ...parts);
}
