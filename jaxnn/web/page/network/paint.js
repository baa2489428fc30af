// Draws the network view on its canvas: edges below, neurons and feature maps above. Knows nothing
// of pointers or buttons; everything it draws is in the `view`: view.js.

import { palette, signed, css, paintSigned } from "../colors.js";
import { pixels } from "./columns.js";

const scratch = document.createElement("canvas");

/**
 * view = {columns, geometry, edges, values, limits, image, backward, focus, wave, stepping}:
 *   values[k]   what column k shows, or null: nothing is known of it yet
 *   limits[k]   the magnitude of full colour
 *   edges[k]    from column k - 1 to k: strongest(…), or null
 *   image       a canvas with the example, which stands for the input's values
 *   focus       null or {edges: [{gap, from, to, value, limit}], units: [{column, unit}]}: the rest pales
 *   told        {column, unit} whose numbers a step tells, or null
 *   wave        {gap, share}: of the edges of this gap only this share of the way is drawn yet
 */
export function paint(context, view) {
  const { columns, geometry } = view;
  context.clearRect(0, 0, geometry.width, geometry.height);
  for (let k = 1; k < columns.length; k++) paintEdges(context, view, k);
  if (view.focus) for (const edge of view.focus.edges) paintEdge(context, view, edge, 1, 0.35);
  for (let k = 0; k < columns.length; k++) {
    if (columns[k].kind === "image") paintInput(context, view);
    else if (columns[k].kind === "maps") paintMaps(context, view, k);
    else paintUnits(context, view, k);
  }
  for (const marked of view.focus?.units ?? (view.told ? [view.told] : [])) mark(context, view, marked);
}

function paintEdges(context, view, k) {
  const edges = view.edges[k];
  if (!edges || !view.known[k]) return;
  context.save();
  if (view.wave?.gap === k) {
    const [left, right] = [view.geometry.places[k - 1].x, view.geometry.places[k].right];
    const reach = (right - left) * view.wave.share;
    context.beginPath();
    context.rect(view.backward ? right - reach : left, 0, reach, view.geometry.height);
    context.clip();
  }
  const pale = view.focus ? 0.12 : view.stepping && view.stepping !== k ? 0.45 : 1;
  for (let i = 0; i < edges.from.length; i++) {
    paintEdge(context, view, edgeAt(edges, k, i), pale, 0.05);
  }
  context.restore();
}

const edgeAt = ({ from, to, value, limit, least }, gap, i) =>
  ({ gap, from: from[i], to: to[i], value: value[i], limit, least });

function paintEdge(context, view, edge, strength, faintest) {
  const ends = edgeEnds(view, edge);
  if (!ends) return;
  const colors = palette();
  const least = edge.least ?? 0;
  const share = Math.min(Math.max((Math.abs(edge.value) - least) / (edge.limit - least), 0), 1) || 0;
  const structure = view.columns[edge.gap].links === "pool";
  context.strokeStyle = structure ? colors.faint : edge.value < 0 ? colors.negative : colors.positive;
  context.globalAlpha = structure ? Math.max(strength, 0.4) : strength * Math.min(1, faintest + share * (1.1 - faintest));
  context.lineWidth = structure ? 1 : 0.5 + 1.9 * share;
  const [a, b] = ends;
  const bend = (b.x - a.x) * 0.45;
  context.beginPath();
  context.moveTo(a.x, a.y);
  context.bezierCurveTo(a.x + bend, a.y, b.x - bend, b.y, b.x, b.y);
  context.stroke();
  context.globalAlpha = 1;
}

/** Where an edge begins and ends, or null if one of the two is not shown. */
export function edgeEnds(view, { gap, from, to }) {
  const [start, end] = [outlet(view, gap, from), spot(view, gap, to)];
  if (!start || !end) return null;
  const half = view.geometry.places[gap].size / 2;
  return [start, { x: end.x - half, y: end.y }];
}

function outlet(view, gap, from) {
  const before = view.columns[gap - 1];
  const where = view.geometry.places[gap - 1];
  if (before.kind !== "image") {
    const at = spot(view, gap - 1, from);
    return at && { x: at.x + where.size / 2, y: at.y };
  }
  if (view.columns[gap].links === "conv") return { x: where.right, y: (where.top + where.bottom) / 2 };
  const pixel = Math.floor(from / before.channels);
  const cell = (where.right - where.x) / before.width;
  return {
    x: where.x + ((pixel % before.width) + 0.5) * cell,
    y: where.top + (Math.floor(pixel / before.width) + 0.5) * cell,
  };
}

/** Where the centre of a neuron or map is, or null if it is on another page. */
export function spot(view, k, unit) {
  const slot = view.columns[k].slots ? view.columns[k].slots[unit] : unit;
  return slot < 0 || slot >= view.geometry.places[k].shown ? null : view.geometry.places[k].at(slot);
}

/** The neuron or map that stands in a slot of its column. */
export const unitAt = (column, slot) => (column.order ? column.order[column.page * column.fits + slot] : slot);

function paintUnits(context, view, k) {
  const [where, values, limit] = [view.geometry.places[k], view.values[k], view.limits[k]];
  const colors = palette();
  const radius = where.size / 2;
  const ring = where.pitch < 12 ? 0.6 : 1.1;
  const count = Math.min(where.shown, view.columns[k].count);
  for (let slot = 0; slot < count; slot++) {
    const unit = unitAt(view.columns[k], slot);
    if (unit === undefined) break;
    const { x, y } = where.at(slot);
    context.beginPath();
    context.arc(x, y, radius, 0, 7);
    context.fillStyle = values ? css(signed(values[unit] / limit)) : colors.page;
    context.fill();
    context.lineWidth = ring;
    context.strokeStyle = values ? colors.ring : colors.faint;
    context.stroke();
  }
}

function paintMaps(context, view, k) {
  const [column, where, values] = [view.columns[k], view.geometry.places[k], view.values[k]];
  const { height, width } = column;
  const colors = palette();
  const count = Math.min(where.shown, column.count);
  const [w, h] = fitted(width, height, where.size);
  context.imageSmoothingEnabled = false;
  for (let slot = 0; slot < count; slot++) {
    const unit = unitAt(column, slot);
    if (unit === undefined) break;
    const { x, y } = where.at(slot);
    if (values) {
      paintSigned(scratch, height, width, (p) => values[p * column.count + unit], view.limits[k]);
      context.drawImage(scratch, x - w / 2, y - h / 2, w, h);
    } else {
      context.fillStyle = colors.page;
      context.fillRect(x - w / 2, y - h / 2, w, h);
    }
    context.lineWidth = 1;
    context.strokeStyle = values ? colors.ring : colors.faint;
    context.strokeRect(x - w / 2, y - h / 2, w, h);
  }
}

const fitted = (width, height, size) =>
  width >= height ? [size, (size * height) / width] : [(size * width) / height, size];

function paintInput(context, view) {
  const [column, where] = [view.columns[0], view.geometry.places[0]];
  context.imageSmoothingEnabled = false;
  const [w, h] = [where.right - where.x, where.bottom - where.top];
  if (!view.backward) {
    if (view.image) context.drawImage(view.image, where.x, where.top, w, h);
  } else if (view.values[0]) {
    const { channels } = column;
    const sum = (p) => {
      let total = 0;
      for (let c = 0; c < channels; c++) total += view.values[0][p * channels + c];
      return total;
    };
    paintSigned(scratch, column.height, column.width, sum, view.limits[0]);
    context.drawImage(scratch, where.x, where.top, w, h);
  } else {
    context.fillStyle = palette().page;
    context.fillRect(where.x, where.top, w, h);
  }
  context.lineWidth = 1;
  context.strokeStyle = palette().ring;
  context.strokeRect(where.x - 0.5, where.top - 0.5, w + 1, h + 1);
}

/** A ring around what is pointed at; in the input, around a pixel. */
function mark(context, view, { column, unit }) {
  const [where, { kind, width, height, channels }] = [view.geometry.places[column], view.columns[column]];
  context.strokeStyle = palette().ink;
  context.lineWidth = 2;
  context.beginPath();
  if (kind === "image") {
    const cell = (where.right - where.x) / width;
    const pixel = Math.floor(unit / channels);
    const [x, y] = [where.x + (pixel % width) * cell, where.top + Math.floor(pixel / width) * cell];
    context.strokeStyle = palette().positive;
    context.strokeRect(x, y, cell, cell);
    return;
  }
  const at = spot(view, column, unit);
  if (!at) return;
  if (kind === "maps") {
    const [w, h] = fitted(width, height, where.size);
    context.strokeRect(at.x - w / 2 - 1, at.y - h / 2 - 1, w + 2, h + 2);
  } else {
    context.arc(at.x, at.y, where.size / 2 + 1.5, 0, 7);
    context.stroke();
  }
}

/**
 * What is at a point: {column, unit, pixel} of a neuron, map or the input, or {gap, from, to, value}
 * of the edge that passes within a few pixels, or null.
 */
export function hit(view, x, y, slack) {
  for (let k = 0; k < view.columns.length; k++) {
    const [column, where] = [view.columns[k], view.geometry.places[k]];
    if (x < where.x - slack || x > where.right + slack || y < where.top - slack || y > where.bottom + slack) continue;
    if (column.kind === "image") {
      const cell = (where.right - where.x) / column.width;
      const [row, across] = [Math.floor((y - where.top) / cell), Math.floor((x - where.x) / cell)];
      if (row < 0 || across < 0 || row >= column.height || across >= column.width) continue;
      return { column: k, unit: (row * column.width + across) * column.channels };
    }
    const across = Math.min(Math.max(Math.floor((x - where.x) / where.pitch), 0), Math.ceil(where.shown / where.rows) - 1);
    const row = Math.min(Math.max(Math.floor((y - where.top) / where.pitch), 0), where.rows - 1);
    const slot = across * where.rows + row;
    const unit = slot < where.shown ? unitAt(column, slot) : undefined;
    if (unit === undefined || unit >= column.count) continue;
    const at = where.at(slot);
    if (column.kind === "units") {
      if (Math.hypot(x - at.x, y - at.y) > where.pitch / 2 + slack) continue;
      return { column: k, unit };
    }
    const [w, h] = fitted(column.width, column.height, where.size);
    const p = Math.floor(((y - at.y + h / 2) / h) * column.height);
    const q = Math.floor(((x - at.x + w / 2) / w) * column.width);
    const inside = p >= 0 && q >= 0 && p < column.height && q < column.width;
    return { column: k, unit, pixel: inside ? p * column.width + q : null };
  }
  return nearestEdge(view, x, y, 5 + slack);
}

function nearestEdge(view, x, y, reach) {
  const k = view.geometry.places.findIndex((place) => x < place.x);
  const candidates = view.focus?.edges.length && view.pinned
    ? view.focus.edges.filter(({ gap }) => gap === k)
    : k > 0 && view.known[k] && view.edges[k]
      ? view.edges[k].from.map((_, i) => edgeAt(view.edges[k], k, i))
      : [];
  let [best, least] = [null, reach];
  for (const edge of candidates) {
    const ends = edgeEnds(view, edge);
    if (!ends) continue;
    const distance = toCurve(ends, x, y);
    // Of edges that are equally near, the stronger lies on top.
    if (distance <= least) [best, least] = [edge, distance];
  }
  return best;
}

/** How far above or below a curve a point lies: curves run from left to right. */
function toCurve([a, b], x, y) {
  if (x < a.x || x > b.x) return Infinity;
  // The curve's x is (1.35 (1-t)² t + 1.65 (1-t) t² + t³) of the way: t by bisection.
  const wanted = (x - a.x) / (b.x - a.x);
  let [low, high] = [0, 1];
  for (let i = 0; i < 12; i++) {
    const t = (low + high) / 2;
    const u = 1 - t;
    if (1.35 * u * u * t + 1.65 * u * t * t + t * t * t < wanted) low = t;
    else high = t;
  }
  const rise = high * high * (3 - 2 * high);
  const slope = 6 * high * (1 - high) * ((b.y - a.y) / (b.x - a.x)); // roughly; steep curves are near sooner
  return Math.abs(y - a.y - rise * (b.y - a.y)) / Math.hypot(1, slope);
}
