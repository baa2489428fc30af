// The network view: what is shown of a trace, what is pointed at, forward or backward, step by step.
// columns.js says what there is, layout.js where, paint.js draws, details.js and steps.js tell.

import { limitOf, paintExample } from "/static/colors.js";
import { getBytes } from "/static/client.js";
import { activity, columnsOf, gradientAt, part } from "/static/columns.js";
import { details, nameOf } from "/static/details.js";
import { h, moving, sharp } from "/static/dom.js";
import { channelsOf, largest, strongest, worth } from "/static/edges.js";
import { integer, number, percent } from "/static/format.js";
import { layout } from "/static/layout.js";
import { hit, paint, spot, unitAt } from "/static/paint.js";
import { explain, knowsEdges, shownLeaf, stepName, stepsOf, strongestUnit } from "/static/steps.js";
import { mountWeights } from "/static/weights.js";

const MOST_EDGES = 320; // between two columns
const FOCUS_EDGES = 90; // of one neuron, to either side

export function mount(element, app) {
  const ui = build();
  element.append(ui.root);

  const view = {
    columns: [], geometry: null, values: [], limits: [], edges: [], known: [], image: null,
    backward: false, step: null, focus: null, told: null, wave: null, stepping: null, pinned: false,
  };
  let [steps, hover, pin] = [[], null, null];
  let signals = "signal";
  let dirty = { values: true, layout: true };
  let frame = 0;
  const weights = mountWeights(ui.weights, app, { point: (at) => point(at), pin: (at) => setPin(at) });

  // What a frame needs is computed in it, so that however much happens it is done once.
  function redraw(what = {}) {
    dirty = { values: dirty.values || !!what.values, layout: dirty.layout || !!what.layout };
    if (!frame) frame = requestAnimationFrame(render);
  }

  function render(time) {
    frame = 0;
    if (element.hidden || !view.columns.length) return;
    if (dirty.layout) place();
    if (app.trace && (dirty.values || dirty.layout)) compute();
    dirty = { values: false, layout: false };
    view.focus = focusOf(pin ?? hover);
    advance(time);
    paint(sharp(ui.canvas, view.geometry.width, view.geometry.height), view);
    if (view.wave) redraw();
  }

  function setLab() {
    view.columns = columnsOf(app.lab);
    steps = stepsOf(app.lab, view.columns);
    [hover, pin, view.step] = [null, null, null];
    Object.assign(view, { values: [], limits: [], edges: [], known: [], pinned: false });
    ui.verdict.replaceChildren(h("span", { class: "quiet" }, "compiling the network …"));
    showCard();
    ui.index.max = app.lab.dataset.splits[ui.split.value] - 1;
    buildSteps();
    redraw({ values: true, layout: true });
  }

  function place() {
    const { clientWidth: width, clientHeight: height } = ui.scroller;
    const names = Math.max(...app.lab.dataset.classes.map((name) => name.length));
    // How tall the labels are follows from the columns' places, which leave room for them.
    for (let [under, needed] = [0, 60]; needed > under;) {
      under = needed;
      view.geometry = layout(view.columns, Math.max(width, 300), Math.max(height, 260), { names, under });
      view.columns.forEach((column, k) => {
        column.fits = column.kind === "image" ? column.count : view.geometry.places[k].shown;
        column.page = Math.min(column.page ?? 0, Math.ceil(column.count / column.fits) - 1);
      });
      placeLabels();
      needed = 10 + Math.max(...[...ui.labels.querySelectorAll(".column-label")].map((label) => label.offsetHeight));
    }
    for (const column of view.columns) {
      if (column.fits >= column.count) column.order = column.slots = null;
      else arrange(column);
    }
    placeOutputs();
  }

  /** Of more neurons than fit, the most active come first. */
  function arrange(column) {
    const values = column.head === null ? part(app.trace, 0, "input") : part(app.trace, column.leaves.at(-1), "output");
    const active = values ? activity(column, values) : new Float32Array(column.count);
    column.order = Array.from(active.keys()).sort((a, b) => active[b] - active[a] || a - b);
    column.slots = new Int32Array(column.count).fill(-1);
    for (let slot = 0; slot < column.fits; slot++) {
      const unit = unitAt(column, slot);
      if (unit !== undefined) column.slots[unit] = slot;
    }
  }

  /** What the columns and edges show, of the trace, in this direction and at this step. */
  function compute() {
    const { trace } = app;
    const step = view.step === null ? null : steps[view.step];
    view.stepping = step ? step.column : null;
    const what = view.backward ? "gradient" : signals;
    view.columns.forEach((column, k) => {
      const leaf = !view.backward && step?.phase === "forward" && k === 0 ? -1 : shownLeaf(column, step);
      if (leaf === null) view.values[k] = null;
      else if (view.backward) view.values[k] = gradientAt(trace, leaf);
      else view.values[k] = leaf < 0 ? part(trace, 0, "input") : part(trace, leaf, "output");
      view.limits[k] = view.values[k] ? limitOf(view.values[k]) : 1;
      view.known[k] = knowsEdges(column, step);
      view.edges[k] = k ? strongest(trace, view.columns[k - 1], column, what, MOST_EDGES) : null;
    });
    ui.signals.hidden = view.backward;
    ui.gradients.hidden = !view.backward;
    ui.colored.textContent = view.backward ? "neurons: ∂L/∂activation" : "neurons: activation";
    showOutputs();
    countEdges();
    explainNow();
    if (pin ?? hover) showCard();
    weights.show();
  }

  /** All edges of what is pointed at, the strongest of them if there are many. */
  function focusOf(at) {
    if (!at || !app.trace) return null;
    if (at.gap !== undefined) {
      const ends = [{ column: at.gap - 1, unit: at.from }, { column: at.gap, unit: at.to }];
      const channel = view.columns[at.gap - 1].kind === "image" && view.columns[at.gap].links === "conv";
      return { edges: [at], units: channel ? ends.slice(1) : ends };
    }
    const { column: k, unit } = at;
    const what = view.backward ? "gradient" : signals;
    const edges = [];
    const collect = (gap, values, pairOf) => {
      if (!view.known[gap] || !values) return;
      const limit = limitOf(values);
      const kept = largest(values, FOCUS_EDGES, limit);
      for (const i of kept) edges.push({ gap, ...pairOf(i), value: values[i], limit });
    };
    if (k > 0) {
      const value = worth(app.trace, view.columns[k - 1], view.columns[k], what);
      const sources = sourcesOf(k);
      if (value) collect(k, Float32Array.from({ length: sources }, (_, i) => value(i, unit)), (from) => ({ from, to: unit }));
    }
    if (k + 1 < view.columns.length) {
      const next = view.columns[k + 1];
      const value = worth(app.trace, view.columns[k], next, what);
      const from = view.columns[k].kind === "image" && next.links === "conv" ? unit % view.columns[k].channels : unit;
      if (value) collect(k + 1, Float32Array.from({ length: next.count }, (_, j) => value(from, j)), (to) => ({ from, to }));
    }
    return { edges, units: [at] };
  }

  const sourcesOf = (k) =>
    view.columns[k].links === "dense" ? view.columns[k - 1].count : channelsOf(view.columns[k - 1]);

  // Names under the columns, pages of those that do not fit, and how many edges are drawn.
  function placeLabels() {
    const { places, foot, width, between } = view.geometry;
    ui.labels.replaceChildren();
    view.columns.forEach((column, k) => {
      const middle = (places[k].x + places[k].right) / 2;
      const label = h("div", { class: "column-label" },
        h("span", { class: "name" }, column.names[0]),
        column.names.length > 1 ? h("span", { class: "quiet" }, column.names.slice(1).join(", ")) : null,
        column.detail ? h("span", { class: "quiet small" }, column.detail) : null);
      label.style.left = `${middle}px`;
      label.style.top = `${foot}px`;
      label.style.maxWidth = `${places[k].right - places[k].x + between - 6}px`;
      if (column.fits < column.count) label.append(pager(column));
      ui.labels.append(label);
      column.note = null;
      if (!k || between < 78) return;
      const note = h("div", { class: "edge-label quiet small" });
      note.style.left = `${(places[k - 1].right + places[k].x) / 2}px`;
      column.note = note;
      ui.labels.append(note);
    });
    ui.stage.style.width = `${width}px`;
  }

  function pager(column) {
    const turn = (by) => {
      const pages = Math.ceil(column.count / column.fits);
      column.page = (column.page + by + pages) % pages;
      redraw({ values: true, layout: true });
    };
    const first = column.page * column.fits;
    const last = Math.min(first + column.fits, column.count);
    const more = column.count - column.fits;
    return h("span", { class: "pager small" },
      h("button", { class: "bare icon", type: "button", "aria-label": "Previous ones", onclick: () => turn(-1) }, "‹"),
      h("span", { class: "quiet", title: `${integer(first + 1)}–${integer(last)} of ${integer(column.count)}, the most active first` },
        column.page ? `${integer(first + 1)}–${integer(last)}` : `+ ${integer(more)}`),
      h("button", { class: "bare icon", type: "button", "aria-label": "Next ones", onclick: () => turn(1) }, "›"));
  }

  function countEdges() {
    view.columns.forEach((column, k) => {
      const edges = view.edges[k];
      if (!column.note) return;
      column.note.textContent = !edges || column.links === "pool" ? ""
        : edges.from.length < edges.total ? `${integer(edges.from.length)} of ${integer(edges.total)}` : integer(edges.total);
    });
  }

  // The classes with their probabilities, beside the last column.
  let rows = [];
  function placeOutputs() {
    const { classes } = app.lab.dataset;
    const [place, column] = [view.geometry.places.at(-1), view.columns.at(-1)];
    const beside = classes.length === column.count && place.pitch >= 17 && place.rows >= column.count;
    const pitch = beside ? place.pitch : 22;
    const count = Math.min(classes.length, Math.floor(view.geometry.free / pitch));
    const middle = (place.top + place.bottom) / 2;
    rows = Array.from({ length: count }, (_, i) => {
      const row = h("li", {}, h("span", { class: "class-name" }), h("span", { class: "bar" }, h("i")), h("span", { class: "share" }));
      row.style.height = `${pitch}px`;
      return row;
    });
    rows.beside = beside;
    ui.outputs.replaceChildren(...rows);
    ui.outputs.style.left = `${place.right + 12}px`;
    ui.outputs.style.top = `${middle - (count * pitch) / 2}px`;
    ui.outputs.style.width = `${view.geometry.outputs - 14}px`;
  }

  function showOutputs() {
    const { classes } = app.lab.dataset;
    const { target, predicted } = app.trace.header;
    const p = app.trace.arrays.probabilities.data;
    const known = view.backward || view.step === null || steps[view.step].phase !== "forward" || view.step === app.lab.layers.length - 1;
    const order = Array.from(p.keys());
    if (!rows.beside) order.sort((a, b) => p[b] - p[a] || a - b);
    rows.forEach((row, i) => {
      const k = order[i];
      row.className = [k === predicted && known ? "predicted" : "", k === target && trueKnown() ? "true" : ""].join(" ");
      row.title = classes[k];
      row.dataset.class = k;
      row.dataset.value = p[k];
      row.children[0].textContent = classes[k];
      row.children[1].firstChild.style.width = known ? `${100 * p[k]}%` : "0";
      row.children[2].textContent = known ? percent(p[k]) : "";
      row.setAttribute("aria-label", `${classes[k]}: ${percent(p[k])}${k === target && trueKnown() ? ", the right class" : ""}`);
    });
    const right = predicted === target;
    const loss = app.trace.arrays.loss.data[0];
    ui.verdict.replaceChildren(
      ...(trueKnown() ? [h("span", {}, "is ", h("b", {}, classes[target]), ", ")] : []),
      h("span", { class: trueKnown() && !right ? "wrong" : "" }, "taken for ", h("b", {}, classes[predicted]), trueKnown() ? (right ? " ✓" : " ✗") : ""),
      h("span", { class: "quiet", data: { value: String(loss) } }, ` · loss ${number(loss)}`));
  }

  const trueKnown = () => app.trace.header.given;

  // The walk through the layers.
  function buildSteps() {
    ui.track.replaceChildren(...steps.map((step, i) =>
      h("button", {
        type: "button", class: `dot ${step.phase}`, title: stepName(app.lab, step),
        "aria-label": `Step ${i + 1}: ${stepName(app.lab, step)}`, tabindex: -1, onclick: () => goTo(i),
      })));
  }

  function goTo(i) {
    const before = view.step;
    view.step = i === null ? null : Math.min(Math.max(i, 0), steps.length - 1);
    if (view.step !== null) view.backward = steps[view.step].phase === "backward";
    const step = steps[view.step];
    const fresh = step && step.phase !== "loss" && view.columns[step.column].head === step.leaf;
    view.wave = fresh && moving() && before !== view.step ? { gap: step.column, share: 0, since: null } : null;
    ui.direction.querySelector(`[value="${view.backward ? "backward" : "forward"}"]`).checked = true;
    redraw({ values: true });
  }

  function advance(time) {
    if (!view.wave) return;
    view.wave.since ??= time;
    view.wave.share = Math.min((time - view.wave.since) / 450, 1);
    if (view.wave.share === 1) view.wave = null;
  }

  /** The formula of this step, or of what is pointed at, or of the predicted output. */
  function explainNow() {
    if (!app.trace) return;
    const at = pin ?? hover;
    let step = view.step === null ? null : steps[view.step];
    let unit = null;
    if (step) {
      const column = view.columns[step.column];
      unit = at && at.column === step.column ? at.unit : at?.gap === step.column ? at.to : null;
      unit ??= strongestUnit(app.trace, column, step, app.lab);
      ui.stepTitle.textContent = `${view.step + 1} of ${steps.length} · ${stepName(app.lab, step)}`;
    } else {
      const k = at?.gap ?? (at?.column || view.columns.length - 1);
      const column = view.columns[k];
      unit = at?.gap !== undefined ? at.to : at?.column ? at.unit : app.trace.header.predicted;
      step = { phase: view.backward ? "backward" : "forward", leaf: column.head, column: k };
      ui.stepTitle.textContent = `${app.lab.layers[column.head].label} · ${nameOf(app.lab, view.columns, k, unit)}`;
    }
    view.told = view.step === null || step.phase === "loss" || at ? null : { column: step.column, unit };
    const { formulas, numbers } = explain(app, view.columns, step, unit, at?.pixel ?? null);
    ui.formula.replaceChildren(...formulas.map((formula) => h("span", {}, formula)));
    ui.numbers.replaceChildren(...(numbers ?? []));
    [...ui.track.children].forEach((dot, i) => {
      if (i === view.step) dot.setAttribute("aria-current", "step");
      else dot.removeAttribute("aria-current");
      dot.classList.toggle("done", view.step !== null && i < view.step);
    });
    ui.whole.disabled = view.step === null;
  }

  // Pointing and pinning.
  function point(at, x = null, y = null) {
    const same = JSON.stringify(at) === JSON.stringify(hover);
    hover = at;
    ui.canvas.style.cursor = at ? "pointer" : "";
    if (same) return;
    if (!pin) showCard(x, y);
    explainNow();
    redraw();
  }

  function setPin(at) {
    pin = at;
    view.pinned = !!pin; // before the next frame: a pointer may move until then
    showCard();
    explainNow();
    redraw();
  }

  function showCard() {
    const at = pin ?? hover;
    ui.card.hidden = !at || !app.trace;
    if (ui.card.hidden) return;
    ui.card.classList.toggle("pinned", !!pin);
    ui.card.replaceChildren(
      h("button", { class: "bare icon close", type: "button", "aria-label": "Close", onclick: () => { hover = null; setPin(null); ui.canvas.focus(); } }, "×"),
      ...details(app, view.columns, at));
    positionCard(at);
  }

  /** Beside what it tells about, where there is room, without covering it. */
  function positionCard(at) {
    if (!view.geometry || getComputedStyle(ui.card).position === "fixed") {
      ui.card.removeAttribute("style");
      return;
    }
    const k = at.gap ?? at.column;
    const where = view.geometry.places[k];
    const middle = view.columns[k].kind === "image" ? null : spot(view, k, at.gap === undefined ? at.unit : at.to);
    const y = (middle?.y ?? (where.top + where.bottom) / 2) + ui.stage.offsetTop;
    const shift = ui.stage.offsetLeft - ui.scroller.scrollLeft;
    const [w, t] = [ui.card.offsetWidth, ui.card.offsetHeight];
    const [width, height] = [ui.scroller.clientWidth, ui.scroller.clientHeight];
    const after = where.right + shift + 16;
    const left = after + w < width ? after : Math.max(where.x + shift - w - 16, 4);
    ui.card.style.left = `${left}px`;
    ui.card.style.top = `${Math.min(Math.max(y - t / 2, 6), Math.max(height - t - 6, 6))}px`;
  }

  function under(event, slack) {
    const box = ui.canvas.getBoundingClientRect();
    return hit(view, event.clientX - box.left, event.clientY - box.top, slack);
  }

  ui.canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch" && view.geometry && app.trace) point(under(event, 0));
  });
  ui.canvas.addEventListener("pointerleave", () => point(null));
  ui.canvas.addEventListener("click", (event) => {
    if (!view.geometry || !app.trace) return;
    const at = under(event, event.pointerType === "touch" ? 6 : 0);
    setPin(pin && JSON.stringify(pin) === JSON.stringify(at) ? null : at);
  });

  /** Arrow keys: up and down to the next neuron, with Shift to the side; Enter pins, Escape ends. */
  ui.canvas.addEventListener("keydown", (event) => {
    const last = view.columns.length - 1;
    const now = pin ?? hover ?? { column: last, unit: app.trace?.header.predicted ?? 0 };
    const k = now.column ?? now.gap;
    const unit = now.unit ?? now.to;
    const move = (column, to) => {
      const at = { column, unit: Math.min(Math.max(to, 0), view.columns[column].count - 1) };
      if (pin) setPin(at);
      else point(at);
      ui.spoken.textContent = [...ui.card.querySelectorAll("h3, tr")].map((e) => e.textContent).join(", ");
    };
    const by = view.columns[k].kind === "image" ? view.columns[k].channels * view.columns[k].width : 1;
    const keys = {
      ArrowUp: () => move(k, unit - (hover || pin ? by : 0)),
      ArrowDown: () => move(k, unit + (hover || pin ? by : 0)),
      Enter: () => setPin(pin ? null : now),
      Escape: () => { hover = null; setPin(null); },
    };
    if (event.shiftKey) {
      keys.ArrowLeft = () => move(Math.max(k - 1, 0), Math.floor((unit / view.columns[k].count) * view.columns[Math.max(k - 1, 0)].count));
      keys.ArrowRight = () => move(Math.min(k + 1, last), Math.floor((unit / view.columns[k].count) * view.columns[Math.min(k + 1, last)].count));
    }
    if (!keys[event.key] || !app.trace) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });

  document.addEventListener("keydown", (event) => {
    if (element.hidden || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    if (event.target.closest("input, select, textarea, [role='application'], [data-keys]")) return;
    if (event.key === "ArrowRight") goTo(view.step === null ? 0 : view.step + 1);
    else if (event.key === "ArrowLeft" && view.step !== null) goTo(view.step === 0 ? null : view.step - 1);
    else if (event.key === "Escape") { hover = null; setPin(null); goTo(null); }
    else return;
    event.preventDefault();
  });

  // Controls.
  ui.previous.addEventListener("click", () => goTo(view.step === null ? steps.length - 1 : view.step - 1));
  ui.next.addEventListener("click", () => goTo(view.step === null ? 0 : view.step + 1));
  ui.whole.addEventListener("click", () => goTo(null));
  ui.direction.addEventListener("change", ({ target }) => {
    view.backward = target.value === "backward";
    view.step = view.wave = null;
    redraw({ values: true });
  });
  ui.signals.addEventListener("change", () => {
    signals = ui.signals.value;
    redraw({ values: true });
  });

  const count = () => app.lab.dataset.splits[ui.split.value];
  const choose = (index) => {
    const wrapped = ((index % count()) + count()) % count();
    app.select({ split: ui.split.value, index: wrapped }, { view: null });
  };
  ui.split.addEventListener("change", () => choose(0));
  ui.index.addEventListener("change", () => {
    const index = Number(ui.index.value);
    if (Number.isInteger(index)) choose(Math.min(Math.max(index, 0), count() - 1));
  });
  ui.before.addEventListener("click", () => choose(Number(ui.index.value) - 1));
  ui.after.addEventListener("click", () => choose(Number(ui.index.value) + 1));
  ui.random.addEventListener("click", () => choose(Math.floor(Math.random() * count())));

  for (const [split, n] of Object.entries(app.lab.dataset.splits)) {
    if (n) ui.split.append(h("option", { value: split }, split));
  }

  async function showExample(example) {
    const { dataset } = app.lab;
    if (example.split) {
      ui.split.value = example.split;
      ui.index.value = example.index;
      ui.index.max = count() - 1;
    }
    ui.drawn.hidden = !example.pixels;
    for (const column of view.columns) column.page = 0;
    if (dataset.image) {
      const stored = example.pixels
        ? Uint8Array.from(example.pixels.flat(Infinity))
        : new Uint8Array(await getBytes(`/api/data/${example.split}/inputs?start=${example.index}&count=1`));
      if (example !== app.example) return;
      view.image = paintExample(document.createElement("canvas"), stored, dataset.shape, dataset.limits);
    }
    redraw({ values: true, layout: true });
  }

  app.on("lab", setLab);
  app.on("example", showExample);
  app.on("trace", () => redraw({ values: true }));
  app.on("theme", () => redraw({ values: true }));
  app.on("view", () => redraw({ values: true, layout: true }));
  new ResizeObserver(() => redraw({ layout: true })).observe(ui.scroller);
  setLab();

  // What tests and the curious may look at.
  app.network = { view, get steps() { return steps; }, get pin() { return pin; }, goTo, setPin, point, hit: (x, y) => hit(view, x, y, 0), spot: (k, unit) => spot(view, k, unit) };
}

/** The elements, by name. */
function build() {
  const ui = {};
  const button = (name, label, text) =>
    (ui[name] = h("button", { type: "button", class: "icon", "aria-label": label, title: label }, text));
  ui.split = h("select", { "aria-label": "Split" });
  ui.index = h("input", { type: "number", min: 0, step: 1, value: 0, "aria-label": "Index of the example" });
  ui.drawn = h("span", { class: "drawn small", hidden: true }, "your drawing");
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
  ui.labels = h("div", { class: "labels" });
  ui.outputs = h("ol", { class: "outputs", "aria-label": "Probabilities" });
  ui.stage = h("div", { class: "stage" }, ui.canvas, ui.labels, ui.outputs);
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
      h("div", { class: "group examples" }, button("before", "Previous example", "‹"), ui.split, ui.index, button("after", "Next example", "›"), button("random", "Any example", "⚄"), ui.drawn),
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
