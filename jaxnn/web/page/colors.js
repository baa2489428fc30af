// Colours: one for positive, one for negative, the background for zero, greys for all else. The
// values are those of the CSS variables, which are those of jaxnn/plots/style.py.

let known = null;

function rgb(text) {
  const value = parseInt(text.trim().slice(1), 16);
  return [value >> 16, (value >> 8) & 255, value & 255];
}

/** The colours of the present theme: their CSS texts by name, and `rgb` the same as numbers. */
export function palette() {
  if (known) return known;
  const style = getComputedStyle(document.documentElement);
  known = { rgb: {} };
  for (const name of ["page", "ink", "quiet", "ring", "faint", "raised", "track", "positive", "negative"]) {
    known[name] = style.getPropertyValue(`--${name}`).trim();
    known.rgb[name] = rgb(known[name]);
  }
  return known;
}

/** To be called when the theme has changed. */
export function forgetPalette() {
  known = null;
}

/** The colour of a value between -1 and 1, as [r, g, b]: background at 0, full colour at the ends. */
export function signed(value) {
  const { page, positive, negative } = palette().rgb;
  const end = value < 0 ? negative : positive;
  const share = Math.min(Math.abs(value), 1) || 0; // NaN has the colour of 0
  return page.map((from, i) => Math.round(from + (end[i] - from) * share));
}

export const css = ([r, g, b]) => `rgb(${r} ${g} ${b})`;

/** The largest magnitude among values, or 1 if they are all 0: what gets full colour. */
export function limitOf(values) {
  let limit = 0;
  for (const value of values) {
    const magnitude = Math.abs(value);
    if (magnitude > limit && magnitude < Infinity) limit = magnitude;
  }
  return limit || 1;
}

/**
 * Paints values of height × width as an image on a canvas of that size, a pixel each.
 * `at(i)` is value i of the height·width; with `limit`, of full colour.
 */
export function paintSigned(canvas, height, width, at, limit) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const { page, positive, negative } = palette().rgb;
  for (let i = 0, k = 0; i < height * width; i++, k += 4) {
    const value = at(i);
    const share = Math.min(Math.abs(value) / limit, 1) || 0;
    const end = value < 0 ? negative : positive;
    image.data[k] = page[0] + (end[0] - page[0]) * share;
    image.data[k + 1] = page[1] + (end[1] - page[1]) * share;
    image.data[k + 2] = page[2] + (end[2] - page[2]) * share;
    image.data[k + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}

/** Paints an example as it is stored, (height, width, 1 or 3), black at `low` and white at `high`. */
export function paintExample(canvas, pixels, [height, width, channels], [low, high]) {
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const scale = 255 / (high - low || 1);
  for (let i = 0; i < height * width; i++) {
    for (let c = 0; c < 3; c++) {
      const value = pixels[i * channels + (channels === 1 ? 0 : c)];
      image.data[4 * i + c] = (value - low) * scale;
    }
    image.data[4 * i + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return canvas;
}
