// The Train panel: run, pause, step; the learning rate; what has come out so far; the network and
// the optimizer to change.

import { mountArchitecture } from "./architecture.js";
import { chart } from "./curves.js";
import { confirmed, h } from "../dom.js";
import { integer, number, percent } from "../format.js";

const [SLOWEST, FASTEST] = [-5, 1]; // powers of ten of the learning rate

/** Starting anew loses what was trained, which is to be meant. */
async function mayDiscard({ status, lab }) {
  if (!status?.step) return true;
  const kept = lab.source === "run" ? " The run on disk stays as it is." : "";
  return confirmed(`Fresh weights take the place of those after ${integer(status.step)} steps.${kept}`, "Start anew");
}

/** The charts of a metric: {elements, draw(reports, scale)}. */
function measured(key, label) {
  const title = label[0].toUpperCase() + label.slice(1);
  const share = key === "accuracy" || key === "macro_f1";
  const show = share ? percent : number;
  const whole = chart({ title, train: (r) => r[key], validation: (r) => r.validation[key], show });
  if (!share && key !== "r2") return { elements: whole.element, draw: whole.draw };
  // A share near 1 says little on a logarithmic axis: what is missing to 1 does.
  const wrong = (value) => (value === null ? null : 1 - value);
  const missing = chart({
    title: key === "accuracy" ? "Errors" : `1 − ${label}`,
    train: (r) => wrong(r[key]), validation: (r) => wrong(r.validation[key]), show,
  });
  return {
    elements: [whole.element, missing.element],
    draw(reports, scale) {
      whole.element.hidden = scale !== "linear";
      missing.element.hidden = scale === "linear";
      (scale === "linear" ? whole : missing).draw(reports, scale);
    },
  };
}

export function mountTrain(element, state) {
  const send = (message) => {
    if (!state.client.send(message)) complain("There is no connection to the lab.");
    else complain("");
  };
  const command = (type, text, title) =>
    h("button", { type: "button", title, data: { command: type }, onclick: () => send({ type }) }, text);
  const run = h("button", { type: "button", class: "primary run", onclick: () => send({ type: state.status?.running ? "pause" : "start" }) }, "Start");
  const reset = h("button", { type: "button", title: "Fresh weights", data: { command: "reset" }, onclick: async () => {
    if (await mayDiscard(state)) send({ type: "reset" });
  } }, "Reset");
  const problem = h("p", { class: "error", role: "alert" });
  const complain = (text) => { problem.textContent = text; };

  const readings = {};
  const reading = (name, label) =>
    h("div", {}, h("dt", {}, label), (readings[name] = h("dd", { data: { name } }, "–")));
  const table = h("dl", { class: "readings" },
    reading("epoch", "epoch"), reading("step", "step"),
    reading("speed", "examples/s"), reading("gflops", "GFLOP/s"));

  const slider = h("input", { type: "range", min: SLOWEST, max: FASTEST, step: 0.01, "aria-label": "Learning rate, on a logarithmic scale" });
  const rate = h("input", { type: "number", min: 0, step: "any", id: "learning-rate" });
  const scheduled = h("p", { class: "quiet small" });
  const setRate = (value) => {
    const learning_rate = Number(value);
    if (!(learning_rate > 0) || !Number.isFinite(learning_rate)) {
      rate.setAttribute("aria-invalid", "true");
      return complain("The learning rate must be a number above 0.");
    }
    rate.removeAttribute("aria-invalid");
    send({ type: "set", learning_rate });
  };
  slider.addEventListener("input", () => {
    rate.value = Number((10 ** slider.value).toPrecision(3));
    setRate(rate.value);
  });
  rate.addEventListener("change", () => {
    slider.value = Math.log10(rate.value);
    setRate(rate.value);
  });

  let scale = "log"; // a linear loss is soon flat
  const scales = h("fieldset", { class: "choice small" }, h("legend", { class: "visually-hidden" }, "Axes"),
    ["linear", "log", "log-log"].map((value) => h("label", {}, h("input", { type: "radio", name: "scale", value, checked: value === scale }), value)));
  scales.addEventListener("change", ({ target }) => {
    scale = target.value;
    drawCurves();
  });
  const loss = chart({ title: "Loss", train: (r) => r.loss, validation: (r) => r.validation.loss, show: number });
  const measures = Object.entries(state.lab.dataset.metrics).map(([key, label]) => measured(key, label));
  const health = h("ul", { class: "health", "aria-label": "Health", "aria-live": "polite" });
  const layers = h("details", { class: "architecture", open: matchMedia("(min-width: 900px)").matches }, h("summary", {}, state.client.can.configure.includes("model") ? "Network and optimizer" : "Start anew"));

  element.append(
    h("div", { class: "commands" }, run, command("step", "Step", "One step: one batch"), command("epoch", "Epoch", "To the end of the epoch"), reset),
    problem,
    table,
    h("div", { class: "rate" }, h("label", { for: "learning-rate" }, "Learning rate"), rate, slider, scheduled),
    h("div", { class: "curves" }, h("div", { class: "line" }, h("h2", {}, "Curves"), scales), loss.element, measures.flatMap(({ elements }) => elements)),
    health);
  let takesFailure = () => false;
  if (state.client.can.configure.length) {
    element.append(layers);
    takesFailure = mountArchitecture(layers, state, mayDiscard);
  }

  function drawCurves() {
    loss.draw(state.reports, scale);
    for (const measure of measures) measure.draw(state.reports, scale);
  }

  const put = (name, value, text) => {
    readings[name].textContent = text;
    readings[name].dataset.value = value ?? "";
  };

  function showStatus({ status }) {
    run.textContent = status.running ? "Pause" : "Start";
    run.setAttribute("aria-label", status.running ? "Pause training" : "Start training");
    element.classList.toggle("running", status.running);
    element.classList.toggle("compiling", status.compiling);
    put("epoch", status.epoch, status.epoch.toFixed(2));
    put("step", status.step, integer(status.step));
    if (status.learning_rate !== null) {
      if (document.activeElement !== rate) rate.value = Number(status.learning_rate.toPrecision(4));
      if (document.activeElement !== slider && status.learning_rate > 0) slider.value = Math.log10(status.learning_rate);
    }
    rate.disabled = slider.disabled = status.learning_rate === null;
  }

  function showReports({ reports }) {
    const last = reports.at(-1);
    put("speed", last?.examples_per_second, last ? integer(Number(last.examples_per_second.toPrecision(3))) : "–");
    put("gflops", last?.gflops, last ? number(last.gflops) : "–");
    const sentences = reports.flatMap(({ warnings, epoch }) => (warnings ?? []).map((text) => [epoch, text])).slice(-4);
    if (health.children.length !== sentences.length || health.lastChild?.dataset.text !== sentences.at(-1)?.[1]) {
      health.replaceChildren(...sentences.map(([epoch, text]) =>
        h("li", { data: { text } }, h("span", { class: "quiet" }, `epoch ${epoch.toFixed(2)}: `), text)));
    }
    drawCurves();
  }

  function showLab({ lab: { config } }) {
    const [options] = typeof config.optimizer === "string" ? [{}] : Object.values(config.optimizer);
    const follows = options?.learning_rate;
    const name = follows && typeof follows === "object" ? Object.keys(follows)[0].replaceAll("_", " ") : null;
    scheduled.textContent = name ? `follows a schedule (${name}) until you change it` : "";
  }

  state.on("status", showStatus);
  state.on("reports", showReports);
  state.on("theme", drawCurves);
  state.on("lab", showLab);
  state.on("failure", ({ failure: { message } }) => {
    if (!takesFailure(message)) complain(message);
  });
  state.on("connected", ({ connected }) => {
    for (const button of element.querySelectorAll(".commands button")) button.disabled = !connected;
  });
  showLab(state);
  showReports(state);
}
