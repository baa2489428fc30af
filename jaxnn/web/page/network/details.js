// What the network view tells about what is pointed at: a neuron, a map, a pixel or an edge, as a
// card with images and numbers. Each number has its full value in data-value.

import { limitOf, paintSigned } from "../colors.js";
import { channelsOf, kernel, worth } from "./edges.js";
import { carried, computes, gradientAt, part, pixels, place } from "./columns.js";
import { h } from "../dom.js";
import { integer, number, size } from "../format.js";

/** The card's contents for what is pointed at: see `hit` in paint.js. */
export function details(state, columns, at) {
  const { trace, lab } = state;
  if (at.gap !== undefined) return edgeDetails(trace, lab, columns, at);
  const column = columns[at.column];
  if (column.head === null) return inputDetails(state, column, at);
  return unitDetails(trace, lab, columns, at);
}

/** What a neuron or map is called. */
export function nameOf(lab, columns, k, unit) {
  const column = columns[k];
  if (column.head === null) {
    const { features } = lab.dataset;
    if (column.kind !== "image") return features.length === column.count ? `input “${features[unit]}”` : `input ${unit}`;
    const pixel = Math.floor(unit / column.channels);
    return `pixel, row ${Math.floor(pixel / column.width)}, column ${pixel % column.width}`;
  }
  if (k === columns.length - 1 && lab.dataset.classes.length === column.count) {
    return `output “${lab.dataset.classes[unit]}”`;
  }
  return column.kind === "maps" ? `map ${unit}` : `neuron ${unit}`;
}

const row = (name, label, value) =>
  h("tr", {}, h("th", { scope: "row" }, label), h("td", { data: { name, value: String(value) } }, number(value, 4)));

const table = (rows) => h("table", { class: "numbers" }, h("tbody", {}, rows.filter(Boolean)));

const heading = (title, subtitle) =>
  h("header", {}, h("h3", {}, title), subtitle ? h("p", { class: "quiet small" }, subtitle) : null);

function picture(caption, canvas, wide = false) {
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", caption);
  return h("figure", { class: wide ? "wide" : null }, canvas, h("figcaption", {}, caption));
}

function inputDetails({ trace, lab }, column, { unit }) {
  const [x, gradient] = [part(trace, 0, "input"), gradientAt(trace, -1)];
  const channels = column.kind === "image" ? column.channels : 1;
  const rows = [];
  for (let c = 0; c < channels; c++) {
    const of = channels > 1 ? ` ${["red", "green", "blue"][c] ?? c}` : "";
    rows.push(row(`input${c || ""}`, `value${of}, normalized`, x[unit + c]));
    if (gradient) rows.push(row(`d_input${c || ""}`, "∂L/∂x", gradient[unit + c]));
  }
  return [heading(capital(nameOf(lab, [column], 0, unit)), "of the input"), table(rows)];
}

function unitDetails(trace, lab, columns, { column: k, unit, pixel }) {
  const [column, before] = [columns[k], columns[k - 1]];
  const { head, leaves } = column;
  const last = leaves.at(-1);
  const strongest = pixel ?? strongestPixel(column, part(trace, last, "output"), unit);
  const i = place(column, unit, strongest);
  const where = column.kind === "maps"
    ? `at row ${Math.floor(strongest / column.width)}, column ${strongest % column.width}` : null;
  const acts = leaves.filter((i) => computes(lab.layers[i]));
  const rows = [
    acts.length > 1 ? row("z", "before activation", part(trace, head, "output")[i]) : null,
    row("a", acts.length > 1 ? "activation" : "output", part(trace, last, "output")[i]),
    row("d_a", acts.length > 1 ? "∂L/∂activation" : "∂L/∂output", gradientAt(trace, last)[i]),
    acts.length > 1 ? row("d_z", "∂L/∂before", gradientAt(trace, head)[i]) : null,
  ];
  if (part(trace, head, "bias")) {
    rows.push(row("bias", "bias", part(trace, head, "bias")[unit]));
    rows.push(row("d_bias", "∂L/∂bias", part(trace, head, "d_bias")[unit]));
  }
  const layers = [head, ...acts.slice(1)].map((leaf) => lab.layers[leaf].label).join(", ");
  return [
    heading(capital(nameOf(lab, columns, k, unit)), [layers, where].filter(Boolean).join(" · ")),
    h("div", { class: "pictures" }, unitPictures(trace, before, column, unit, last)),
    table(rows),
  ];
}

/** Where a map is strongest; of a neuron, 0. */
export function strongestPixel(column, values, unit) {
  let best = 0;
  for (let p = 1; p < pixels(column); p++) {
    if (Math.abs(values[place(column, unit, p)]) > Math.abs(values[place(column, unit, best)])) best = p;
  }
  return best;
}

function unitPictures(trace, before, column, unit, last) {
  const pictures = [];
  if (column.kind === "maps") {
    for (const [caption, values] of [["map", part(trace, last, "output")], ["∂L/∂map", gradientAt(trace, last)]]) {
      const at = (p) => values[p * column.count + unit];
      const limit = limitOf(Array.from({ length: pixels(column) }, (_, p) => at(p)));
      pictures.push(picture(caption, paintSigned(document.createElement("canvas"), column.height, column.width, at, limit)));
    }
  }
  if (column.links === "dense" || column.links === "conv") {
    for (const [caption, name] of [["incoming weights", "weight"], ["∂L/∂weights", "d_weight"]]) {
      pictures.push(picture(caption, weightsImage(trace, before, column, unit, name)));
    }
  }
  return pictures;
}

/**
 * The weights into a neuron or map (or, by another name, their gradients), as an image: in the shape
 * of the input; a tile for each map it sees; of neurons, in rows.
 */
export function weightsImage(trace, before, column, unit, name = "weight", limit = null) {
  const values = part(trace, column.head, name);
  const canvas = document.createElement("canvas");
  let [tiles, height, width, value] = [1, 1, 1, null];
  if (column.links === "conv") {
    const shape = trace.arrays[`${column.head}.weight`].shape;
    const kernels = [];
    for (let c = 0; c < channelsOf(before); c++) {
      const places = kernel(trace, before, column, c, unit);
      if (places.length) kernels.push(places);
    }
    [tiles, height, width] = [kernels.length, shape[0], shape[1]];
    value = (tile, p) => values[kernels[tile][p]];
  } else {
    const n = column.count;
    if (before.kind === "units") {
      width = Math.ceil(Math.sqrt(before.count));
      height = Math.ceil(before.count / width);
      value = (_, p) => (p < before.count ? values[p * n + unit] : 0);
    } else {
      const channels = channelsOf(before);
      [tiles, height, width] = [channels, before.height, before.width];
      value = (tile, p) => values[(p * channels + tile) * n + unit];
    }
  }
  const across = Math.ceil(Math.sqrt(tiles));
  const down = Math.ceil(tiles / across);
  const line = tiles > 1 ? 1 : 0; // of background between tiles
  const [wide, tall] = [across * (width + line) - line, down * (height + line) - line];
  const all = new Float32Array(wide * tall);
  for (let tile = 0; tile < tiles; tile++) {
    const top = Math.floor(tile / across) * (height + line);
    const left = (tile % across) * (width + line);
    for (let p = 0; p < height * width; p++) {
      all[(top + Math.floor(p / width)) * wide + left + (p % width)] = value(tile, p);
    }
  }
  return paintSigned(canvas, tall, wide, (i) => all[i], limit ?? limitOf(all));
}

function edgeDetails(trace, lab, columns, { gap, from, to }) {
  const [before, column] = [columns[gap - 1], columns[gap]];
  const names = [
    before.kind === "image" && column.links === "conv" ? `channel ${from}` : nameOf(lab, columns, gap - 1, from),
    nameOf(lab, columns, gap, to),
  ];
  const title = heading(names.map(capital).join(" → "), lab.layers[column.head].label);
  if (column.links === "pool") {
    return [title, h("p", { class: "quiet small" }, "One map is pooled into one: there are no weights.")];
  }
  const weight = part(trace, column.head, "weight");
  const gradient = part(trace, column.head, "d_weight");
  if (column.links === "dense" && before.kind !== "maps") {
    const i = from * column.count + to;
    const x = carried(trace, column)[from];
    return [title, table([
      row("weight", "weight", weight[i]),
      row("d_weight", "∂L/∂weight", gradient[i]),
      row("x", "value it carries", x),
      row("signal", "weight × value", weight[i] * x),
    ])];
  }
  const signal = worth(trace, before, column, "signal")(from, to);
  if (column.links === "conv") {
    const places = kernel(trace, before, column, from, to);
    const [height, width] = trace.arrays[`${column.head}.weight`].shape;
    const show = (values, caption) => {
      const at = (p) => values[places[p]];
      const limit = limitOf(places.map((p) => values[p]));
      return picture(caption, paintSigned(document.createElement("canvas"), height, width, at, limit));
    };
    return [
      title,
      h("div", { class: "pictures" }, show(weight, `kernel, ${height} × ${width}`), show(gradient, "∂L/∂kernel")),
      table([row("signal", "adds on average", signal)]),
    ];
  }
  return [
    title,
    h("p", { class: "quiet small" }, `${integer(pixels(before))} weights, one for each pixel of the map (${size([before.height, before.width])})`),
    table([row("signal", "Σ weight × pixel", signal)]),
  ];
}

export const capital = (text) => text[0].toUpperCase() + text.slice(1);
