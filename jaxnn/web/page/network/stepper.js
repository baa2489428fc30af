// The walk through the layers, step by step, and what each step computes.

import { h, moving } from "../dom.js";
import { nameOf } from "./details.js";
import { explain, stepName, strongestUnit } from "./steps.js";

const WAVE = 450; // milliseconds in which the edges of a step are drawn

/** `went()` is called when another step is shown. */
export function mountStepper(ui, view, went) {
  const { state } = view;

  function setLab() {
    ui.track.replaceChildren(...view.steps.map((step, i) =>
      h("button", {
        type: "button", class: `dot ${step.phase}`, title: stepName(state.lab, step),
        "aria-label": `Step ${i + 1}: ${stepName(state.lab, step)}`, tabindex: -1, onclick: () => goTo(i),
      })));
  }

  function goTo(i) {
    const before = view.step;
    view.step = i === null ? null : Math.min(Math.max(i, 0), view.steps.length - 1);
    const step = view.now;
    if (step) view.backward = step.phase === "backward";
    const fresh = step && step.phase !== "loss" && view.columns[step.column].head === step.leaf;
    view.wave = fresh && moving() && before !== view.step ? { gap: step.column, share: 0, since: null } : null;
    went();
  }

  /** To the next step, or by -1 to the one before. */
  function go(by) {
    if (view.step === null) goTo(by > 0 ? 0 : view.steps.length - 1);
    else goTo(view.step + by);
  }

  function advance(time) {
    if (!view.wave) return;
    view.wave.since ??= time;
    view.wave.share = Math.min((time - view.wave.since) / WAVE, 1);
    if (view.wave.share === 1) view.wave = null;
  }

  /** The formula of this step, or of what is pointed at, or of the predicted output. */
  function explainNow() {
    const { lab, trace } = state;
    if (!trace) return;
    const { at, columns } = view;
    let step = view.now;
    let unit = null;
    if (step) {
      const column = columns[step.column];
      unit = at && at.column === step.column ? at.unit : at?.gap === step.column ? at.to : null;
      unit ??= strongestUnit(trace, column, step, lab);
      ui.stepTitle.textContent = `${view.step + 1} of ${view.steps.length} · ${stepName(lab, step)}`;
    } else {
      const k = at?.gap ?? (at?.column || columns.length - 1);
      const column = columns[k];
      unit = at?.gap !== undefined ? at.to : at?.column ? at.unit : trace.header.predicted;
      step = { phase: view.backward ? "backward" : "forward", leaf: column.head, column: k };
      ui.stepTitle.textContent = `${lab.layers[column.head].label} · ${nameOf(lab, columns, k, unit)}`;
    }
    view.told = view.step === null || step.phase === "loss" || at ? null : { column: step.column, unit };
    const { formulas, numbers } = explain(state, columns, step, unit, at?.pixel ?? null);
    ui.formula.replaceChildren(...formulas.map((formula) => h("span", {}, formula)));
    ui.numbers.replaceChildren(...(numbers ?? []));
    [...ui.track.children].forEach((dot, i) => {
      if (i === view.step) dot.setAttribute("aria-current", "step");
      else dot.removeAttribute("aria-current");
      dot.classList.toggle("done", view.step !== null && i < view.step);
    });
    ui.whole.disabled = view.step === null;
  }

  ui.previous.addEventListener("click", () => go(-1));
  ui.next.addEventListener("click", () => go(1));
  ui.whole.addEventListener("click", () => goTo(null));
  return { setLab, goTo, go, advance, explainNow };
}
