// How a drawing becomes an example: jaxnn/data/preparation.py in JavaScript, within two levels of grey.
// There it is said why.

import { Problem } from "../client.js";
import {
  biggest, bounds, cut, filtered, fitted, grid, median, placed, quantile, resized, rounded, smallest,
} from "./raster.js";

const FAINTEST = 0.06; // contrast
const EDGE = 0.2;
const SPECK = 0.05;
const LARGEST = 1024; // pixels, of a drawing's side

/** The ways of the data sets that have one, by the names of the functions in Python. */
const WAYS = { as_digits: asDigits, as_emnist: asEmnist, as_fashion_mnist: asFashion, as_kmnist: asKmnist, as_mnist: asMnist };

/** A drawing as an example of a data set: {data, shape}. */
export function prepare({ width, height, ink }, { preparation, shape }) {
  const side = (n) => Number.isInteger(n) && n >= 1 && n <= LARGEST;
  if (!side(width) || !side(height) || !(ink instanceof Uint8Array) || ink.length !== width * height) {
    throw new Problem(`A drawing has a byte a pixel, and up to ${LARGEST} × ${LARGEST} pixels.`);
  }
  const data = preparation ? WAYS[preparation](grid(height, width, Float32Array.from(ink, (v) => v / 255))) : cropped(ink, width, height, shape);
  return { data, shape };
}

function cropped(ink, width, height, [h, w, channels]) {
  const { data } = fitted(grid(height, width, Float32Array.from(ink)), h, w);
  return Uint8Array.from({ length: h * w * channels }, (_, i) => data[Math.floor(i / channels)]);
}

function asMnist(grey) {
  const small = fittedInto(findInk(grey, 20), 20);
  let [mass, rows, columns] = [0, 0, 0];
  small.data.forEach((v, i) => {
    mass += v;
    rows += v * Math.floor(i / small.width);
    columns += v * (i % small.width);
  });
  const most = biggest(small.data);
  small.data = small.data.map((v) => v / most);
  const start = (centre, length) => Math.min(Math.max(14 - Math.trunc(centre + 0.5), 0), 28 - length);
  return bytes(placed(small, 28, 28, start(rows / mass, small.height), start(columns / mass, small.width)));
}

function asEmnist(grey) {
  return centered(findInk(grey, 24), 24);
}

function asKmnist(grey) {
  return centered(findInk(grey, 28), 28);
}

function asFashion(grey) {
  if (median(borderOf(grey)) > 0.5) grey = { ...grey, data: grey.data.map((v) => 1 - v) };
  const background = median(borderOf(grey));
  const article = { ...grey, data: grey.data.map((v) => Math.min(Math.max(v - background, 0), 1)) };
  const found = bounds(article, (v) => v > FAINTEST);
  if (found[1] < 0) throw new Problem("nothing is shown in the image: hardly any of it differs from its border");
  return centered(cut(article, ...found), 28);
}

function asDigits(grey) {
  const ink = findInk(grey, 32);
  const width = Math.min(Math.max(rounded((32 * ink.width) / ink.height), 1), 24);
  const upright = withoutSlant(resized(ink, 32, width));
  const bitmap = placed(upright, 32, 32, 0, Math.floor((32 - upright.width) / 2));
  const bell = Array.from({ length: 9 }, (_, i) => Math.exp(-0.5 * (i - 4) ** 2));
  const sum = bell.reduce((a, b) => a + b);
  const around = filtered(bitmap, bell.map((w) => w / sum), 4).data;
  const level = Math.max(around.slice().sort()[around.length - 310], 0.02 * biggest(around));
  const result = new Uint8Array(64);
  around.forEach((v, i) => {
    if (v >= level) result[8 * Math.floor(i / 128) + Math.floor((i % 32) / 4)]++;
  });
  return result;
}

/** Scaled to fit into a square of this side, its proportions kept. */
function fittedInto(image, side) {
  const most = Math.max(image.height, image.width);
  const length = (n) => Math.max(1, rounded((side * n) / most));
  return resized(image, length(image.height), length(image.width));
}

function centered(image, side) {
  const small = fittedInto(image, side);
  return bytes(placed(small, 28, 28, Math.floor((28 - small.height) / 2), Math.floor((28 - small.width) / 2)));
}

const bytes = ({ data }) => Uint8Array.from(data, (v) => rounded(255 * v));

/** What is drawn, cut out: how much of each pixel is ink. `size` is how large it will be in the end. */
function findInk(grey, size) {
  const doubt = ({ noise, full }) => noise / (full + 1e-6);
  let found = contrastTo(grey, constant(grey));
  if (found.noise > 0) {
    const other = contrastTo(grey, polynomial(grey));
    if (doubt(other) < doubt(found)) found = other;
  }
  const { contrast, full, noise } = found;
  if (full < Math.max(FAINTEST, 2 * noise)) {
    throw new Problem("nothing is drawn in the image: hardly any of it is darker or lighter");
  }
  const [top, bottom, left, right] = bounds(contrast, (v) => v > 0.5 * full);
  const extent = Math.max(bottom - top, right - left) + 1;
  const low = Math.min(Math.max(noise / full, EDGE * (1 - size / extent)), 0.4);
  const ink = { ...contrast, data: contrast.data.map((v) => Math.min(Math.max((v / full - low) / (1 - 2 * low), 0), 1)) };
  eraseSpecks(ink);
  return cut(ink, ...bounds(ink, (v) => v !== 0));
}

/** How much each pixel stands out as ink does; how much full ink does; and noise. */
function contrastTo(grey, background) {
  const contrast = { ...grey, data: grey.data.map((v, i) => v - background(i)) };
  const size = Math.max(1, Math.floor(Math.min(grey.height, grey.width) / 100));
  let smooth = filtered(contrast, new Array(size).fill(1 / size), Math.floor(size / 2)).data;
  if (-smallest(smooth) > biggest(smooth)) {
    contrast.data = contrast.data.map((v) => -v);
    smooth = smooth.map((v) => -v);
  }
  const most = biggest(smooth);
  const strong = contrast.data.filter((v) => v > 0.5 * most);
  return {
    contrast,
    full: strong.length ? quantile(strong, 0.9) : 0,
    noise: quantile(contrast.data.map((v) => Math.max(-v, 0)), 0.995),
  };
}

/** The brightness around which a third of the border's lies most densely. */
function constant(grey) {
  const values = borderOf(grey).sort();
  const third = Math.max(1, Math.floor(values.length / 3));
  let start = 0;
  for (let i = 1; i + third < values.length; i++) {
    if (values[i + third] - values[i] < values[start + third] - values[start]) start = i;
  }
  const level = median(values.subarray(start, start + third));
  return () => level;
}

/** A polynomial of degree two in the position, fitted to the border, robustly. */
function polynomial(grey) {
  const { height, width, data } = grey;
  const terms = (i) => {
    const [y, x] = [(2 * Math.floor(i / width)) / height - 1, (2 * (i % width)) / width - 1];
    return [1, x, y, x * y, x * x, y * y];
  };
  const ring = ringOf(grey);
  const every = 1 + Math.floor(ring.length / 2000);
  const some = ring.filter((_, k) => k % every === 0);
  const rows = some.map(terms);
  const values = some.map((i) => data[i]);
  const value = (coefficients, row) => row.reduce((sum, t, k) => sum + t * coefficients[k], 0);
  const middle = median(values);
  let residuals = values.map((v) => Math.abs(v - middle));
  let coefficients = null;
  for (let round = 0; round < 5; round++) {
    const most = 3 * median(residuals) + 0.02;
    const close = rows.map((_, k) => k).filter((k) => residuals[k] <= most);
    coefficients = leastSquares(close.map((k) => rows[k]), close.map((k) => values[k]));
    residuals = rows.map((row, k) => Math.abs(value(coefficients, row) - values[k]));
  }
  return (i) => value(coefficients, terms(i));
}

/** By the normal equations; what the rows leave open becomes small. */
function leastSquares(rows, values) {
  const n = 6;
  const a = Array.from({ length: n }, (_, i) => Array.from({ length: n + 1 }, (_, j) => {
    const sum = rows.reduce((total, row, k) => total + row[i] * (j < n ? row[j] : values[k]), 0);
    return i === j ? sum + 1e-9 * rows.length : sum;
  }));
  for (let i = 0; i < n; i++) {
    for (let k = i + 1; k < n; k++) {
      const factor = a[k][i] / a[i][i];
      for (let j = i; j <= n; j++) a[k][j] -= factor * a[i][j];
    }
  }
  const result = new Array(n).fill(0);
  for (let i = n - 1; i >= 0; i--) {
    result[i] = (a[i][n] - result.reduce((sum, x, j) => (j > i ? sum + a[i][j] * x : sum), 0)) / a[i][i];
  }
  return result;
}

/** Which pixels lie in a ring along the four sides, a 25th of the shorter one wide. */
function ringOf({ height, width }) {
  const ring = Math.max(1, Math.floor(Math.min(height, width) / 25));
  const found = [];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (y < ring || y >= height - ring || x < ring || x >= width - ring) found.push(i);
    }
  }
  return found;
}

const borderOf = (grey) => Float32Array.from(ringOf(grey), (i) => grey.data[i]);

/** Leaves out the parts of the ink that are small, or nowhere more ink than not. */
function eraseSpecks({ height, width, data }) {
  const part = new Int32Array(data.length);
  const masses = [0];
  const inked = [false];
  for (let start = 0; start < data.length; start++) {
    if (!data[start] || part[start]) continue;
    const number = masses.length;
    masses.push(0);
    inked.push(false);
    const open = [start];
    part[start] = number;
    while (open.length) {
      const i = open.pop();
      masses[number] += data[i];
      inked[number] ||= data[i] > 0.5;
      const [y, x] = [Math.floor(i / width), i % width];
      for (let v = Math.max(y - 1, 0); v <= Math.min(y + 1, height - 1); v++) {
        for (let u = Math.max(x - 1, 0); u <= Math.min(x + 1, width - 1); u++) {
          const j = v * width + u;
          if (!data[j] || part[j]) continue;
          part[j] = number;
          open.push(j);
        }
      }
    }
  }
  const most = biggest(masses.filter((_, k) => inked[k]));
  for (let i = 0; i < data.length; i++) if (!inked[part[i]] || masses[part[i]] < SPECK * most) data[i] = 0;
}

/** Each of 32 rows shifted so that the first pixels of the outer two are in one column. */
function withoutSlant(ink) {
  const { width, data } = ink;
  const first = (y) => {
    const row = data.subarray(y * width, (y + 1) * width);
    return Math.max(row.findIndex((v) => v > 0.5 * biggest(row)), 0);
  };
  const shift = (first(0) - first(31)) / 31;
  const wide = width + 64;
  const sheared = grid(32, wide);
  const at = (y, x) => (x >= 32 && x < 32 + width ? data[y * width + x - 32] : 0);
  for (let y = 0; y < 32; y++) {
    for (let x = 0; x < wide; x++) {
      const from = x - shift * y + 15.5 * shift;
      const left = Math.floor(from);
      sheared.data[y * wide + x] = (left + 1 - from) * at(y, left) + (from - left) * at(y, left + 1);
    }
  }
  const most = biggest(sheared.data);
  const [, , left, right] = bounds(sheared, (v) => v > 0.25 * most);
  const upright = cut(sheared, 0, 31, left, right);
  return upright.width <= 32 ? upright : resized(upright, 32, 32);
}
