// The classes with their probabilities, beside the last column, and the verdict.

import { h } from "../dom.js";
import { number } from "../format.js";
import { likeliest, makeRows, probabilityRows, showRows } from "../probabilities.js";

export function mountOutputs(stage, verdict, view) {
  const { state } = view;
  const list = probabilityRows("outputs");
  let beside = false; // each class beside its neuron
  stage.append(list);

  function place() {
    const { classes } = state.lab.dataset;
    const [place, column] = [view.geometry.places.at(-1), view.columns.at(-1)];
    beside = classes.length === column.count && place.pitch >= 17 && place.rows >= column.count;
    const pitch = beside ? place.pitch : 22;
    const count = Math.min(classes.length, Math.floor(view.geometry.free / pitch));
    const middle = (place.top + place.bottom) / 2;
    makeRows(list, count);
    list.style.setProperty("--pitch", `${pitch}px`);
    list.style.left = `${place.right + 12}px`;
    list.style.top = `${middle - (count * pitch) / 2}px`;
    list.style.width = `${view.geometry.outputs - 14}px`;
  }

  function show() {
    const { classes } = state.lab.dataset;
    const { arrays, header: { predicted, target, given } } = state.trace;
    const p = arrays.probabilities.data;
    const order = (beside ? classes.map((_, k) => k) : likeliest(p)).slice(0, list.children.length);
    showRows(list, classes, order, { p: view.finished ? p : null, predicted, target: given ? target : null });
    const right = predicted === target;
    const loss = arrays.loss.data[0];
    verdict.replaceChildren(
      ...(given ? [h("span", {}, "is ", h("b", {}, classes[target]), ", ")] : []),
      h("span", { class: given && !right ? "wrong" : "" }, "taken for ", h("b", {}, classes[predicted]), given ? (right ? " ✓" : " ✗") : ""),
      h("span", { class: "quiet", data: { value: String(loss) } }, ` · loss ${number(loss)}`));
  }

  return { place, show };
}
