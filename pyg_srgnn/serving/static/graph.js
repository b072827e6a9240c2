// The session graph as a drawing: items on a ring, arrows between them with their weights.

import { html, number, svg } from "./element.js";

const TALL = 30; // of an item, in pixels; less where there are many
const READABLE = 16; // an item in which a number can be read
const LONGEST = 18; // letters of a name
const TALLEST = 520; // drawing
const APART = 16; // items
const HEAD = 9; // of an arrow
const BOW = 0.16; // how far an arrow swings out, as a share of its length
const STEPS = 40; // points of a drawn curve
const measure = document.createElement("canvas").getContext("2d");

/**
 * Draw a graph into a place, as wide as that is.
 * @param {HTMLElement} place
 * @param {{labels: string[], firsts: number[], last: number, edges: number[][], weights: number[],
 *   weightsIn: number[], keys: string[]}} graph  labels and first clicks of the nodes, the node of
 *   the last click, edges as pairs of nodes, and a key by which each edge is known again
 * @param {Set<string>} before  the edges of the drawing before: the others are drawn in
 */
export function drawGraph(place, graph, before) {
  const width = Math.max(240, place.clientWidth);
  const font = getComputedStyle(place).fontFamily;
  const loops = graph.edges.some(([i, j]) => i === j);
  const { nodes, height } = layout(graph, width, font, loops);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img" });
  const count = (n, one) => `${n} ${one}${n === 1 ? "" : "s"}`;
  drawing.append(
    svg("title", {}, `Session graph of ${count(nodes.length, "item")} and ${count(graph.edges.length, "arrow")}`),
  );
  const labels = svg("g", { class: "weights" });
  const taken = [];
  const list = html("ul", { class: "unseen" });
  graph.edges.forEach(([i, j], e) => {
    const path = curve(nodes[i], nodes[j], width, height);
    const [start, end] = outside(path, nodes[i], nodes[j]);
    const weight = graph.weights[e];
    const text =
      `${graph.labels[i]} to ${graph.labels[j]}: ${number(weight, 2)} of the steps out, ` +
      `${number(graph.weightsIn[e], 2)} of the steps in`;
    const isNew = before.size > 0 && !before.has(graph.keys[e]);
    drawing.append(arrow(path, start, end, weight, text, isNew));
    const [x, y] = free(path, start, end, taken);
    const [[x0, y0], [x1, y1]] = [path(start), path(end)];
    if (Math.hypot(x1 - x0, y1 - y0) > 2 * HEAD) {
      taken.push([x, y]);
      labels.append(svg("text", { x, y }, number(weight, weight === 1 ? 0 : 2)));
    }
    list.append(html("li", {}, text));
  });
  drawing.append(labels, ...nodes.map((node, n) => item(node, graph.labels[n], n === graph.last)));
  place.replaceChildren(drawing, list);
}

/** Where the nodes are and how large; with their names where there is room, else with numbers. */
function layout(graph, width, font, loops) {
  const count = graph.labels.length;
  const margin = loops ? 48 : 10; // above and below
  const short = graph.labels.map((label) => {
    const letters = [...label]; // not the halves of which some consist
    return letters.length > LONGEST ? `${letters.slice(0, LONGEST - 1).join("")}…` : label;
  });
  measure.font = `13px ${font}`;
  const named = short.map((text, n) => ({
    first: String(graph.firsts[n]),
    text: `  ${text}`,
    wide: measure.measureText(`${graph.firsts[n]}  ${text}`).width + 22,
    tall: TALL,
  }));
  for (let height = count < 3 ? 150 : Math.min(TALLEST, 168 + 24 * count); height <= TALLEST; height += 40) {
    const nodes = ring(named, width, height - 2 * margin);
    if (nodes !== null && !overlap(nodes)) return { nodes: moved(nodes, margin), height };
  }
  // Numbers alone, as large as there is room between one and the next.
  const height = Math.min(TALLEST, Math.max(240, 0.9 * width));
  const apart = (Math.PI * (width + height - 2 * margin - 2 * TALL)) / 2 / count;
  const tall = Math.min(TALL, Math.max(7, 0.62 * apart));
  const numbered = graph.firsts.map((first) => {
    const text = tall < READABLE ? "" : String(first);
    return { first: "", text, wide: Math.max(tall, tall > 20 ? 12 + 9 * text.length : 0), tall };
  });
  return { nodes: moved(ring(numbered, width, height - 2 * margin), margin), height };
}

/** Sizes with places on a ring, clockwise from its top; null if there is no room for one. */
function ring(sizes, width, height) {
  const count = sizes.length;
  const across = (width - Math.max(...sizes.map((size) => size.wide))) / 2 - 6;
  const along = (height - Math.max(...sizes.map((size) => size.tall))) / 2;
  if (across < 0 || (count > 1 && across < width / 6)) return null;
  return sizes.map((size, n) => {
    const turn = count === 2 ? Math.PI * (1 + n) : (2 * Math.PI * n) / count - Math.PI / 2;
    const radius = count === 1 ? 0 : 1;
    const [x, y] = [radius * across * Math.cos(turn), radius * along * Math.sin(turn)];
    return { ...size, x: width / 2 + x, y: height / 2 + y };
  });
}

const moved = (nodes, down) => nodes.map((node) => ({ ...node, y: node.y + down }));

function overlap(nodes) {
  const near = (a, b) =>
    Math.abs(a.x - b.x) < (a.wide + b.wide) / 2 + APART && Math.abs(a.y - b.y) < TALL + APART;
  return nodes.some((a, i) => nodes.slice(i + 1).some((b) => near(a, b)));
}

/** The way from one node to another as a function of 0 … 1. */
function curve(from, to, width, height) {
  if (from === to) {
    // Up, or away from the middle.
    const away = from.y > height / 2 + 1 ? 1 : -1;
    const controls = [-1, 1].map((side) => [from.x + side * 46, from.y + away * 74]);
    return (t) => bezier(t, [[from.x - 12, from.y], ...controls, [from.x + 12, from.y]]);
  }
  const [dx, dy] = [to.x - from.x, to.y - from.y];
  const middle = [(from.x + to.x) / 2 + BOW * dy, (from.y + to.y) / 2 - BOW * dx];
  return (t) => bezier(t, [[from.x, from.y], middle, [to.x, to.y]]);
}

function bezier(t, points) {
  while (points.length > 1) {
    const between = ([x0, y0], [x1, y1]) => [x0 + t * (x1 - x0), y0 + t * (y1 - y0)];
    points = points.slice(1).map((point, i) => between(points[i], point));
  }
  return points[0];
}

/** The part of a curve between the borders of its two nodes. */
function outside(path, from, to) {
  const within = (node, t, gap) => {
    const [x, y] = path(t);
    return Math.abs(x - node.x) < node.wide / 2 + gap && Math.abs(y - node.y) < node.tall / 2 + gap;
  };
  const steps = Array.from({ length: 5 * STEPS + 1 }, (_, s) => s / (5 * STEPS));
  const half = (t) => from !== to || t < 0.5;
  const start = steps.findLast((t) => half(t) && within(from, t, 2)) ?? 0;
  const end = steps.find((t) => t > start && (from !== to || t > 0.5) && within(to, t, 3)) ?? 1;
  return [start, end];
}

/** A place on an arrow for its weight, away from those of others where there is one. */
function free(path, start, end, taken) {
  const places = [0.45, 0.35, 0.55, 0.25, 0.65].map((t) => path(start + (end - start) * t));
  const near = ([x, y]) => taken.some(([a, b]) => Math.abs(x - a) < 26 && Math.abs(y - b) < 14);
  return places.find((place) => !near(place)) ?? places[0];
}

function arrow(path, start, end, weight, text, isNew) {
  const points = Array.from({ length: STEPS + 1 }, (_, s) => path(start + ((end - start) * s) / STEPS));
  const tip = points.at(-1);
  const whole = Math.hypot(tip[0] - points[0][0], tip[1] - points[0][1]);
  const head = Math.min(HEAD, 0.6 * whole);
  const base = points.findLast(([x, y]) => Math.hypot(x - tip[0], y - tip[1]) > head) ?? points[0];
  const length = Math.hypot(tip[0] - base[0], tip[1] - base[1]) || 1;
  const [ux, uy] = [(tip[0] - base[0]) / length, (tip[1] - base[1]) / length];
  const wing = (half) => `${tip[0] - head * ux - half * uy},${tip[1] - head * uy + half * ux}`;
  const line = points.filter(([x, y]) => Math.hypot(x - tip[0], y - tip[1]) > 0.65 * head);
  return svg(
    "g",
    { class: isNew ? "arrow new" : "arrow" },
    svg("title", {}, text),
    svg("polyline", {
      points: line.map((point) => point.join(",")).join(" "),
      "stroke-width": 1 + 2 * weight,
      pathLength: 1,
    }),
    svg("polygon", { points: `${tip.join(",")} ${wing(head / 2)} ${wing(-head / 2)}` }),
  );
}

function item(node, label, isLast) {
  return svg(
    "g",
    { class: isLast ? "node last" : "node", transform: `translate(${node.x} ${node.y})` },
    svg("title", {}, label),
    svg("rect", { x: -node.wide / 2, y: -node.tall / 2, width: node.wide, height: node.tall, rx: node.tall / 2 }),
    svg("text", node.tall < TALL ? { class: "small" } : {}, svg("tspan", {}, node.first), node.text),
  );
}
