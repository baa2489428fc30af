// Edges between two columns: what each is worth, and which are the strongest.
//
// Between neurons an edge is one weight. From or to feature maps it is a bundle of many: a kernel,
// or the weights of all pixels of a map.

import { carried, part, pixels } from "./columns.js";

/**
 * A function of (from, to): the value of an edge, null where there are none. `what` is
 *   "signal"    weight × the value that it carries; of a bundle the sum, and of a kernel the
 *               sum of its weights × the mean of the map: what it adds on average
 *   "weight"    the weight; of a bundle its norm, with the sign of its sum
 *   "gradient"  ∂L/∂weight; of a bundle likewise
 */
export function worth(trace, before, column, what) {
  if (column.links === "pool") return (from, to) => (from === to ? 1 : 0);
  const values = part(trace, column.head, what === "gradient" ? "d_weight" : "weight");
  if (!values || !column.links) return null;
  const x = what === "signal" ? carried(trace, column) : null;
  if (column.links === "dense") {
    const [n, maps] = [column.count, before.kind === "maps" ? before.count : 0];
    if (!maps) return x ? (i, j) => values[i * n + j] * x[i] : (i, j) => values[i * n + j];
    const size = pixels(before);
    return (c, j) => {
      let [sum, squares] = [0, 0];
      for (let p = 0; p < size; p++) {
        const i = p * maps + c;
        const value = x ? values[i * n + j] * x[i] : values[i * n + j];
        sum += value;
        squares += value * value;
      }
      return x ? sum : Math.sign(sum) * Math.sqrt(squares);
    };
  }
  const means = x && meansOf(x, channelsOf(before));
  return (c, u) => {
    let [sum, squares] = [0, 0];
    for (const i of kernel(trace, before, column, c, u)) {
      sum += values[i];
      squares += values[i] * values[i];
    }
    return x ? sum * means[c] : Math.sign(sum) * Math.sqrt(squares);
  };
}

export const channelsOf = (before) => (before.kind === "image" ? before.channels : before.count);

/** Where the weights from channel c to map u lie in a convolution's array; none across groups. */
export function kernel(trace, before, column, c, u) {
  const [height, width, slots, units] = trace.arrays[`${column.head}.weight`].shape;
  const group = Math.floor((u * channelsOf(before)) / slots / units);
  const slot = c - group * slots;
  if (slot < 0 || slot >= slots) return [];
  return Array.from({ length: height * width }, (_, k) => (k * slots + slot) * units + u);
}

function meansOf(x, channels) {
  const means = new Float64Array(channels);
  for (let i = 0; i < x.length; i++) means[i % channels] += x[i];
  return means.map((sum) => (sum * channels) / x.length);
}

/**
 * The strongest edges between two columns: {from, to, value: arrays, strongest last; limit: the
 * largest magnitude; least: what is fainter is not seen; total: of how many}. An image counts its values for a dense layer, its
 * channels for a convolution.
 */
export function strongest(trace, before, column, what, most) {
  const value = worth(trace, before, column, what);
  if (!value) return null;
  if (column.links === "pool") {
    const all = Array.from({ length: channelsOf(before) }, (_, c) => c);
    return { from: all, to: all, value: all.map(() => 1), limit: 1, least: 0, total: all.length };
  }
  const sources = column.links === "conv" ? channelsOf(before) : before.count;
  const all = new Float32Array(sources * column.count);
  let limit = 0;
  for (let i = 0, k = 0; i < sources; i++) {
    for (let j = 0; j < column.count; j++, k++) {
      const magnitude = Math.abs((all[k] = value(i, j)));
      if (magnitude > limit && magnitude < Infinity) limit = magnitude;
    }
  }
  const chosen = largest(all, most, limit);
  return {
    from: chosen.map((k) => Math.floor(k / column.count)),
    to: chosen.map((k) => k % column.count),
    value: chosen.map((k) => all[k]),
    limit: limit || 1,
    // Where only the strongest are drawn, the weakest of them is to be faint.
    least: chosen.length < all.length && chosen.length ? 0.85 * Math.abs(all[chosen[0]]) : 0,
    total: all.length,
  };
}

/** Where the `most` values of largest magnitude stand, the largest last; zeros are not among them. */
export function largest(values, most, limit) {
  const BINS = 512;
  const counts = new Uint32Array(BINS + 1);
  const scale = BINS / (limit || 1);
  for (let i = 0; i < values.length; i++) counts[Math.min(Math.abs(values[i]) * scale, BINS) | 0]++;
  let [bin, count] = [BINS, counts[BINS]];
  while (bin > 0 && count < most) count += counts[--bin];
  const found = [];
  const least = bin / scale;
  for (let i = 0; i < values.length; i++) {
    const magnitude = Math.abs(values[i]);
    if (magnitude >= least && magnitude > 0) found.push(i);
  }
  // A bin may hold far more than are wanted, as when nearly all are small.
  found.sort((a, b) => Math.abs(values[a]) - Math.abs(values[b]));
  return found.slice(-most);
}
