// Where everything in the network view stands.

const HEAD = 24; // above the columns: how many edges are drawn

/**
 * Places the columns in a canvas at least `width` × `height`, of which their names take `under`. Returns
 * {width, height, places, free, foot, outputs, between}: the canvas may have to be wider than asked,
 * `free` is the height for columns, `foot` where names begin, `outputs` the width for the classes,
 * `between` two columns. Each place is
 * {x, right, top, bottom, shown, size, pitch, rows, at(k): the centre of the k-th that is shown}.
 */
export function layout(columns, width, height, { names, under }) {
  const middle = columns.length - 1;
  const [small, deep] = [width < 640, middle > 4];
  const least = small ? { outputs: 92, gap: 34, image: 68 }
    : width < 860 ? { outputs: 134, gap: deep ? 26 : 60, image: deep ? 76 : 100 }
      : { outputs: deep ? 160 : 190, gap: deep ? 50 : 84, image: 130 };
  const free = Math.max(height - HEAD - under, 120);
  const side = small ? 8 : 18;
  const outputs = least.outputs + Math.min(names, small ? 9 : 16) * 6;
  const gap = least.gap;
  const imageWidth = clamp(width * (small ? 0.2 : 0.3 - 0.03 * middle), least.image, Math.min(250, free * 0.62));

  // What has a width of its own; the rest is shared by the others, maps with twice as much.
  const single = (column) => column.kind === "units" && column.count <= free / 13;
  const own = columns.map((column) => (column.kind === "image" ? imageWidth : single(column) ? (small ? 24 : 34) : 0));
  const shares = columns.map((column, k) => (own[k] ? 0 : column.kind === "maps" ? 2 : 1));
  const rest = width - outputs - 2 * side - middle * gap - sum(own);
  const boxes = columns.map((column, k) => {
    if (column.kind === "image") {
      const ratio = column.height / column.width;
      const w = Math.min(imageWidth, free / ratio);
      return { w, h: w * ratio, rows: 1, pitch: w, size: w, shown: 1 };
    }
    const share = (rest * shares[k]) / (sum(shares) || 1);
    const most = own[k] || (column.kind === "maps" ? clamp(share, 44, 240) : clamp(share, 34, 176));
    return box(column, free, most);
  });
  const taken = sum(boxes.map(({ w }) => w)) + outputs + 2 * side;
  const between = middle ? clamp((width - taken) / middle, gap, 260) : 0;
  const whole = Math.max(width, taken + middle * between);
  let x = side + Math.max(0, (whole - taken - middle * between) / 2);
  const places = boxes.map(({ w, h, rows, ...rest }) => {
    const [left, top] = [x, HEAD + (free - h) / 2];
    x += w + between;
    return {
      ...rest,
      rows,
      x: left,
      right: left + w,
      top,
      bottom: top + h,
      at: (k) => ({
        x: left + (Math.floor(k / rows) + 0.5) * rest.pitch,
        y: top + ((k % rows) + 0.5) * rest.pitch,
      }),
    };
  });
  return { width: whole, height, places, free, foot: HEAD + free + 6, outputs, between };
}

/**
 * How neurons or maps stand within a height and a width: one above the other while that leaves them
 * large enough, else side by side, as large as fits; and if even the smallest do not fit, not all.
 */
function box({ kind, count }, height, most) {
  const maps = kind === "maps";
  const least = maps ? 22 : 7;
  const largest = maps ? 68 : count > 64 ? 16 : count > height / 13 ? 24 : 34;
  let pitch = Math.min(largest, most);
  const across = () => Math.ceil(count / Math.floor(height / pitch));
  while (pitch > least && across() * pitch > most) pitch = Math.max(least, pitch - 0.25);
  const fit = Math.min(across(), Math.max(1, Math.floor(most / pitch)));
  const shown = Math.min(count, fit * Math.floor(height / pitch));
  const rows = Math.ceil(shown / fit); // sub-columns of the same height
  const size = maps ? pitch - Math.min(4, pitch * 0.1) : pitch * 0.78;
  return { w: fit * pitch, h: rows * pitch, rows, pitch, size, shown };
}

const sum = (values) => values.reduce((total, value) => total + value, 0);
const clamp = (x, low, high) => Math.min(Math.max(x, low), Math.max(low, high));
