// Very many small images on one canvas, at any zoom.
//
// Each frame is computed pixel by pixel from arrays, without a GPU: one pass over the screen costs
// the same for ten images and for a hundred thousand, and another order of the images costs nothing
// at all. (Measured in Chromium without a GPU: WebGL 2 reached 11 to 15 frames a second where this
// reaches the screen's 60.)

/**
 * Paints a grid of the images of a pyramid.
 *
 * screen: {pixels: Uint32Array, width, height}; ground: the color of what is not covered.
 * order: which images, row by row; columns: how many in a row.
 * left, top: where the grid begins; scale: how many pixels of the screen a pixel of an image is
 * wide; gap: between images, in pixels of an image, left out where it would be too thin to see.
 * smooth: with images smaller than stored, whether pixels are interpolated: slower and finer.
 */
export function paintGrid(pyramid, screen, ground, { order, columns, left, top, scale, gap, smooth }) {
  const { pixels, width, height } = screen;
  pixels.fill(ground);
  const full = pyramid.levels[0];
  const across = axis(full.w, gap, scale, left, width, columns);
  const down = axis(full.h, gap, scale, top, height, Math.ceil(order.length / columns));
  if (across.first > across.last || down.first > down.last) return;
  // The smallest size that is at least as large as on the screen.
  let k = 0;
  while (pyramid.levels[k + 1]?.w >= across.size && pyramid.levels[k + 1]?.h >= down.size) k++;
  const level = pyramid.levels[k];
  const fine = smooth && level.w > 1 && level.h > 1 && across.size < full.w;
  const rows = pyramid.channels === 1 ? (fine ? smoothGrey : plainGrey) : fine ? smoothColor : plainColor;
  rows(pyramid, level, pixels, width, order, columns, samples(across, level.w, fine), samples(down, level.h, fine));
}

/** Along one side of the screen: which cells are seen, and from where to where each has its image. */
function axis(size, gap, scale, origin, length, cells) {
  const pitch = (size + gap) * scale;
  const shown = Math.round(gap * scale) >= 1 ? Math.max(1, Math.round(size * scale)) : 0;
  const first = Math.max(0, Math.floor(-origin / pitch));
  const last = Math.min(cells - 1, Math.floor((length - origin) / pitch));
  const [from, to] = [new Int32Array(cells), new Int32Array(cells)];
  for (let cell = first; cell <= last; cell++) {
    from[cell] = Math.round(origin + cell * pitch);
    to[cell] = shown ? from[cell] + shown : Math.round(origin + (cell + 1) * pitch);
  }
  return { first, last, from, to, length, size: shown || pitch };
}

/** For each pixel along a side: which of the image's it shows, and its share of the next one, of 256. */
function samples({ first, last, from, to, length }, size, smooth) {
  const [index, share] = [new Int32Array(length), new Int32Array(length)];
  for (let cell = first; cell <= last; cell++) {
    const step = size / (to[cell] - from[cell]);
    const end = Math.min(length, to[cell]);
    for (let p = Math.max(0, from[cell]); p < end; p++) {
      const at = (p - from[cell] + 0.5) * step;
      if (smooth) {
        index[p] = Math.max(0, Math.min(size - 2, Math.floor(at - 0.5)));
        share[p] = Math.max(0, Math.min(256, (at - 0.5 - index[p]) * 256));
      } else {
        index[p] = Math.min(size - 1, at);
      }
    }
  }
  return { first, last, from, to, length, index, share };
}

// Four times the same walk over the screen, each with its own innermost line: a call there would
// cost more than the line itself.

function plainGrey({ grey }, { data, w, size }, out, width, order, columns, across, down) {
  for (let row = down.first; row <= down.last; row++) {
    const end = Math.min(down.length, down.to[row]);
    for (let y = Math.max(0, down.from[row]); y < end; y++) {
      const line = y * width;
      const v = down.index[y] * w;
      const last = Math.min(across.last, order.length - 1 - row * columns);
      for (let column = across.first; column <= last; column++) {
        const image = order[row * columns + column] * size + v;
        const stop = Math.min(width, across.to[column]);
        for (let x = Math.max(0, across.from[column]); x < stop; x++) {
          out[line + x] = grey[data[image + across.index[x]]];
        }
      }
    }
  }
}

function smoothGrey({ grey }, { data, w, size }, out, width, order, columns, across, down) {
  const { index, share } = across;
  for (let row = down.first; row <= down.last; row++) {
    const end = Math.min(down.length, down.to[row]);
    for (let y = Math.max(0, down.from[row]); y < end; y++) {
      const line = y * width;
      const v = down.index[y] * w;
      const low = down.share[y];
      const high = 256 - low;
      const last = Math.min(across.last, order.length - 1 - row * columns);
      for (let column = across.first; column <= last; column++) {
        const image = order[row * columns + column] * size + v;
        const stop = Math.min(width, across.to[column]);
        for (let x = Math.max(0, across.from[column]); x < stop; x++) {
          const i = image + index[x];
          const right = share[x];
          const left = 256 - right;
          const upper = data[i] * left + data[i + 1] * right;
          const lower = data[i + w] * left + data[i + w + 1] * right;
          out[line + x] = grey[(upper * high + lower * low) >> 16];
        }
      }
    }
  }
}

function plainColor({ shade }, { data, w, size }, out, width, order, columns, across, down) {
  for (let row = down.first; row <= down.last; row++) {
    const end = Math.min(down.length, down.to[row]);
    for (let y = Math.max(0, down.from[row]); y < end; y++) {
      const line = y * width;
      const v = down.index[y] * w * 3;
      const last = Math.min(across.last, order.length - 1 - row * columns);
      for (let column = across.first; column <= last; column++) {
        const image = order[row * columns + column] * size + v;
        const stop = Math.min(width, across.to[column]);
        for (let x = Math.max(0, across.from[column]); x < stop; x++) {
          const i = image + across.index[x] * 3;
          out[line + x] = 0xff000000 | (shade[data[i + 2]] << 16) | (shade[data[i + 1]] << 8) | shade[data[i]];
        }
      }
    }
  }
}

function smoothColor({ shade }, { data, w, size }, out, width, order, columns, across, down) {
  for (let row = down.first; row <= down.last; row++) {
    const end = Math.min(down.length, down.to[row]);
    for (let y = Math.max(0, down.from[row]); y < end; y++) {
      const line = y * width;
      const v = down.index[y] * w * 3;
      const low = down.share[y];
      const high = 256 - low;
      const last = Math.min(across.last, order.length - 1 - row * columns);
      for (let column = across.first; column <= last; column++) {
        const image = order[row * columns + column] * size + v;
        const stop = Math.min(width, across.to[column]);
        for (let x = Math.max(0, across.from[column]); x < stop; x++) {
          const i = image + across.index[x] * 3;
          const j = i + w * 3;
          const d = (256 - across.share[x]) * high;
          const e = across.share[x] * high;
          const f = (256 - across.share[x]) * low;
          const g = across.share[x] * low;
          const red = (data[i] * d + data[i + 3] * e + data[j] * f + data[j + 3] * g) >> 16;
          const green = (data[i + 1] * d + data[i + 4] * e + data[j + 1] * f + data[j + 4] * g) >> 16;
          const blue = (data[i + 2] * d + data[i + 5] * e + data[j + 2] * f + data[j + 5] * g) >> 16;
          out[line + x] = 0xff000000 | (shade[blue] << 16) | (shade[green] << 8) | shade[red];
        }
      }
    }
  }
}
