"use strict";
// Elements are made here and text is only ever text: nothing in the data can become markup.

const SVG = "http://www.w3.org/2000/svg";

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : String(value));
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes = {}, ...children) =>
  fill(document.createElement(tag), attributes, children);
const svg = (tag, attributes = {}, ...children) =>
  fill(document.createElementNS(SVG, tag), attributes, children);
const byId = (id) => document.getElementById(id);

const known = (value) => value !== null && value !== undefined && value !== "";

const minus = (text) => text.replaceAll("-", "\u2212");

// Four significant digits, without an exponent where people read none.
function short(value) {
  if (!known(value)) return "";
  const size = Math.abs(value);
  if (size >= 1e9 || (size > 0 && size < 1e-4)) return minus(value.toExponential(2));
  if (Number.isInteger(value)) return minus(value.toLocaleString("en"));
  return minus(String(Number(value.toPrecision(4))));
}

// A number of a column: its digits, its sign if the sign is what it is about.
function written(value, column) {
  if (!known(value)) return "";
  if (typeof value !== "number") return value;
  if (column.digits === undefined) return short(value);
  const rounded = Number(value.toFixed(column.digits)) + 0;  // which makes 0 of -0
  const text = minus(rounded.toFixed(column.digits));
  return column.signed && rounded > 0 ? "+" + text : text;
}

// Round steps of an axis: 1, 2 or 5 times a power of ten, about `count` of them.
function ticks(low, high, count) {
  const raw = (high - low || 1) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((k) => k * power).find((size) => size >= raw);
  const found = [];
  const first = Math.ceil(low / step - 1e-9);  // above 2 ** 53 counting up stands still
  for (let turn = 0; turn < 2 * count && (first + turn) * step <= high + 1e-9 * step; turn++) {
    found.push(Number(((first + turn) * step).toPrecision(12)));
  }
  return found;
}

// As many decimals as neighbouring ticks differ in.
function tickText(at, all) {
  const step = all.length > 1 ? all[1] - all[0] : Math.abs(at) || 1;
  const decimals = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  return decimals > 6 ? short(at) : minus(at.toLocaleString("en", { minimumFractionDigits: decimals, maximumFractionDigits: decimals }));
}

// A tag or a key, with places where a narrow column may break it.
const breakable = (text) => text.split(/(?<=[/_.])/).flatMap((part) => [part, el("wbr")]);
