// What the network view is made of: the input, and a column of neurons or feature maps for each
// layer that has its own; activations and normalizations belong to the column they act on.
//
// A trace holds, for each leaf layer i, "i.output" and "i.d_output" (the loss's gradient with
// respect to it), its parameters and their gradients; images have the order (row, column, map).

/** Whether a layer does more than to pass on what it is given. */
export const computes = ({ kind }) => kind !== "passing" && kind !== "nothing";

const product = (shape) => shape.reduce((size, side) => size * side, 1);

/**
 * The columns of a network. Each has
 *   kind     "image" (the input), "units" (neurons) or "maps" (images of height × width)
 *   leaves   the layers whose outputs it can show, by their index in lab.layers; the last counts
 *   head     the first of them: the one that computes from the column before, or null
 *   links    how: "dense", "conv", "pool" (map to map), or null: no edges are drawn
 *   count    of neurons or maps; `height`, `width` of a map (1 for neurons), `channels` of the input
 *   names    the lines under it
 */
export function columnsOf({ layers, dataset }) {
  const [input, columns] = [dataset.shape, []];
  columns.push(
    dataset.image
      ? { kind: "image", height: input[0], width: input[1], channels: input[2], count: product(input) }
      : { kind: "units", height: 1, width: 1, count: product(input) },
  );
  Object.assign(columns[0], { leaves: [], head: null, links: null, names: ["input"] });
  layers.forEach((layer, i) => {
    const last = columns.at(-1);
    const same = product(layer.out_shape) === product(layer.in_shape);
    const fits = same && product(layer.out_shape) === last.count * (last.kind === "maps" ? last.height * last.width : 1);
    const weight = layer.params.weight;
    const weighs = weight && weight.length > 1;
    if (!computes(layer) && fits) {
      last.leaves.push(i);
      return;
    }
    if (fits && !weighs && layer.kind !== "pooling" && columns.length > 1) {
      last.leaves.push(i);
      last.names.push(layer.name);
      return;
    }
    const maps = layer.out_shape.length === 3;
    const column = {
      kind: maps ? "maps" : "units",
      leaves: [i],
      head: i,
      links: linksOf(layer, last),
      count: maps ? layer.out_shape[2] : product(layer.out_shape),
      height: maps ? layer.out_shape[0] : 1,
      width: maps ? layer.out_shape[1] : 1,
    };
    const what = maps
      ? `${column.count}\u00a0maps, ${column.height}\u00a0×\u00a0${column.width}`
      : layer.kind === "connected" ? null : `${column.count}`;
    column.names = [layer.kind === "connected" ? `${layer.name} ${column.count}` : layer.name];
    if (what) column.detail = what;
    columns.push(column);
  });
  return columns;
}

function linksOf(layer, before) {
  const weight = layer.params.weight;
  const values = before.kind === "maps" ? before.count * before.height * before.width : before.count;
  if (product(layer.in_shape) !== values) return null; // not from there alone: a shortcut, a branch
  if (weight?.length === 2 && layer.in_shape.length === 1) return "dense";
  if (weight?.length === 4) return "conv";
  if (layer.kind === "pooling" && before.kind !== "units") return "pool";
  return null;
}

/** What stands in a trace: the values of leaf layer i, "output", "d_output", "weight", … or null. */
export const part = (trace, i, name) => trace?.arrays[`${i}.${name}`]?.data ?? null;

/** The gradient with respect to what came out of leaf i; -1: of the input. Null for integers. */
export const gradientAt = (trace, i) =>
  i < 0 ? part(trace, 0, "d_input") : part(trace, i, "d_output");

/** What the layer at the head of a column was given: the numbers its edges carry. */
export const carried = (trace, column) => part(trace, column.head, "input");

/** How many values one of the units has, and where they lie in the layer's array. */
export const pixels = (column) => column.height * column.width;
export const place = (column, unit, pixel = 0) =>
  column.kind === "maps" ? pixel * column.count + unit : unit;

/** The largest magnitude in each unit, by which the most active of many are found. */
export function activity(column, values) {
  const result = new Float32Array(column.count);
  const size = column.kind === "maps" ? pixels(column) : 1;
  for (let p = 0, i = 0; p < size; p++) {
    for (let unit = 0; unit < column.count; unit++, i++) {
      const magnitude = Math.abs(values[i]);
      if (magnitude > result[unit]) result[unit] = magnitude;
    }
  }
  return result;
}
