// Arrays of height × width numbers, and what preparing drawings does with them. Resizing is as Pillow
// does it, blurring as scipy.ndimage.

/** {height, width, data}: numbers by rows. */
export const grid = (height, width, data = new Float32Array(height * width)) => ({ height, width, data });

export const biggest = (values) => values.reduce((a, b) => (b > a ? b : a), -Infinity);
export const smallest = (values) => values.reduce((a, b) => (b < a ? b : a), Infinity);

/** Rounded as Python does: a half to the even side. */
export function rounded(x) {
  const below = Math.floor(x);
  return x - below === 0.5 ? below + (below % 2 ? 1 : 0) : Math.round(x);
}

/** What comes after a share q of the values, between two of them in proportion. */
export function quantile(values, q) {
  const sorted = Float64Array.from(values).sort();
  const at = q * (sorted.length - 1);
  const i = Math.floor(at);
  return sorted[i] + (at - i) * ((sorted[i + 1] ?? sorted[i]) - sorted[i]);
}

export const median = (values) => quantile(values, 0.5);

/** Each value a weighted sum of those around it along both axes; beyond the edges, they are mirrored. */
export function filtered(image, weights, before) {
  const along = (source, length, step, start) => {
    const result = new Float64Array(length);
    for (let i = 0; i < length; i++) {
      for (let k = 0; k < weights.length; k++) {
        let j = i - before + k;
        while (j < 0 || j >= length) j = j < 0 ? -1 - j : 2 * length - 1 - j;
        result[i] += weights[k] * source[start + j * step];
      }
    }
    return result;
  };
  const { height, width } = image;
  const between = new Float32Array(height * width);
  for (let x = 0; x < width; x++) along(image.data, height, width, x).forEach((v, y) => { between[y * width + x] = v; });
  const result = grid(height, width);
  for (let y = 0; y < height; y++) result.data.set(along(between, width, 1, y * width), y * width);
  return result;
}

const BOX = { support: 0.5, weight: (x) => (x > -0.5 && x <= 0.5 ? 1 : 0) };
const BICUBIC = {
  support: 2,
  weight(x) {
    const [a, t] = [-0.5, Math.abs(x)];
    if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
    return t < 2 ? (((t - 5) * t + 8) * t - 4) * a : 0;
  },
};

/** Of which values each of `to` pixels consists that cover `from` pixels, from `start` to `end`. */
function parts(from, to, { support, weight }, start, end) {
  const scale = (end - start) / to;
  const wide = Math.max(scale, 1);
  return Array.from({ length: to }, (_, i) => {
    const centre = start + (i + 0.5) * scale;
    const first = Math.max(Math.trunc(centre - support * wide + 0.5), 0);
    const last = Math.min(Math.trunc(centre + support * wide + 0.5), from);
    const weights = Array.from({ length: last - first }, (_, k) => weight((k + first - centre + 0.5) / wide));
    const sum = weights.reduce((a, b) => a + b, 0) || 1;
    return { first, weights: weights.map((w) => w / sum) };
  });
}

function resampled(image, height, width, filter, [left, top, right, bottom], round) {
  let { data } = image;
  if (width !== image.width || left !== 0 || right !== image.width) {
    const columns = parts(image.width, width, filter, left, right);
    const next = new Float32Array(image.height * width);
    for (let y = 0, i = 0; y < image.height; y++) {
      for (const { first, weights } of columns) {
        next[i++] = round(weights.reduce((sum, w, k) => sum + w * data[y * image.width + first + k], 0));
      }
    }
    data = next;
  }
  if (height !== image.height || top !== 0 || bottom !== image.height) {
    const rows = parts(image.height, height, filter, top, bottom);
    const next = new Float32Array(height * width);
    rows.forEach(({ first, weights }, y) => {
      for (let x = 0; x < width; x++) {
        next[y * width + x] = round(weights.reduce((sum, w, k) => sum + w * data[(first + k) * width + x], 0));
      }
    });
    data = next;
  }
  return grid(height, width, data === image.data ? data.slice() : data);
}

/** Ink in another size; where it becomes smaller, by the mean of what a pixel covers. */
export function resized(ink, height, width) {
  const filter = height <= ink.height ? BOX : BICUBIC;
  const result = resampled(ink, height, width, filter, [0, 0, ink.width, ink.height], (x) => x);
  result.data = result.data.map((v) => Math.min(Math.max(v, 0), 1));
  return result;
}

/** The middle of bytes of grey, of the proportions of this size, in this size. */
export function fitted(image, height, width) {
  const [had, wanted] = [image.width / image.height, width / height];
  const w = had > wanted ? wanted * image.height : image.width;
  const t = had > wanted ? image.height : image.width / wanted;
  const [left, top] = [(image.width - w) / 2, (image.height - t) / 2];
  const byte = (x) => Math.min(Math.max(Math.floor(x + 0.5), 0), 255);
  return resampled(image, height, width, BICUBIC, [left, top, left + w, top + t], byte);
}

/** Rows from top to bottom and columns from left to right, all of them included. */
export function cut({ width, data }, top, bottom, left, right) {
  const result = grid(bottom - top + 1, right - left + 1);
  for (let y = top; y <= bottom; y++) result.data.set(data.subarray(y * width + left, y * width + right + 1), (y - top) * result.width);
  return result;
}

/** Puts an image into a larger one. */
export function placed(image, height, width, top, left) {
  const result = grid(height, width);
  for (let y = 0; y < image.height; y++) {
    result.data.set(image.data.subarray(y * image.width, (y + 1) * image.width), (top + y) * width + left);
  }
  return result;
}

/** The first and last row and column with something that `is`: [top, bottom, left, right]. */
export function bounds({ height, width, data }, is) {
  let [top, bottom, left, right] = [Infinity, -1, Infinity, -1];
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i++) {
      if (!is(data[i])) continue;
      [top, bottom] = [Math.min(top, y), y];
      [left, right] = [Math.min(left, x), Math.max(right, x)];
    }
  }
  return [top, bottom, left, right];
}
