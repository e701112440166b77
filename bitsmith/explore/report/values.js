"use strict";
// The study's data, and its values as text.

const study = JSON.parse(document.getElementById("study").textContent);
const $ = (id) => document.getElementById(id);
const ABSENT = 0xffffffff;

function decoded(base64, Kind) {
  const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
  return new Kind(bytes.buffer);
}

const metrics = study.metrics.map((metric) => ({
  ...metric,
  column: decoded(metric.column, Float32Array),
  low: metric.low ? decoded(metric.low, Float32Array) : null,
  high: metric.high ? decoded(metric.high, Float32Array) : null,
}));
const axes = study.axes.map((axis) => ({ ...axis, column: decoded(axis.column, Uint32Array) }));
const metricOf = Object.fromEntries(metrics.map((metric) => [metric.name, metric]));
const axisOf = Object.fromEntries(axes.map((axis) => [axis.path, axis]));
const indexOf = new Map(study.numbers.map((number, index) => [number, index]));
const quoted = new Set(study.quoted);
const isFront = (index) => index < study.front;
const nameOf = (index) => study.names[index] || "";

const PREFIXED = new Set(["s", "J", "W", "bytes", "J s"]);
const PREFIXES = [["P", 1e15], ["T", 1e12], ["G", 1e9], ["M", 1e6], ["k", 1e3], ["", 1],
  ["m", 1e-3], ["\u00b5", 1e-6], ["n", 1e-9], ["p", 1e-12]];

function digits(value, count = 4) {
  if (value === 0) return "0";
  const size = Math.abs(value);
  if (size >= 1e6 || size < 1e-4) return value.toExponential(count - 1);
  const text = Number(value.toPrecision(count));
  return text.toLocaleString("en", { maximumSignificantDigits: count });
}

function quantity(metric, value, count = 4) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "-";
  const unit = metric ? metric.unit : "";
  if (!PREFIXED.has(unit)) return `${digits(value, count)} ${unit === "1" ? "" : unit}`.trim();
  const size = Math.abs(Number(value.toPrecision(count)));
  const [prefix, factor] = PREFIXES.find(([, f]) => size >= f) || (size ? ["p", 1e-12] : ["", 1]);
  return `${digits(value / factor, count)} ${prefix}${unit === "bytes" ? "B" : unit}`;
}

// Value of a metric or a setting of one point: a number, a text, or null where it has none.
function valueOf(name, index) {
  if (metricOf[name]) {
    const value = metricOf[name].column[index];
    return Number.isFinite(value) ? value : null;
  }
  const axis = axisOf[name];
  const place = axis.column[index];
  if (place === ABSENT) return null;
  return axis.numeric ? Number(axis.values[place]) : axis.values[place];
}

function textOf(name, index) {
  const value = valueOf(name, index);
  if (value === null) return "-";
  return metricOf[name] ? quantity(metricOf[name], value) : axisOf[name].values[axisOf[name].column[index]];
}

function settingsOf(index) {
  return axes.filter((axis) => axis.column[index] !== ABSENT)
    .map((axis) => [axis, axis.values[axis.column[index]]]);
}

const isNumeric = (name) => Boolean(metricOf[name]) || axisOf[name].numeric;
const betterOf = (name) => (metricOf[name] ? metricOf[name].better : null);
const labelOf = (name) => (metricOf[name] ? name : axisOf[name].label);

// Elements: text only ever becomes a text node.
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function tableOf(heads, rows, textColumns = 1) {
  const kind = (column) => (column < textColumns ? null : "number");
  const line = (tag, cells) => element("tr", {},
    ...cells.map((cell, column) => element(tag, { class: kind(column) }, cell)));
  const body = element("tbody", {}, ...rows.map((row) => line("td", row)));
  const head = heads.length ? element("thead", {}, line("th", heads)) : null;
  return element("div", { class: "scroll" }, element("table", {}, head, body));
}

// plotly reads a little HTML in its texts
const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

// Colours follow the page's style: light, dark or paper.
let onPaper = false;
function palette() {
  const style = getComputedStyle(document.documentElement);
  const read = (name) => style.getPropertyValue(`--${name}`).trim();
  const paper = { bg: "#fff", fg: "#000", dim: "#444", faint: "#ccc" };
  const found = Object.fromEntries(
    ["bg", "fg", "dim", "faint", "c0", "c1", "c2", "c3", "c4", "c5", "c6", "c7"].map((n) => [n, read(n)]));
  const isDark = !onPaper && matchMedia("(prefers-color-scheme: dark)").matches;
  return { ...found, ...(onPaper ? paper : {}), isDark };
}

function baseLayout(colors) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: 'system-ui, -apple-system, "Segoe UI", Arial, sans-serif', size: 13, color: colors.fg },
    hovermode: "closest",
    separators: ".,",
  };
}

const PLOT_OPTIONS = {
  displaylogo: false,
  responsive: true,
  modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d"],
};

// Tooltip of a point: settings and all metrics.
function showTip(event, title, groups) {
  const tip = $("tip");
  const lists = groups.map((rows) => element("dl", {},
    ...rows.flatMap(([name, text]) => [element("dt", {}, name), element("dd", {}, text)])));
  tip.replaceChildren(element("b", {}, title), element("div", { class: "columns" }, ...lists));
  tip.hidden = false;
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const right = event.clientX + 18 + width < innerWidth;
  const top = Math.min(Math.max(8, event.clientY - height / 2), innerHeight - height - 8);
  tip.style.left = `${Math.max(8, right ? event.clientX + 18 : event.clientX - width - 18)}px`;
  tip.style.top = `${Math.max(8, top)}px`;
}

function hideTip() {
  $("tip").hidden = true;
}

function pointTitle(index) {
  const kind = isFront(index) ? "on the front" : "behind the front";
  return [`Point ${study.numbers[index]}`, nameOf(index), kind].filter(Boolean).join(" \u00b7 ");
}

function metricText(metric, index) {
  const mark = quoted.has(index) && /^(bits_per_byte|perplexity)$/.test(metric.name) ? " (quoted)" : "";
  return quantity(metric, metric.column[index]) + mark;
}

function pointTip(event, index) {
  const known = metrics.filter((metric) => Number.isFinite(metric.column[index]));
  showTip(event, pointTitle(index), [
    settingsOf(index).map(([axis, text]) => [axis.label, text]),
    known.map((metric) => [metric.name, metricText(metric, index)]),
  ]);
}

function baselineTip(event, baseline) {
  const known = metrics.filter((metric) => metric.name in baseline.metrics);
  showTip(event, baseline.name, [
    [["known from", baseline.note], ...(baseline.quoted ? [["quality", "a published figure"]] : [])],
    known.map((metric) => [metric.name, quantity(metric, baseline.metrics[metric.name])]),
  ]);
}
