// Errors: the examples of a split that the network is furthest from, where it puts out numbers, or
// several labels.

import { Problem } from "../client.js";
import { paintExample } from "../colors.js";
import { h } from "../dom.js";
import { integer, number, percent } from "../format.js";

const LISTED = 30;

export function mountErrors(element, state) {
  const { missing, task, classes, image, shape, limits } = state.lab.dataset;
  if (missing) {
    element.append(h("p", { class: "mistakes-none quiet" }, missing));
    return;
  }
  const { examples } = state;
  const split = h("select", { name: "split", onchange: look },
    examples.splits.map(({ name, count }) => h("option", { value: name }, `${name} (${integer(count)})`)));
  split.value = ["test", "validation", "train"].find((name) => examples.named(name).length);
  const said = h("p", { class: "mistakes-said", role: "status" });
  const again = h("button", { type: "button", onclick: ask }, "Predict again");
  const table = h("table", { class: "errors" });
  element.append(h("div", { class: "mistakes" },
    h("div", { class: "mistakes-controls" }, h("label", { class: "labelled" }, h("span", {}, "Split"), split), again, said),
    h("div", { class: "mistakes-body" }, table)));
  let [asking, shown] = [false, null];

  /** Shows what is known, and asks for what is not, unless training would make it old at once. */
  function look() {
    if (state.view !== "errors") return;
    const stale = examples.isStale(split.value);
    if (!examples.hasPredictions(split.value) || (stale && !state.status?.running)) ask();
    else show();
  }

  async function ask() {
    if (asking) return;
    asking = true;
    said.textContent = "The network looks at the examples …";
    try {
      await Promise.all([examples.loadTargets(), examples.predict(split.value)]);
      show();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      said.textContent = error.message;
    } finally {
      asking = false;
    }
  }

  function show() {
    const { start, count, step, version } = examples.named(split.value)[0];
    const stale = examples.isStale(split.value);
    said.textContent = `the largest errors, at step ${integer(step)}${stale ? `; training is at ${integer(state.status.step)}` : ""}`;
    said.classList.toggle("warned", stale);
    if (shown === `${split.value} ${version}`) return;
    shown = `${split.value} ${version}`;
    const { loss, width } = examples;
    const order = Array.from({ length: count }, (_, i) => start + i).sort((a, b) => loss[b] - loss[a] || a - b).slice(0, LISTED);
    const names = classes.slice(0, image && classes.length > width ? 0 : width);
    const value = task === "multilabel" ? (x) => percent(x) : (x) => number(x, 4);
    const truth = task === "multilabel" ? (x) => (x > 0.5 ? "yes" : "no") : (x) => number(x, 4);
    table.replaceChildren(
      h("thead", {}, h("tr", {},
        image ? h("td", {}) : null, h("th", { scope: "col" }, "example"),
        names.flatMap((name) => [h("th", { scope: "col", title: name }, name), h("th", { scope: "col", class: "quiet" }, "true")]),
        h("th", { scope: "col" }, "loss"))),
      h("tbody", {}, order.map((i) => row(i, names, value, truth))));
  }

  function row(i, names, value, truth) {
    const { width, answers, targets, loss } = examples;
    const example = examples.place(i);
    const canvas = image ? h("canvas", { "aria-hidden": "true" }) : null;
    if (canvas) paint(canvas, i);
    return h("tr", { data: { index: example.index } },
      canvas ? h("td", {}, canvas) : null,
      h("th", { scope: "row" }, h("button", { type: "button", title: "See it in the network", onclick: () => {
        state.select(example);
        state.go("network");
      } }, integer(example.index))),
      names.flatMap((_, k) => [
        h("td", { data: { value: answers[i * width + k] } }, value(answers[i * width + k])),
        h("td", { class: "quiet", data: { value: targets[i * width + k] } }, truth(targets[i * width + k])),
      ]),
      h("td", {}, number(loss[i])));
  }

  async function paint(canvas, i) {
    try {
      paintExample(canvas, await examples.pixels(i), shape, limits);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      said.textContent = error.message;
    }
  }

  state.on("view status lab predictions", look);
}
