// The walk through a network, layer by layer: first forward, then the loss, then backward. What each
// step computes, as a formula and with the numbers of one neuron in it.

import { carried, computes, gradientAt, part, place } from "./columns.js";
import { strongestPixel } from "./details.js";
import { h } from "../dom.js";
import { integer, number, subscript } from "../format.js";

/** All steps: {phase: "forward" | "loss" | "backward", leaf, column}. */
export function stepsOf(lab, columns) {
  const leaves = lab.layers.map((_, leaf) => leaf);
  const columnOf = (leaf) => columns.findIndex((column) => column.leaves.includes(leaf));
  return [
    ...leaves.map((leaf) => ({ phase: "forward", leaf, column: columnOf(leaf) })),
    { phase: "loss", leaf: null, column: columns.length - 1 },
    ...leaves.toReversed().map((leaf) => ({ phase: "backward", leaf, column: columnOf(leaf) })),
  ];
}

/**
 * Which layer's values a column shows at a step, null if none is known yet; -1 is the input itself.
 * Forward, the last that is computed; backward, the earliest whose gradient is.
 */
export function shownLeaf(column, step) {
  const { leaves, head } = column;
  const own = head === null ? [-1, ...leaves] : leaves;
  if (!step || step.phase === "loss") return own.at(-1);
  if (step.phase === "forward") return own.filter((leaf) => leaf <= step.leaf).at(-1) ?? null;
  return own.find((leaf) => leaf >= step.leaf - 1) ?? null;
}

/** Whether the edges into a column are known at a step: its weights used, or their gradients there. */
export function knowsEdges(column, step) {
  if (column.head === null || !step || step.phase === "loss") return true;
  return step.phase === "forward" ? column.head <= step.leaf : column.head >= step.leaf;
}

/** The name of a step: "Forward · 1 dense". */
export function stepName(lab, step) {
  if (step.phase === "loss") return "Loss";
  return `${step.phase === "forward" ? "Forward" : "Backward"} · ${lab.layers[step.leaf].label}`;
}

/** A value in the colour of its sign. */
function value(x, figures = 3) {
  const sign = x > 0 ? "positive" : x < 0 ? "negative" : "quiet";
  return h("span", { class: sign, data: { value: String(x) } }, number(x, figures));
}

/**
 * What a step computes: {formulas: [texts], numbers: [nodes] or null}. `unit` is the neuron or map
 * of the step's column whose numbers are shown, `pixel` the place in the map.
 */
export function explain(state, columns, step, unit, pixel = null) {
  const { lab, trace } = state;
  if (step.phase === "loss") return explainLoss(lab, trace);
  const layer = lab.layers[step.leaf];
  const column = columns[step.column];
  if (step.phase === "forward") {
    const numbers = column.head === step.leaf
      ? sumOf(trace, lab, columns, step, unit, pixel)
      : elementwise(trace, column, step.leaf, layer, unit, pixel);
    return { formulas: [layer.forward], numbers };
  }
  const numbers = column.head === step.leaf && column.links === "dense"
    ? gradientsOf(trace, column, step.leaf, unit)
    : column.head === step.leaf
      ? null
      : elementwiseBack(trace, column, step.leaf, layer, unit, pixel);
  return { formulas: layer.backward, numbers };
}

/** y = Σ x W + b, the largest terms written out. */
function sumOf(trace, lab, columns, step, unit, pixel) {
  const [column, before] = [columns[step.column], columns[step.column - 1]];
  const leaf = step.leaf;
  const [x, y] = [carried(trace, column), part(trace, leaf, "output")];
  const weight = part(trace, leaf, "weight");
  const bias = part(trace, leaf, "bias")?.[unit] ?? null;
  const at = pixel ?? strongestPixel(column, y, unit);
  const where = place(column, unit, at);
  let terms = [];
  let count = "";
  if (column.links === "dense" || (weight && lab.layers[leaf].in_shape.length === 1)) {
    terms = Array.from(x, (xi, i) => [xi, weight[i * column.count + unit], i]);
    count = `y${subscript(unit)} = Σᵢ xᵢ Wᵢ${subscript(unit)}${bias === null ? "" : ` + b${subscript(unit)}`}`;
  } else if (column.links === "conv") {
    terms = patch(trace, lab, leaf, column, unit, at);
    if (!terms) return null;
    const [r, q] = [Math.floor(at / column.width), at % column.width];
    count = `y at row ${r}, column ${q} of map ${unit} = Σ x W${bias === null ? "" : " + b"}`;
  } else if (lab.layers[leaf].kind === "pooling") {
    return pooled(trace, lab, column, leaf, unit, at, y[where]);
  } else {
    return null;
  }
  const sorted = terms.filter(([a, b]) => a * b !== 0).sort((p, q) => Math.abs(q[0] * q[1]) - Math.abs(p[0] * p[1]));
  const shown = sorted.slice(0, 3);
  const nodes = [h("span", {}, count, " = ")];
  shown.forEach(([a, b], i) => nodes.push(h("span", { class: "term" }, i ? " + " : "", value(a), "·", value(b))));
  const rest = sorted.slice(3);
  if (rest.length) {
    const sum = rest.reduce((total, [a, b]) => total + a * b, 0);
    nodes.push(h("span", { class: "term" }, ` + ${integer(rest.length)} more: `, value(sum)));
  }
  if (bias !== null) nodes.push(h("span", { class: "term" }, " + ", value(bias)));
  nodes.push(h("span", { class: "result" }, " = ", value(y[where], 4)));
  return nodes;
}

/**
 * The places of the input that a window sees from one position, those outside the image left out:
 * [index of the pixel, index in the window]; null where the config does not say how it moves.
 */
function windowAt(lab, leaf, column, at) {
  const layer = lab.layers[leaf];
  const { size, stride, padding, dilation = 1 } = layer.arguments;
  if (size === undefined || padding === undefined) return null;
  const [kernel, steps, spread] = [pair(size), pair(stride ?? size), pair(dilation)];
  const [side, out] = [layer.in_shape, layer.out_shape];
  const first = [0, 1].map((axis) => {
    if (padding === "VALID") return 0;
    if (padding !== "SAME") return [pair(padding)[axis]].flat()[0];
    const reach = (out[axis] - 1) * steps[axis] + spread[axis] * (kernel[axis] - 1) + 1;
    return Math.floor(Math.max(reach - side[axis], 0) / 2);
  });
  const from = [Math.floor(at / column.width), at % column.width].map((p, axis) => p * steps[axis] - first[axis]);
  const seen = [];
  for (let i = 0; i < kernel[0]; i++) {
    for (let j = 0; j < kernel[1]; j++) {
      const [row, across] = [from[0] + i * spread[0], from[1] + j * spread[1]];
      if (row < 0 || across < 0 || row >= side[0] || across >= side[1]) continue;
      seen.push([row * side[1] + across, i * kernel[1] + j]);
    }
  }
  return seen;
}

/** What a convolution multiplies at one position: [x, W] of all that lie in the image. */
function patch(trace, lab, leaf, column, unit, at) {
  const seen = windowAt(lab, leaf, column, at);
  if (!seen) return null;
  const [, , slots, units] = trace.arrays[`${leaf}.weight`].shape;
  const channels = lab.layers[leaf].in_shape[2];
  const [x, weight] = [carried(trace, column), part(trace, leaf, "weight")];
  const first = Math.floor((unit * channels) / slots / units) * slots;
  return seen.flatMap(([pixel, k]) =>
    Array.from({ length: slots }, (_, c) => [x[pixel * channels + first + c], weight[(k * slots + c) * units + unit]]));
}

/** The largest of a window, or its mean. */
function pooled(trace, lab, column, leaf, unit, at, y) {
  const seen = windowAt(lab, leaf, column, at);
  const x = carried(trace, column);
  const where = column.kind === "maps" ? ` at row ${Math.floor(at / column.width)}, column ${at % column.width} of map ${unit}` : subscript(unit);
  const what = lab.layers[leaf].y;
  if (!seen) return text([`y${where} = ${what} of the map = `, value(y, 4)]);
  const shown = seen.slice(0, 9).flatMap(([pixel], k) => [k ? ", " : "", value(x[pixel * column.count + unit])]);
  return text([`y${where} = ${what}(`, ...shown, seen.length > 9 ? ", …)" : ")", " = ", value(y, 4)]);
}

const pair = (both) => (Array.isArray(both) ? both : [both, both]);

const text = (parts) => parts.map((one) => (typeof one === "string" ? h("span", {}, one) : one));

/** A formula with numbers in the place of {letters}. */
const filled = (formula, numbers) => text(formula.split(/[{}]/).map((one, i) => (i % 2 ? numbers[one]() : one)));

/** An activation, with its numbers. */
function elementwise(trace, column, leaf, layer, unit, pixel) {
  const [x, y] = [part(trace, leaf, "input"), part(trace, leaf, "output")];
  const i = place(column, unit, pixel ?? strongestPixel(column, y, unit));
  const numbers = { x: () => value(x[i]), "-x": () => number(-x[i]), i: () => subscript(unit) };
  return [...text([`y${subscript(unit)} = `]), ...filled(layer.y, numbers), ...text([" = ", value(y[i], 4)])];
}

function elementwiseBack(trace, column, leaf, layer, unit, pixel) {
  const [x, y] = [part(trace, leaf, "input"), part(trace, leaf, "output")];
  const [dx, dy] = [part(trace, leaf, "d_input"), part(trace, leaf, "d_output")];
  if (!dx) return null;
  const i = place(column, unit, pixel ?? strongestPixel(column, dy, unit));
  const numbers = { x: () => number(x[i]), y: () => number(y[i]), dy: () => value(dy[i]), i: () => subscript(unit) };
  return [...text([`∂L/∂x${subscript(unit)} = `]), ...filled(layer.dx, numbers), ...text([" = ", value(dx[i], 4)])];
}

/** A dense layer backward, for one of its neurons: what its strongest weight and its input get. */
function gradientsOf(trace, column, leaf, unit) {
  const [x, dy, dx] = [part(trace, leaf, "input"), gradientAt(trace, leaf), part(trace, leaf, "d_input")];
  const [weight, dWeight] = [part(trace, leaf, "weight"), part(trace, leaf, "d_weight")];
  const n = column.count;
  let i = 0;
  for (let k = 1; k < x.length; k++) if (Math.abs(dWeight[k * n + unit]) > Math.abs(dWeight[i * n + unit])) i = k;
  const first = text([
    `∂L/∂W${subscript(i)},${subscript(unit)} = x${subscript(i)} · ∂L/∂y${subscript(unit)} = `,
    value(x[i]), " · ", value(dy[unit]), " = ", value(dWeight[i * n + unit], 4),
  ]);
  if (!dx) return first;
  const terms = Array.from({ length: n }, (_, j) => [dy[j], weight[i * n + j]])
    .sort((p, q) => Math.abs(q[0] * q[1]) - Math.abs(p[0] * p[1]));
  const rest = terms.slice(2).reduce((total, [a, b]) => total + a * b, 0);
  return [
    ...first,
    h("br"),
    ...text([
      `∂L/∂x${subscript(i)} = Σⱼ ∂L/∂yⱼ W${subscript(i)}ⱼ = `,
      ...terms.slice(0, 2).flatMap(([a, b], k) => [k ? " + " : "", value(a), "·", value(b)]),
      ...(n > 2 ? [` + ${integer(n - 2)} more: `, value(rest)] : []),
      " = ", value(dx[i], 4),
    ]),
  ];
}

function explainLoss(lab, trace) {
  const { target } = trace.header;
  const loss = value(trace.arrays.loss.data[0], 4);
  if (lab.dataset.task !== "classification") {
    return { formulas: [lab.loss.forward, lab.loss.backward], numbers: [...text(["L = "]), loss] };
  }
  const numbers = { class: () => lab.dataset.classes[target], p: () => value(trace.arrays.probabilities.data[target], 4) };
  const steps = lab.loss.value ? [...filled(lab.loss.value, numbers), ...text([" = "])] : [];
  return { formulas: [lab.loss.forward, lab.loss.backward], numbers: [...text(["L = "]), ...steps, loss] };
}

/** The neuron whose numbers a step shows if none is pointed at: the strongest, forward or backward. */
export function strongestUnit(trace, column, step, lab) {
  if (!step || step.phase === "loss") return 0;
  const values = step.phase === "forward" ? part(trace, step.leaf, "output") : gradientAt(trace, step.leaf);
  if (!values || (!computes(lab.layers[step.leaf]) && step.phase === "backward")) return 0;
  let best = 0;
  for (let i = 1; i < values.length; i++) if (Math.abs(values[i]) > Math.abs(values[best])) best = i;
  return column.kind === "units" ? best : best % Math.max(column.count, 1);
}
