// A grid of images and a view of it, both never changed: what moves the view returns another one. A view
// is where the canvas's centre stands in the grid, {x, y} in pixels of the images, and how many CSS
// pixels one of those is wide, its scale.

const EASE = 70; // milliseconds in which a motion gets within 1/e of its end
const LARGEST = 200; // CSS pixels of an image when few of them fit into the view
const MARGIN = 12; // CSS pixels around an image that is moved into view

/**
 * So many images of (height, width) on a canvas of so many CSS pixels, with so many in a row that all
 * of them fit as large as possible.
 */
export function makeGrid(count, [h, w], { width, height }) {
  const gap = Math.max(h, w) / 14;
  const cell = { width: w + gap, height: h + gap };
  const ideal = Math.sqrt((count * width * cell.height) / (height * cell.width));
  let [best, columns] = [0, 1];
  for (const wanted of [Math.floor(ideal), Math.ceil(ideal), Math.ceil(ideal) + 1]) {
    if (wanted < 1) continue;
    const rows = Math.ceil(count / wanted);
    const scale = Math.min(width / (wanted * cell.width - gap), height / (rows * cell.height - gap));
    if (scale > best) [best, columns] = [scale, Math.min(wanted, count)];
  }
  const rows = Math.ceil(count / columns);
  const largest = Math.max(h, w);
  const least = Math.min(0.96 * best, LARGEST / largest);
  return {
    count, columns, rows, gap, cell, width, height,
    image: { width: w, height: h },
    extent: { width: columns * cell.width - gap, height: rows * cell.height - gap },
    least, // scale: all is in view
    most: Math.max(8, (0.7 * Math.min(width, height)) / largest, least),
  };
}

/** The view of the whole grid. */
export const whole = ({ extent, least }) => ({ x: extent.width / 2, y: extent.height / 2, scale: least });

/** Where the middle of the image at a place is. */
export const centre = ({ cell, columns, image }, place) => ({
  x: (place % columns) * cell.width + image.width / 2,
  y: Math.floor(place / columns) * cell.height + image.height / 2,
});

/** The rectangle of a place on the canvas, in CSS pixels. */
export function rectangle(grid, view, place) {
  const { x, y } = centre(grid, place);
  const [width, height] = [grid.image.width * view.scale, grid.image.height * view.scale];
  return {
    left: grid.width / 2 + (x - view.x) * view.scale - width / 2,
    top: grid.height / 2 + (y - view.y) * view.scale - height / 2,
    width,
    height,
  };
}

const inGrid = (grid, view, px, py) => [
  Math.floor((view.x + (px - grid.width / 2) / view.scale) / grid.cell.width),
  Math.floor((view.y + (py - grid.height / 2) / view.scale) / grid.cell.height),
];

/** The place of the image under a point of the canvas, or null. */
export function placeAt(grid, view, px, py) {
  const [column, row] = inGrid(grid, view, px, py);
  const place = row * grid.columns + column;
  return column >= 0 && column < grid.columns && row >= 0 && place < grid.count ? place : null;
}

/** The place of the image that is nearest to the middle of the canvas, if there is any. */
export function middlePlace(grid, view) {
  const [column, row] = inGrid(grid, view, grid.width / 2, grid.height / 2);
  const place = clamp(row, grid.rows - 1) * grid.columns + clamp(column, grid.columns - 1);
  return Math.min(grid.count - 1, place);
}

const clamp = (x, most) => Math.max(0, Math.min(most, x));

const allowed = ({ least, most }, scale) => Math.max(least, Math.min(most, scale));

/**
 * The view nearest to another that is allowed: the grid may be moved until its edge reaches the edge of
 * the canvas; what fits whole stays in the middle.
 */
export function within(grid, view) {
  const scale = allowed(grid, view.scale);
  const along = (at, size, side) =>
    size * scale <= side ? size / 2 : Math.max(side / 2 / scale, Math.min(size - side / 2 / scale, at));
  return {
    x: along(view.x, grid.extent.width, grid.width),
    y: along(view.y, grid.extent.height, grid.height),
    scale,
  };
}

/** Another scale, so that what is at a point of the canvas stays there. */
export function scaled(grid, view, wanted, { x, y }) {
  const scale = allowed(grid, wanted);
  const shift = 1 / view.scale - 1 / scale;
  return { x: view.x + (x - grid.width / 2) * shift, y: view.y + (y - grid.height / 2) * shift, scale };
}

/** The images moved by so many CSS pixels. */
export const moved = ({ x, y, scale }, dx, dy) => ({ x: x - dx / scale, y: y - dy / scale, scale });

/** Moved as little as needed for a place to be in view. */
export function following(grid, view, place) {
  const { left, top, width, height } = rectangle(grid, view, place);
  const beyond = (from, size, side) => Math.min(0, from - MARGIN) + Math.max(0, from + size + MARGIN - side);
  return moved(view, -beyond(left, width, grid.width), -beyond(top, height, grid.height));
}

/** One step of a view towards its target; along the way what is at the zoom's centre stays. */
export function advanced(view, target, milliseconds) {
  const share = 1 - Math.exp(-milliseconds / EASE);
  const scale = view.scale * (target.scale / view.scale) ** share;
  const zoomed = Math.abs(target.scale / view.scale - 1) > 1e-3;
  const along = zoomed ? (1 / scale - 1 / view.scale) / (1 / target.scale - 1 / view.scale) : share;
  const [dx, dy] = [target.x - view.x, target.y - view.y];
  if (!zoomed && Math.hypot(dx, dy) * scale < 0.5) return target;
  return { x: view.x + dx * along, y: view.y + dy * along, scale };
}
