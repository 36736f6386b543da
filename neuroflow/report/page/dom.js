// Build elements and write values. Text only ever becomes text nodes: nothing of the data is parsed as HTML.
const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    node.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
  return node;
}
const el = (name, attributes, ...children) => fill(document.createElement(name), attributes, children);
const svg = (name, attributes, ...children) => fill(document.createElementNS(SVG, name), attributes, children);
const byId = (id) => document.getElementById(id);

function icon(name) {
  return svg("svg", { class: "icon", "aria-hidden": "true", focusable: "false" }, svg("use", { href: `#i-${name}` }));
}
function stateTag(state, kind) {
  return el("span", { class: `${kind || "state"} st-${state.name}`, title: state.about }, icon(state.name),
    el("span", { class: "word" }, state.word));
}

const NUMBER = new Intl.NumberFormat("en-GB");
const number = (value) => NUMBER.format(value);
const plural = (count, one, many) => `${number(count)} ${count === 1 ? one : many || one + "s"}`;
const pad = (value) => String(value).padStart(2, "0");

function moment(seconds, form) {
  if (seconds === null || seconds === undefined) return "";
  const at = new Date(seconds * 1000);
  const day = `${at.getUTCFullYear()}-${pad(at.getUTCMonth() + 1)}-${pad(at.getUTCDate())}`;
  return form === "day" ? day : `${day} ${pad(at.getUTCHours())}:${pad(at.getUTCMinutes())}`;
}
const dayName = (day) => moment(day * 86400, "day");

function duration(minutes) {
  if (minutes === null || minutes === undefined) return "";
  if (minutes < 1) return `${Math.round(minutes * 60)} s`;
  if (minutes < 90) return `${minutes < 10 ? minutes.toFixed(1).replace(/\.0$/, "") : Math.round(minutes)} min`;
  const hours = minutes / 60;
  return hours < 72 ? `${hours.toFixed(1).replace(/\.0$/, "")} h` : `${(hours / 24).toFixed(1).replace(/\.0$/, "")} d`;
}
function memory(mebibytes) {
  if (mebibytes === null || mebibytes === undefined) return "";
  return `${number(Math.round(mebibytes))} MiB`;
}
function figure(value) {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  const size = Math.abs(value);
  if (value !== 0 && (size < 0.001 || size >= 1e6)) return value.toExponential(2);
  return String(Number(value.toPrecision(4)));
}
const FEWEST = 5; // of fewer values there are no quantiles worth the name; usage.py has it too
function quantile(sorted, share) {
  const place = share * (sorted.length - 1);
  const below = Math.floor(place);
  const above = Math.min(below + 1, sorted.length - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - below);
}

// Draw again whenever the width changes; text in a scaled picture could not be read on a phone or on paper.
const PAPER = 660; // pixels of CSS between the margins of A4 and of letter paper
const plots = new Map();
const drawPlots = new ResizeObserver((entries) => entries.forEach((entry) => plots.get(entry.target)()));

function plot(box, draw) {
  let width = 0;
  plots.set(box, (printing) => {
    const screen = Math.floor(box.clientWidth);
    const now = printing ? Math.floor(screen * Math.min(1, PAPER / byId("main").clientWidth)) : screen;
    if (now > 0 && now !== width) {
      width = now;
      box.replaceChildren(draw(width));
    }
  });
  plots.get(box)();
  drawPlots.observe(box);
}
function printPlots(printing) {
  plots.forEach((redraw, box) => { if (box.isConnected) redraw(printing); else plots.delete(box); });
}

// A box that a wide table scrolls in; it takes the focus only where there is something to scroll.
function scroller(label, table) {
  const box = el("div", { class: "scroll" }, table);
  new ResizeObserver(() => {
    const wide = box.scrollWidth > box.clientWidth + 1;
    for (const [name, value] of [["tabindex", "0"], ["role", "region"], ["aria-label", label]]) {
      if (wide) box.setAttribute(name, value);
      else box.removeAttribute(name);
    }
  }).observe(box);
  return box;
}
