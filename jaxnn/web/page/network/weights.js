// The first layer's weights as a strip of small images, which move while the network learns: what
// each of its neurons, or each kernel, looks for.

import { css, limitOf, palette, signed } from "../colors.js";
import { columnsOf, part } from "./columns.js";
import { weightsImage } from "./details.js";
import { h, sharp } from "../dom.js";
import { integer } from "../format.js";

const GAP = 5;

export function mountWeights(element, state, { point, pin }) {
  let [columns, k, first, fits] = [null, -1, 0, 1];
  const title = h("h2", {}, "First layer’s weights");
  const range = h("span", { class: "quiet small" });
  const turn = (by) => {
    const { count } = columns[k];
    first = first + by * fits >= count || first + by * fits < 0 ? (by > 0 ? 0 : Math.floor((count - 1) / fits) * fits) : first + by * fits;
    show();
  };
  const buttons = [["‹", "Previous neurons", -1], ["›", "Next neurons", 1]].map(([text, label, by]) =>
    h("button", { type: "button", class: "bare icon", "aria-label": label, onclick: () => turn(by) }, text));
  const canvas = h("canvas", { role: "img" });
  element.append(h("div", { class: "weights-head" }, title, buttons[0], range, buttons[1]), canvas);

  function setLab() {
    columns = columnsOf(state.lab);
    k = columns.findIndex(({ links }) => links === "dense" || links === "conv");
    first = 0;
    element.hidden = k !== 1 || columns[0].kind !== "image";
  }

  function geometry() {
    const tile = columns[k].links === "conv" ? 34 : Math.min(52, Math.max(40, 1.5 * columns[0].width));
    return { tile, pitch: tile + GAP };
  }

  function show() {
    if (element.hidden || !state.trace || !element.clientWidth) return;
    const column = columns[k];
    const { tile, pitch } = geometry();
    const width = element.clientWidth - 32;
    fits = Math.max(1, Math.floor((width + GAP) / pitch));
    first = Math.floor(first / fits) * fits;
    const count = Math.min(fits, column.count - first);
    const all = fits >= column.count;
    for (const button of buttons) button.hidden = all;
    range.textContent = all ? `${integer(column.count)}` : `${integer(first)}–${integer(first + count - 1)} of ${integer(column.count)}`;
    const context = sharp(canvas, width, tile + 6);
    context.clearRect(0, 0, width, tile + 6);
    context.imageSmoothingEnabled = false;
    const active = part(state.trace, column.leaves.at(-1), "output");
    const limit = column.kind === "units" ? limitOf(active) : 1;
    for (let i = 0; i < count; i++) {
      const image = weightsImage(state.trace, columns[k - 1], column, first + i);
      context.drawImage(image, i * pitch, 0, tile, tile);
      context.strokeStyle = palette().faint;
      context.strokeRect(i * pitch + 0.5, 0.5, tile - 1, tile - 1);
      if (column.kind !== "units") continue;
      context.fillStyle = css(signed(active[first + i] / limit));
      context.fillRect(i * pitch, tile + 2, tile, 4);
    }
    canvas.setAttribute("aria-label", `Weights of neurons ${first} to ${first + count - 1} of the first layer, as images`);
  }

  function under(event) {
    const { pitch, tile } = geometry();
    const x = event.clientX - canvas.getBoundingClientRect().left;
    const i = Math.floor(x / pitch);
    return x - i * pitch <= tile && first + i < columns[k].count && i < fits ? { column: k, unit: first + i } : null;
  }
  canvas.addEventListener("pointermove", (event) => event.pointerType !== "touch" && state.trace && point(under(event)));
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (event) => state.trace && pin(under(event)));
  state.on("lab", () => { setLab(); show(); });
  setLab();
  return { show };
}
