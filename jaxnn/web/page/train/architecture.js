// The network as an editable list of layers, each with the activation that follows it, and the
// optimizer. What makes sense is the server's to say; its errors stand where they belong.

import { h } from "../dom.js";

/** Kinds of layers after which no activation is offered. */
const PLAIN = ["passing", "pooling"];

/** A layer of a config, "relu" or {dense: {units: 10}} or {dense: 10}, as {name, options}. */
function parse(layer, types = {}) {
  if (typeof layer === "string") return { name: layer, options: {} };
  if (Array.isArray(layer)) return { name: "serial", options: { layers: layer } };
  const [[name, options]] = Object.entries(layer);
  const plain = options !== null && typeof options === "object" && !Array.isArray(options);
  return { name, options: plain ? { ...options } : { [Object.keys(types[name]?.defaults ?? { layers: 1 })[0]]: options } };
}

const written = ({ name, options }) => (Object.keys(options).length ? { [name]: options } : name);

/** Layers of a config as rows {name, options, activation, at: index in the config}. */
function rowsOf(model, types) {
  const rows = [];
  const nothing = Object.keys(types).find((name) => types[name].kind === "nothing");
  [model].flat().forEach((layer, at) => {
    const { name, options } = parse(layer, types);
    const last = rows.at(-1);
    if (types[name]?.kind !== "activation") rows.push({ name, options, activation: null, at });
    else if (last && !last.activation) last.activation = { name, options };
    else rows.push({ name: nothing, options: {}, activation: { name, options }, at });
  });
  return rows;
}

function modelOf(rows, types) {
  const model = [];
  for (const row of rows) {
    row.at = model.length;
    if (types[row.name]?.kind !== "nothing" || !row.activation) model.push(written(row));
    if (row.activation) model.push(written(row.activation));
  }
  return model;
}

/** What a new layer of that name is given; units as said, if it has any. */
function initial({ fields }, units = null) {
  const options = Object.entries(fields).map(([name, value]) => [name, name === "units" ? (units ?? value) : value]);
  return Object.fromEntries(options.filter(([, value]) => value !== null));
}

/** Fills the element; returns a function that takes an error of the client's, and whether it was one of here. */
export function mountArchitecture(element, state, mayDiscard) {
  let rows = [];
  let pending = false;
  const list = h("ol", { class: "layers", "aria-label": "Layers" });
  const start = h("select", { "aria-label": "Start from a network" }, h("option", { value: "" }, "Start from …"),
    Object.keys(state.lab.networks).map((name) => h("option", {}, name)));
  const optimizer = h("select", { "aria-label": "Optimizer", id: "optimizer" });
  const settings = h("div", { class: "settings" });
  const { configure, batch_sizes: sizes } = state.client.can;
  const batch = sizes
    ? h("select", { id: "batch-size" }, sizes.map((n) => h("option", {}, n)))
    : h("input", { type: "number", min: 1, step: 1, id: "batch-size" });
  const seed = h("input", { type: "number", min: 0, step: 1, id: "seed" });
  const problem = h("p", { class: "error", role: "alert" });
  const apply = h("button", { type: "submit", class: "primary" }, "Apply");
  const revert = h("button", { type: "button" }, "Undo");
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
    const activations = Object.keys(types).filter((name) => types[name].kind === "activation");
    const known = Object.keys(types).filter((name) => !["activation", "combined"].includes(types[name].kind));
    list.replaceChildren(...rows.map((row, i) => {
      const type = types[row.name];
      const names = known.includes(row.name) ? known : [row.name, ...known];
      const kind = h("select", { "aria-label": `Layer ${i + 1}`, class: "kind" }, names.map((name) => h("option", { selected: name === row.name }, name)));
      kind.addEventListener("change", () => {
        row.options = initial(types[kind.value], row.options.units);
        row.name = kind.value;
        changed();
        draw();
      });
      const [first, ...others] = Object.keys(type?.fields ?? {}).map((name) => [name, field(row, name, i)]);
      const labelled = ([name, input]) => h("label", {}, name === "padding" ? null : name, input);
      const activation = h("select", { "aria-label": `Activation of layer ${i + 1}`, class: "activation" },
        h("option", { value: "" }, "–"), activations.map((name) => h("option", { selected: row.activation?.name === name }, name)));
      activation.addEventListener("change", () => {
        row.activation = activation.value ? { name: activation.value, options: {} } : null;
        changed();
      });
      const add = h("button", { type: "button", class: "bare icon", "aria-label": `Add a layer after layer ${i + 1}`, title: "Add a layer after this one", onclick: () => {
        const { layer, activation: next } = state.lab.new_layer;
        const name = type?.kind === "convolution" ? row.name : layer;
        const options = initial(types[name], name === row.name ? row.options.units : null);
        rows.splice(i + 1, 0, { name, options, activation: { name: next, options: {} } });
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
      const acts = row.activation || !PLAIN.includes(type?.kind);
      return h("li", {},
        kind, first ? (first[0] === "units" ? first[1] : labelled(first)) : null, acts ? activation : null,
        h("span", { class: "row-buttons" }, add, remove),
        others.length ? h("div", { class: "more" }, others.map(labelled)) : null,
        h("p", { class: "error", role: "alert" }));
    }));
  }

  function field(row, name, i) {
    const value = row.options[name] ?? state.lab.layer_types[row.name].defaults[name] ?? "";
    const label = `${name} of layer ${i + 1}`;
    const simple = typeof value === "number" || value === "";
    if (name === "padding" && typeof value === "string") {
      const select = h("select", { "aria-label": label, title: label }, ["SAME", "VALID"].map((one) => h("option", { selected: one === value }, one)));
      select.addEventListener("change", () => { row.options.padding = select.value; changed(); });
      return select;
    }
    const input = h("input", {
      type: simple ? "number" : "text", step: name === "rate" ? 0.05 : 1, min: 0, "aria-label": label,
      title: name, value: simple ? value : JSON.stringify(value), class: name,
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
      batch_size: whole(batch), seed: whole(seed), optimizer: { [optimizer.value]: chosen }, model: modelOf(rows, state.lab.layer_types),
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
    const { networks, layer_types: types } = state.lab;
    rows = rowsOf(networks[start.value], types);
    start.value = "";
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
