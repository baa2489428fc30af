// The classes with their probabilities, beside the last column, and the verdict.

import { paintExample } from "../colors.js";
import { h } from "../dom.js";
import { number } from "../format.js";
import { likeliest, makeRows, probabilityRows, showNumbers, showRows } from "../probabilities.js";

export function mountOutputs(stage, verdict, view) {
  const { state } = view;
  const list = probabilityRows("outputs");
  let beside = false; // each class beside its neuron
  const picture = h("canvas", { class: "put-out", hidden: true, "aria-label": "What is put out" });
  stage.append(list, picture);

  /** The shape of what is put out, if that is an image. */
  function imageShape() {
    const shape = state.lab.layers.at(-1).out_shape;
    return shape.length === 3 && (shape[2] === 1 || shape[2] === 3) ? shape : null;
  }

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
    picture.hidden = !imageShape();
    list.hidden = !picture.hidden;
    if (picture.hidden) return;
    const side = Math.min(view.geometry.outputs - 20, 160);
    picture.style.cssText = `left: ${place.right + 12}px; top: ${middle - side / 2}px; width: ${side}px;`;
  }

  /** Numbers, or labels of which there may be several. */
  function showAnswers() {
    const { task, classes } = state.lab.dataset;
    const { arrays, header: { given } } = state.trace;
    const [answers, truth] = [arrays.answers.data, given ? arrays.true.data : null];
    const loss = arrays.loss.data[0];
    const labels = task === "multilabel";
    const order = (beside || !labels ? classes.map((_, k) => k) : likeliest(answers)).slice(0, list.children.length);
    const above = (values) => new Set([...classes.keys()].filter((k) => values[k] > 0.5));
    const named = (set) => h("b", {}, [...set].map((k) => classes[k]).join(", ") || "none");
    const told = [];
    if (labels) {
      const [said, there] = [above(answers), truth && above(truth)];
      showRows(list, classes, order, { p: view.finished ? answers : null, predicted: said, target: there });
      const right = there && said.size === there.size && [...said].every((k) => there.has(k));
      told.push(
        ...(there ? [h("span", {}, "is ", named(there), ", ")] : []),
        h("span", { class: there && !right ? "wrong" : "" }, "taken for ", named(said), there ? (right ? " ✓" : " ✗") : ""));
    } else {
      if (imageShape()) paintExample(picture, answers, imageShape(), state.lab.dataset.limits);
      showNumbers(list, classes, order, { answers: view.finished ? answers : null, truth });
      if (classes.length === 1) {
        told.push(h("span", {}, `${classes[0]}: predicted `, h("b", {}, number(answers[0], 4)), truth ? ", true " : "", truth ? h("b", {}, number(truth[0], 4)) : ""));
      }
    }
    told.push(h("span", { class: "quiet", data: { value: String(loss) } }, `${told.length ? " · " : ""}loss ${number(loss)}`));
    verdict.replaceChildren(...told);
  }

  function show() {
    const { classes, task } = state.lab.dataset;
    if (task !== "classification") return showAnswers();
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
