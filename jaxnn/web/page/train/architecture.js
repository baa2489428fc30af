// The network as an editable list of layers, each with the activation that follows it, and the
// optimizer. What makes sense is the server's to say; its errors stand where they belong.

import { parse, written } from "../config.js";
import { h } from "../dom.js";

const ACTIVATIONS = ["relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus", "softmax", "log_softmax"];
/** Layers after which no activation is offered. */
const PLAIN = ["flatten", "reshape", "dropout", "max_pool", "avg_pool", "global_avg_pool"];
const COMBINED = ["parallel", "rematerialize", "serial", "shortcut"];
/** The arguments that a row has fields for; the others stay as they are. */
const FIELDS = {
  dense: ["units"],
  conv2d: ["units", "size", "stride", "padding"],
  max_pool: ["size"],
  avg_pool: ["size"],
  dropout: ["rate"],
  group_norm: ["groups"],
  reshape: ["shape"],
};
const LABELS = { units: "units", size: "size", stride: "stride", padding: "padding", rate: "rate", groups: "groups", shape: "shape" };

/** Layers of a config as rows {name, options, activation, at: index in the config}. */
function rowsOf(model, types) {
  const rows = [];
  [model].flat().forEach((layer, at) => {
    const { name, options } = parse(layer, types);
    const last = rows.at(-1);
    if (ACTIVATIONS.includes(name) && last && !last.activation) last.activation = { name, options };
    else if (ACTIVATIONS.includes(name)) rows.push({ name: "identity", options: {}, activation: { name, options }, at });
    else rows.push({ name, options, activation: null, at });
  });
  return rows;
}

function modelOf(rows) {
  const model = [];
  for (const row of rows) {
    row.at = model.length;
    if (row.name !== "identity" || !row.activation) model.push(written(row));
    if (row.activation) model.push(written(row.activation));
  }
  return model;
}

const dense = (units) => ({ name: "dense", options: { units }, activation: null });
const withRelu = (row) => ({ ...row, activation: { name: "relu", options: {} } });
const conv = (units) => withRelu({ name: "conv2d", options: { units, size: 3 }, activation: null });
const pool = () => ({ name: "max_pool", options: { size: 2 }, activation: null });
const flatten = () => ({ name: "flatten", options: {}, activation: null });

const STARTS = {
  "No hidden layer": (classes) => [flatten(), dense(classes)],
  "Small: 16, 16": (classes) => [flatten(), withRelu(dense(16)), withRelu(dense(16)), dense(classes)],
  "One hidden layer: 128": (classes) => [flatten(), withRelu(dense(128)), dense(classes)],
  "Two: 256, 256": (classes) => [flatten(), withRelu(dense(256)), withRelu(dense(256)), dense(classes)],
  Convolutional: (classes) => [conv(8), pool(), conv(16), pool(), flatten(), withRelu(dense(32)), dense(classes)],
};

/** Fills the element; returns a function that takes an error of the client's, and whether it was one of here. */
export function mountArchitecture(element, state, mayDiscard) {
  let rows = [];
  let pending = false;
  const list = h("ol", { class: "layers", "aria-label": "Layers" });
  const start = h("select", { "aria-label": "Start from a network" }, h("option", { value: "" }, "Start from …"),
    Object.keys(STARTS).map((name) => h("option", {}, name)));
  const optimizer = h("select", { "aria-label": "Optimizer", id: "optimizer" });
  const settings = h("div", { class: "settings" });
  const batch = h("input", { type: "number", min: 1, step: 1, id: "batch-size" });
  const seed = h("input", { type: "number", min: 0, step: 1, id: "seed" });
  const problem = h("p", { class: "error", role: "alert" });
  const apply = h("button", { type: "submit", class: "primary" }, "Apply");
  const revert = h("button", { type: "button" }, "Undo");
  const { configure } = state.client.can;
  const part = (name, ...elements) => (configure.includes(name) ? elements : []);
  const line = (label, input) => h("div", { class: "line" }, h("label", { for: input.id }, label), input);
  const form = h("form", { novalidate: true },
    part("model", h("div", { class: "line" }, h("h2", {}, "Layers"), start), list),
    part("optimizer", line("Optimizer", optimizer), settings),
    part("batch_size", line("Batch size", batch)),
    part("seed", line("Seed", seed)),
    problem,
    h("div", { class: "line buttons" }, apply, revert, h("span", { class: "quiet small" }, "starts anew")));
  element.append(form);

  function changed() {
    apply.disabled = revert.disabled = pending;
    form.classList.toggle("changed", true);
  }

  /** The fields show what the lab has. */
  function show() {
    const { config, optimizers, layer_types: types } = state.lab;
    rows = rowsOf(config.model, types);
    const { name, options } = parse(config.optimizer);
    optimizer.replaceChildren(...Object.keys({ ...optimizers, [name]: 1 }).map((key) => h("option", { value: key }, key)));
    optimizer.value = name;
    showSettings({ ...optimizers[name], ...options });
    batch.value = config.training.batch_size;
    seed.value = config.seed;
    problem.textContent = "";
    form.classList.remove("changed");
    apply.disabled = revert.disabled = true;
    draw();
  }

  function showSettings(options) {
    settings.replaceChildren(...Object.entries(options).map(([name, value]) => {
      if (name === "learning_rate" || (typeof value !== "number" && typeof value !== "boolean")) return null;
      const input = typeof value === "boolean"
        ? h("input", { type: "checkbox", checked: value, data: { name } })
        : h("input", { type: "number", step: "any", value, data: { name } });
      return h("label", {}, h("span", {}, name.replaceAll("_", " ")), input);
    }).filter(Boolean));
  }

  function draw() {
    const { layer_types: types } = state.lab;
    const known = Object.keys(types).filter((name) => !ACTIVATIONS.includes(name) && !COMBINED.includes(name));
    list.replaceChildren(...rows.map((row, i) => {
      const names = known.includes(row.name) ? known : [row.name, ...known];
      const kind = h("select", { "aria-label": `Layer ${i + 1}`, class: "kind" }, names.map((name) => h("option", { selected: name === row.name }, name)));
      kind.addEventListener("change", () => {
        const kept = row.name === "dense" || row.name === "conv2d" ? row.options.units : null;
        row.name = kind.value;
        row.options = {};
        for (const field of FIELDS[row.name] ?? []) {
          const initial = { units: kept ?? 32, rate: 0.2, groups: 4 }[field] ?? types[row.name][field];
          if (initial !== null && initial !== undefined) row.options[field] = initial;
        }
        changed();
        draw();
      });
      const [first, ...others] = (FIELDS[row.name] ?? []).map((name) => [name, field(row, name, i)]);
      const labelled = ([name, input]) => h("label", {}, name === "padding" ? null : LABELS[name], input);
      const activation = h("select", { "aria-label": `Activation of layer ${i + 1}`, class: "activation" },
        h("option", { value: "" }, "–"), ACTIVATIONS.map((name) => h("option", { selected: row.activation?.name === name }, name)));
      activation.addEventListener("change", () => {
        row.activation = activation.value ? { name: activation.value, options: {} } : null;
        changed();
      });
      const add = h("button", { type: "button", class: "bare icon", "aria-label": `Add a layer after layer ${i + 1}`, title: "Add a layer after this one", onclick: () => {
        const like = row.name === "conv2d" ? conv(row.options.units) : withRelu(dense(32));
        rows.splice(i + 1, 0, like);
        changed();
        draw();
        list.children[i + 1].querySelector("input, select").focus();
      } }, "+");
      const remove = h("button", { type: "button", class: "bare icon", "aria-label": `Remove layer ${i + 1}`, title: "Remove", onclick: () => {
        rows.splice(i, 1);
        changed();
        draw();
        (list.children[Math.min(i, rows.length - 1)]?.querySelector("button") ?? start).focus();
      } }, "×");
      const acts = row.activation || !PLAIN.includes(row.name);
      return h("li", {},
        kind, first ? (first[0] === "units" ? first[1] : labelled(first)) : null, acts ? activation : null,
        h("span", { class: "row-buttons" }, add, remove),
        others.length ? h("div", { class: "more" }, others.map(labelled)) : null,
        h("p", { class: "error", role: "alert" }));
    }));
  }

  function field(row, name, i) {
    const value = row.options[name] ?? state.lab.layer_types[row.name]?.[name] ?? "";
    const label = `${LABELS[name]} of layer ${i + 1}`;
    const simple = typeof value === "number" || value === "";
    if (name === "padding" && typeof value === "string") {
      const select = h("select", { "aria-label": label, title: label }, ["SAME", "VALID"].map((one) => h("option", { selected: one === value }, one)));
      select.addEventListener("change", () => { row.options.padding = select.value; changed(); });
      return select;
    }
    const input = h("input", {
      type: simple ? "number" : "text", step: name === "rate" ? 0.05 : 1, min: 0, "aria-label": label,
      title: LABELS[name], value: simple ? value : JSON.stringify(value), class: name,
    });
    input.addEventListener("input", () => {
      try {
        row.options[name] = JSON.parse(input.value || "null");
      } catch {
        row.options[name] = input.value; // the server says what is wrong with it
      }
      changed();
    });
    return input;
  }

  function clearErrors() {
    for (const element of form.querySelectorAll(".error")) element.textContent = "";
    for (const element of form.querySelectorAll("[aria-invalid]")) element.removeAttribute("aria-invalid");
  }

  /** An error stands under the row of the layer that it names, or else under all. */
  function tell(message) {
    clearErrors();
    // "model.2.dense: …" counts entries of the list; "model: layer 2 (dense): …" too.
    const found = message.match(/^model\.(\d+)/) ?? message.match(/^model: layer (\d+)/);
    const index = found ? rows.findLastIndex(({ at }) => at <= Number(found[1])) : -1;
    const place = list.children[index];
    if (place) {
      place.querySelector(".error").textContent = message;
      for (const input of place.querySelectorAll("input, .kind")) input.setAttribute("aria-invalid", "true");
      return;
    }
    problem.textContent = message;
    const named = { optimizer, batch_size: batch, seed };
    for (const [name, input] of Object.entries(named)) {
      if (new RegExp(`\\b${name}\\b`).test(message.split(":")[0] + message.slice(0, 40))) input.setAttribute("aria-invalid", "true");
    }
  }

  const whole = (input) => (input.value.trim() === "" ? null : Number(input.value));

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clearErrors();
    if (!(await mayDiscard(state))) return;
    const options = { ...parse(state.lab.config.optimizer) };
    const chosen = options.name === optimizer.value ? { ...options.options } : { learning_rate: state.lab.optimizers[optimizer.value].learning_rate };
    for (const input of settings.querySelectorAll("input")) {
      chosen[input.dataset.name] = input.type === "checkbox" ? input.checked : whole(input);
    }
    const values = {
      batch_size: whole(batch), seed: whole(seed), optimizer: { [optimizer.value]: chosen }, model: modelOf(rows),
    };
    const changes = Object.fromEntries(configure.map((name) => [name, values[name]]));
    pending = state.client.send({ type: "configure", ...changes });
    if (pending) apply.disabled = revert.disabled = true;
    else tell("There is no connection to the lab.");
  });
  revert.addEventListener("click", show);
  form.addEventListener("input", changed);
  optimizer.addEventListener("change", () => showSettings(state.lab.optimizers[optimizer.value]));
  start.addEventListener("change", () => {
    if (!start.value) return;
    rows = STARTS[start.value](state.lab.dataset.classes.length);
    if (state.lab.dataset.shape.length === 1) rows = rows.filter(({ name }) => name !== "flatten");
    start.value = "";
    modelOf(rows);
    changed();
    draw();
  });

  state.on("lab", () => { pending = false; show(); });
  show();

  return (message) => {
    if (!pending) return false;
    pending = false;
    changed();
    tell(message);
    return true;
  };
}
