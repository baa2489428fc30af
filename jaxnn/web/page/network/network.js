// The network view: forward or backward, all at once or step by step. view.js says what is shown, columns.js
// what there is, layout.js where, paint.js draws; details.js and steps.js tell.

import { Problem } from "../client.js";
import { paintExample } from "../colors.js";
import { h, sharp } from "../dom.js";
import { mountCard } from "./card.js";
import { chooser } from "./chooser.js";
import { mountLabels } from "./labels.js";
import { mountOutputs } from "./outputs.js";
import { hit, paint, spot } from "./paint.js";
import { mountPointing } from "./pointing.js";
import { mountStepper } from "./stepper.js";
import { View } from "./view.js";
import { mountWeights } from "./weights.js";

export function mountNetwork(element, state) {
  const ui = build(state);
  element.append(ui.root);
  const view = new View(state);
  let dirty = { values: true, layout: true };
  let frame = 0;

  const labels = mountLabels(ui.stage, view, () => redraw({ values: true, layout: true }));
  const outputs = mountOutputs(ui.stage, ui.verdict, view);
  const card = mountCard(ui.card, ui.scroller, ui.stage, view, () => {
    leave();
    ui.canvas.focus();
  });
  const stepper = mountStepper(ui, view, () => {
    ui.direction.querySelector(`[value="${view.backward ? "backward" : "forward"}"]`).checked = true;
    redraw({ values: true });
  });
  const weights = mountWeights(ui.weights, state, { point, pin: setPin });
  mountPointing(ui.canvas, view, { point, pin: setPin, leave, told: () => { ui.spoken.textContent = card.text(); } });

  // What a frame needs is computed in it, so that however much happens it is done once.
  function redraw(what = {}) {
    dirty = { values: dirty.values || !!what.values, layout: dirty.layout || !!what.layout };
    if (!frame) frame = requestAnimationFrame(render);
  }

  function render(time) {
    frame = 0;
    if (element.hidden || !view.columns.length) return;
    if (dirty.layout) place();
    if (state.trace && (dirty.values || dirty.layout)) show();
    dirty = { values: false, layout: false };
    view.findFocus();
    stepper.advance(time);
    paint(sharp(ui.canvas, view.geometry.width, view.geometry.height), view);
    if (view.wave) redraw();
  }

  function place() {
    const { clientWidth: width, clientHeight: height } = ui.scroller;
    view.place(width, height, () => {
      ui.stage.style.width = `${view.geometry.width}px`;
      return labels.place();
    });
    outputs.place();
  }

  function show() {
    view.compute();
    ui.signals.hidden = view.backward;
    ui.gradients.hidden = !view.backward;
    ui.colored.textContent = view.backward ? "neurons: ∂L/∂activation" : "neurons: activation";
    outputs.show();
    labels.countEdges();
    stepper.explainNow();
    if (view.at) card.show();
    weights.show();
  }

  function setLab() {
    view.setLab();
    ui.verdict.replaceChildren(h("span", { class: "quiet" }, "waiting for the network …"));
    card.show();
    stepper.setLab();
    redraw({ values: true, layout: true });
  }

  function point(at) {
    const same = JSON.stringify(at) === JSON.stringify(view.hover);
    view.hover = at;
    ui.canvas.style.cursor = at ? "pointer" : "";
    if (same) return;
    if (!view.pin) card.show();
    stepper.explainNow();
    redraw();
  }

  function setPin(at) {
    view.pin = at;
    card.show();
    stepper.explainNow();
    redraw();
  }

  function leave() {
    view.hover = null;
    setPin(null);
  }

  document.addEventListener("keydown", (event) => {
    if (element.hidden || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest("input, select, textarea, [role='application'], [data-keys]")) return;
    if (event.key === "ArrowRight") stepper.go(1);
    else if (event.key === "ArrowLeft" && view.step !== null) stepper.goTo(view.step === 0 ? null : view.step - 1);
    else if (event.key === "Escape") {
      leave();
      stepper.goTo(null);
    } else return;
    event.preventDefault();
  });
  ui.direction.addEventListener("change", ({ target }) => {
    view.backward = target.value === "backward";
    view.step = view.wave = null;
    redraw({ values: true });
  });
  ui.signals.addEventListener("change", () => {
    view.signals = ui.signals.value;
    redraw({ values: true });
  });

  async function showExample({ example, examples, lab: { dataset } }) {
    for (const column of view.columns) column.page = 0;
    if (dataset.image) {
      try {
        const stored = example.pixels?.data ?? (await examples.pixels(examples.number(example)));
        if (example !== state.example) return;
        view.image = paintExample(document.createElement("canvas"), stored, dataset.shape, dataset.limits);
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        state.change({ notice: error.message });
      }
    }
    redraw({ values: true, layout: true });
  }

  state.on("lab", setLab);
  state.on("example", showExample);
  state.on("trace theme", () => redraw({ values: true }));
  state.on("view", () => redraw({ values: true, layout: true }));
  new ResizeObserver(() => redraw({ layout: true })).observe(ui.scroller);
  setLab();

  // What tests and the curious may look at.
  state.network = {
    view, goTo: stepper.goTo, setPin, point,
    hit: (x, y) => hit(view, x, y, 0), spot: (k, unit) => spot(view, k, unit),
  };
}

/** The elements, by name. */
function build(state) {
  const ui = {};
  const button = (name, label, text) =>
    (ui[name] = h("button", { type: "button", class: "icon", "aria-label": label, title: label }, text));
  ui.verdict = h("span", { class: "verdict", "aria-live": "polite" });
  ui.direction = h("fieldset", { class: "choice" },
    h("legend", { class: "visually-hidden" }, "Direction"),
    ["forward", "backward"].map((value, i) =>
      h("label", {}, h("input", { type: "radio", name: "direction", value, checked: i === 0 }), value === "forward" ? "Forward" : "Backward")));
  ui.signals = h("select", { "aria-label": "What edges show", title: "What edges show, forward" },
    h("option", { value: "signal" }, "weight × value"), h("option", { value: "weight" }, "weight"));
  ui.gradients = h("span", { hidden: true }, "∂L/∂weight");
  ui.colored = h("span", { class: "quiet" });
  ui.canvas = h("canvas", {
    tabindex: 0, role: "application",
    "aria-label": "The network. Up and down: next neuron; with Shift, left and right: next layer; Enter: keep its card; Escape: close it.",
  });
  ui.stage = h("div", { class: "stage" }, ui.canvas);
  ui.scroller = h("div", { class: "scroller" }, ui.stage);
  ui.card = h("div", { class: "card", hidden: true, role: "group", "aria-label": "Details" });
  ui.spoken = h("p", { class: "visually-hidden", "aria-live": "polite" });
  ui.track = h("div", { class: "track", role: "group", "aria-label": "Steps" });
  ui.stepTitle = h("h2", {});
  ui.formula = h("p", { class: "formula" });
  ui.numbers = h("p", { class: "sum", "aria-live": "off" });
  ui.weights = h("div", { class: "weights" });
  ui.whole = h("button", { type: "button", title: "Leave the steps: show all at once (Esc)" }, "All at once");
  ui.root = h("div", { class: "network" },
    h("div", { class: "toolbar" },
      chooser(state),
      ui.verdict,
      h("div", { class: "group end" }, h("label", { class: "edges" }, "Edges ", ui.signals, ui.gradients), ui.direction)),
    h("div", { class: "picture" }, ui.scroller, ui.card, ui.spoken, key(ui.colored)),
    h("div", { class: "explain" },
      h("div", { class: "stepper" },
        button("previous", "Previous step (←)", "←"), ui.track, button("next", "Next step (→)", "→"), ui.whole),
      h("div", { class: "told" }, ui.stepTitle, ui.formula, ui.numbers)),
    ui.weights);
  return ui;
}

/** What the colours mean. */
const key = (colored) =>
  h("p", { class: "key small" }, colored,
    h("span", { class: "negative" }, "negative"), h("i", { class: "ramp" }), h("span", { class: "positive" }, "positive"));
