// Very many small images in the sizes that they are shown in.

/** Images in all sizes: as stored, half as high and wide, a quarter, …, down to one pixel. */
export class Pyramid {
  constructor(count, height, width, channels, [low, high]) {
    this.channels = channels;
    this.levels = [];
    for (let [h, w] = [height, width]; ; [h, w] = [Math.ceil(h / 2), Math.ceil(w / 2)]) {
      this.levels.push({ h, w, size: h * w * channels, data: new Uint8Array(count * h * w * channels) });
      if (h === 1 && w === 1) break;
    }
    // What is stored, between black at `low` and white at `high`, as a shade of grey.
    this.shade = Uint8ClampedArray.from({ length: 256 }, (_, v) => ((v - low) / (high - low || 1)) * 255);
    this.grey = Uint32Array.from(this.shade, (v) => 0xff000000 | (v * 0x010101));
  }

  /** Takes images as they are stored, the first of them being image `at`. */
  add(at, pixels) {
    const [first] = this.levels;
    first.data.set(pixels, at * first.size);
    const end = at + pixels.length / first.size;
    for (let k = 1; k < this.levels.length; k++) {
      shrink(this.levels[k - 1], this.levels[k], this.channels, at, end);
    }
  }

  pixels(i) {
    const { data, size } = this.levels[0];
    return data.subarray(i * size, (i + 1) * size);
  }
}

/** Images start to end at the next smaller size: each pixel is the mean of the area it covers. */
function shrink(from, to, channels, start, end) {
  if (from.w === 2 * to.w && from.h === 2 * to.h) halve(from, to, channels, start, end);
  else average(from, to, channels, start, end);
}

function halve({ data: source, w, size }, to, channels, start, end) {
  const target = to.data;
  const below = w * channels;
  let out = start * to.size;
  for (let i = start; i < end; i++) {
    for (let y = 0; y < to.h; y++) {
      for (let x = 0; x < to.w; x++) {
        let k = i * size + (2 * y * w + 2 * x) * channels;
        for (let c = 0; c < channels; c++, k++) {
          target[out++] = (source[k] + source[k + channels] + source[k + below] + source[k + below + channels] + 2) >> 2;
        }
      }
    }
  }
}

/** Sides that are odd: a pixel covers up to three along each, the outer ones in part. */
function average({ data: source, w, h, size }, to, channels, start, end) {
  const target = to.data;
  const across = parts(w, to.w);
  const down = parts(h, to.h);
  let out = start * to.size;
  for (let i = start; i < end; i++) {
    for (let y = 0; y < to.h; y++) {
      for (let x = 0; x < to.w; x++) {
        for (let c = 0; c < channels; c++) {
          let sum = 0;
          for (const [v, height] of down[y]) {
            const line = i * size + v * w * channels + c;
            for (const [u, width] of across[x]) sum += source[line + u * channels] * width * height;
          }
          target[out++] = sum + 0.5;
        }
      }
    }
  }
}

/** For each of `to` pixels along a side: which of `from` it covers, and the share of each. */
function parts(from, to) {
  return Array.from({ length: to }, (_, p) => {
    const [start, end] = [(p * from) / to, ((p + 1) * from) / to];
    const covered = [];
    for (let k = Math.floor(start); k < end - 1e-9; k++) {
      covered.push([k, ((Math.min(end, k + 1) - Math.max(start, k)) * to) / from]);
    }
    return covered;
  });
}
