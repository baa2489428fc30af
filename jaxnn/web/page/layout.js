// Where everything in the network view stands.

const LEAST_GAP = 58; // between two columns: room for edges
const FOOT = 62; // for the names under the columns
const HEAD = 14;

/**
 * Places the columns in a canvas at least `width` × `height`. Returns {width, height, places}:
 * the canvas may have to be wider than asked. Each place is {x, right, top, bottom, shown, size,
 * pitch, rows, at(k): the centre of the k-th that is shown}, `shown` the number that fits.
 */
export function layout(columns, width, height, { names }) {
  const small = width < 640;
  const free = Math.max(height - HEAD - FOOT, 120);
  const outputs = small ? 104 + Math.min(names, 9) * 6 : 190 + Math.min(names, 16) * 7;
  const side = small ? 10 : 18;
  const gap = small ? 40 : LEAST_GAP;
  const middle = columns.length - 1;
  const imageWidth = Math.min(free * 0.62, width * (small ? 0.22 : 0.2), 250);
  const forColumns = width - outputs - 2 * side - middle * (small ? gap : 1.6 * gap);
  const each = clamp((forColumns - (columns[0].kind === "image" ? imageWidth : 0)) / Math.max(middle, 1), 34, 190);

  const boxes = columns.map((column, k) => {
    if (column.kind === "image") {
      const ratio = column.height / column.width;
      const w = Math.min(imageWidth, free / ratio);
      return { w, h: w * ratio, rows: 1, across: 1, pitch: w, size: w, shown: 1 };
    }
    return box(column, free, k === middle && column.count <= free / 13 ? 34 : each);
  });
  const taken = boxes.reduce((sum, { w }) => sum + w, 0) + outputs + 2 * side;
  const room = middle ? (width - taken) / middle : 0;
  const between = clamp(room, gap, 260);
  const whole = Math.max(width, taken + middle * between);
  let x = side + Math.max(0, (whole - taken - middle * between) / 2);
  const places = boxes.map(({ w, h, rows, pitch, size, shown, ...rest }) => {
    const [left, top] = [x, HEAD + (free - h) / 2];
    x += w + between;
    return {
      ...rest,
      x: left, right: left + w, top, bottom: top + h, rows, pitch, size, shown,
      at: (k) => ({
        x: left + (Math.floor(k / rows) + 0.5) * pitch,
        y: top + ((k % rows) + 0.5) * pitch,
      }),
    };
  });
  return { width: whole, height, places, free, foot: HEAD + free + 6, outputs };
}

/** How neurons or maps stand in rows within a height and a width. */
function box({ kind, count }, height, most) {
  const [least, best] = kind === "maps" ? [22, 66] : [7, 34];
  let pitch = Math.min(best, height / count);
  let rows = count;
  // One above the other while that leaves them large enough, else several side by side.
  if (pitch < (kind === "maps" ? 34 : 14)) {
    const cap = kind === "maps" ? 66 : count <= 64 ? 24 : 16;
    pitch = clamp(Math.sqrt((height * most) / count), least, cap);
    rows = Math.max(1, Math.floor(height / pitch));
    while (pitch > least && Math.ceil(count / rows) * pitch > most) {
      pitch = Math.max(least, pitch - 0.25);
      rows = Math.floor(height / pitch);
    }
    const across = Math.ceil(count / rows);
    if (across * pitch > most && pitch <= least) {
      const fit = Math.max(1, Math.floor(most / pitch));
      return { w: fit * pitch, h: rows * pitch, rows, pitch, size: sizeOf(kind, pitch), shown: fit * rows };
    }
    rows = Math.ceil(count / across); // sub-columns of the same height
  }
  const across = Math.ceil(count / rows);
  return { w: across * pitch, h: rows * pitch, rows, pitch, size: sizeOf(kind, pitch), shown: count };
}

const sizeOf = (kind, pitch) => (kind === "maps" ? pitch - Math.min(4, pitch * 0.1) : pitch * 0.78);
const clamp = (x, low, high) => Math.min(Math.max(x, low), high);
