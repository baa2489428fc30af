// Curves of loss and accuracy over training: linear, logarithmic, or both axes logarithmic.

import { palette } from "../colors.js";
import { h, sharp } from "../dom.js";
import { number, percent } from "../format.js";

const [LEFT, RIGHT, TOP, BOTTOM] = [40, 8, 8, 31];

/**
 * A chart of one quantity: {element, draw(reports, scale)}. `train` and `validation` get it from a
 * report, null where there is none; `scale` is "linear", "log" or "log-log".
 */
export function chart({ title, train, validation, show, height = 145 }) {
  const canvas = h("canvas", { role: "img", "aria-label": title });
  const reading = h("span", { class: "reading" });
  const element = h("figure", { class: "chart" }, h("figcaption", {}, h("span", {}, title), reading), canvas);
  let [reports, scale, pointed] = [[], "log", null];
  let frame = 0;

  function redraw() {
    if (!frame) frame = requestAnimationFrame(() => { frame = 0; render(); });
  }

  function render() {
    const width = element.clientWidth;
    if (!width) return;
    const context = sharp(canvas, width, height);
    context.clearRect(0, 0, width, height);
    const colors = palette();
    const logX = scale === "log-log";
    const logY = scale !== "linear";
    const at = (report) => (logX ? report.step : report.epoch);
    const rows = reports.filter((report) => Number.isFinite(train(report)) && at(report) > 0 && (!logY || train(report) > 0));
    const checked = reports.filter((report) => {
      const value = report.validation && validation(report);
      return value !== null && Number.isFinite(value) && at(report) > 0 && (!logY || value > 0);
    });
    const values = [...rows.map(train), ...checked.map(validation)];
    const xs = span([...rows.map(at), ...checked.map(at)], logX, !logX);
    const ys = span(values, logY, false, show === percent ? 1 : Infinity);
    const x = scaled(xs, LEFT, width - RIGHT, logX);
    const y = scaled(ys, height - BOTTOM, TOP, logY);
    context.font = "11px system-ui, sans-serif";
    context.lineWidth = 1;
    context.textBaseline = "middle";
    context.textAlign = "right";
    for (const tick of ticks(ys, logY, 4)) {
      context.strokeStyle = colors.track;
      line(context, [[LEFT, y(tick)], [width - RIGHT, y(tick)]]);
      context.fillStyle = colors.quiet;
      context.fillText(label(tick, show), LEFT - 5, y(tick));
    }
    context.textBaseline = "alphabetic";
    context.textAlign = "center";
    context.fillStyle = colors.quiet;
    for (const tick of ticks(xs, logX, 4)) {
      context.fillText(label(tick, number), Math.min(Math.max(x(tick), LEFT), width - 14), height - 17);
    }
    context.fillText(logX ? "step" : "epoch", (LEFT + width - RIGHT) / 2, height - 4);
    if (!rows.length) {
      context.fillText(reports.length ? "nothing above 0" : "no training yet", (LEFT + width) / 2, height / 2);
      return;
    }
    context.save();
    context.beginPath();
    context.rect(LEFT, TOP - 3, width - LEFT - RIGHT + 3, height - TOP - BOTTOM + 6);
    context.clip();
    context.strokeStyle = colors.ring;
    line(context, rows.map((report) => [x(at(report)), y(train(report))]));
    context.strokeStyle = context.fillStyle = colors.ink;
    context.lineWidth = 1.8;
    line(context, checked.map((report) => [x(at(report)), y(validation(report))]));
    if (checked.length < 40) for (const report of checked) dot(context, x(at(report)), y(validation(report)), 2.2);
    const row = pointed === null ? null : nearest(rows, at, x, pointed);
    if (row) {
      context.strokeStyle = colors.faint;
      context.lineWidth = 1;
      line(context, [[x(at(row)), TOP], [x(at(row)), height - BOTTOM]]);
      context.fillStyle = colors.ink;
      dot(context, x(at(row)), y(train(row)), 3);
    }
    context.restore();
    const shown = row ?? rows.at(-1);
    const last = (row ? checked.filter((report) => report.step <= row.step) : checked).at(-1);
    reading.replaceChildren(
      h("span", {}, h("span", { class: "quiet" }, row ? `epoch ${number(row.epoch)}: ` : "train "), show(train(shown))),
      ...(last ? [h("span", {}, h("span", { class: "quiet" }, "validation "), h("b", {}, show(validation(last))))] : []));
  }

  canvas.addEventListener("pointermove", (event) => {
    pointed = event.offsetX;
    redraw();
  });
  canvas.addEventListener("pointerleave", () => {
    pointed = null;
    redraw();
  });
  new ResizeObserver(redraw).observe(element);
  return {
    element,
    draw(newReports, newScale) {
      [reports, scale] = [newReports, newScale];
      redraw();
    },
  };
}

/** From the least to the largest value, with a margin; to be divided evenly or by ratio. */
function span(values, log, fromZero, most = Infinity) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (!Number.isFinite(low)) return log ? [0.1, 1] : [0, 1];
  if (log) return low === high ? [low / 2, high * 2] : [low / 1.1, high * 1.1];
  if (fromZero) return [0, high || 1];
  const margin = (high - low || Math.abs(high) || 1) * 0.06;
  return [low >= 0 ? Math.max(0, low - margin) : low - margin, Math.min(high + margin, Math.max(most, high))];
}

function scaled([low, high], from, to, log) {
  const f = log ? Math.log : (value) => value;
  const length = f(high) - f(low) || 1;
  return (value) => from + ((f(value) - f(low)) / length) * (to - from);
}

/** A few round numbers within a span. */
function ticks([low, high], log, wanted) {
  if (log) {
    const decades = Math.log10(high / low);
    const parts = decades > 3 ? [1] : decades > 1.2 ? [1, 2, 5] : [1, 1.5, 2, 3, 5, 7];
    const found = [];
    for (let d = Math.floor(Math.log10(low)); d <= Math.log10(high); d++) {
      for (const part of parts) {
        const value = part * 10 ** d;
        if (value >= low && value <= high) found.push(value);
      }
    }
    const every = Math.ceil(found.length / (wanted + 2));
    return found.filter((_, i) => i % every === 0);
  }
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((part) => part * power >= rough) * power;
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(i * step);
  return found;
}

/** A tick is a round number: without zeros behind the point. */
const label = (value, show) =>
  show === percent ? `${label(100 * value, number)} %` : number(value, 4).replace(/\.(\d*?)0+$/, ".$1").replace(/\.$/, "");

function nearest(rows, at, x, pointed) {
  let best = rows[0];
  for (const row of rows) if (Math.abs(x(at(row)) - pointed) < Math.abs(x(at(best)) - pointed)) best = row;
  return best;
}

function line(context, points) {
  context.beginPath();
  for (const [x, y] of points) context.lineTo(x, y);
  context.stroke();
}

function dot(context, x, y, radius) {
  context.beginPath();
  context.arc(x, y, radius, 0, 7);
  context.fill();
}
