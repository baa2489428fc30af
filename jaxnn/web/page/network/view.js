// What the network view shows: of the trace, in which direction, at which step, and what is pointed at.

import { limitOf } from "../colors.js";
import { activity, columnsOf, gradientAt, part } from "./columns.js";
import { channelsOf, largest, strongest, worth } from "./edges.js";
import { layout } from "./layout.js";
import { unitAt } from "./paint.js";
import { knowsEdges, shownLeaf, stepsOf } from "./steps.js";

const MOST_EDGES = 320; // between two columns
const FOCUS_EDGES = 90; // of one neuron, to either side

/** The fields are what paint.js draws, and what says how they come about. */
export class View {
  columns = [];
  steps = []; // of the walk through the layers
  geometry = null;
  values = [];
  limits = [];
  edges = [];
  known = [];
  image = null; // a canvas
  backward = false;
  signals = "signal"; // what edges show forward: see `worth` in edges.js
  step = null; // its number in steps, or null: all is shown at once
  stepping = null; // its column
  told = null;
  focus = null;
  wave = null;
  hover = null; // what is pointed at, as `hit` in paint.js says it
  pin = null; // what stays pointed at

  constructor(state) {
    this.state = state;
  }

  get at() {
    return this.pin ?? this.hover;
  }

  get pinned() {
    return !!this.pin;
  }

  /** The step that is shown, or null. */
  get now() {
    return this.step === null ? null : this.steps[this.step];
  }

  setLab() {
    this.columns = columnsOf(this.state.lab);
    this.steps = stepsOf(this.state.lab, this.columns);
    Object.assign(this, { hover: null, pin: null, step: null, values: [], limits: [], edges: [], known: [] });
  }

  /** Finds places for all within a size; `label()` places the names under them and returns their height. */
  place(width, height, label) {
    const names = Math.max(...this.state.lab.dataset.classes.map((name) => name.length));
    // How tall the labels are follows from the columns' places, which leave room for them.
    for (let [under, needed] = [0, 60]; needed > under;) {
      under = needed;
      this.geometry = layout(this.columns, Math.max(width, 300), Math.max(height, 260), { names, under });
      this.columns.forEach((column, k) => {
        column.fits = column.kind === "image" ? column.count : this.geometry.places[k].shown;
        column.page = Math.min(column.page ?? 0, Math.ceil(column.count / column.fits) - 1);
      });
      needed = 10 + label();
    }
    for (const column of this.columns) {
      if (column.fits >= column.count) column.order = column.slots = null;
      else this.#arrange(column);
    }
  }

  /** Of more neurons than fit, the most active come first. */
  #arrange(column) {
    const { trace } = this.state;
    const values = column.head === null ? part(trace, 0, "input") : part(trace, column.leaves.at(-1), "output");
    const active = values ? activity(column, values) : new Float32Array(column.count);
    column.order = Array.from(active.keys()).sort((a, b) => active[b] - active[a] || a - b);
    column.slots = new Int32Array(column.count).fill(-1);
    for (let slot = 0; slot < column.fits; slot++) {
      const unit = unitAt(column, slot);
      if (unit !== undefined) column.slots[unit] = slot;
    }
  }

  /** What edges show in this direction. */
  get #worth() {
    return this.backward ? "gradient" : this.signals;
  }

  /** What the columns and edges show, of the trace, in this direction and at this step. */
  compute() {
    const { trace } = this.state;
    const step = this.now;
    this.stepping = step ? step.column : null;
    this.columns.forEach((column, k) => {
      const leaf = !this.backward && step?.phase === "forward" && k === 0 ? -1 : shownLeaf(column, step);
      if (leaf === null) this.values[k] = null;
      else if (this.backward) this.values[k] = gradientAt(trace, leaf);
      else this.values[k] = leaf < 0 ? part(trace, 0, "input") : part(trace, leaf, "output");
      this.limits[k] = this.values[k] ? limitOf(this.values[k]) : 1;
      this.known[k] = knowsEdges(column, step);
      this.edges[k] = k ? strongest(trace, this.columns[k - 1], column, this.#worth, MOST_EDGES) : null;
    });
  }

  /** Whether the probabilities are known at this step. */
  get finished() {
    const step = this.now;
    return this.backward || step?.phase !== "forward" || this.step === this.state.lab.layers.length - 1;
  }

  /** Of what is pointed at, all edges, the strongest of them if there are many. */
  findFocus() {
    this.focus = this.#focusOf(this.at);
  }

  #focusOf(at) {
    const { columns, state: { trace } } = this;
    if (!at || !trace) return null;
    if (at.gap !== undefined) {
      const ends = [{ column: at.gap - 1, unit: at.from }, { column: at.gap, unit: at.to }];
      const channel = columns[at.gap - 1].kind === "image" && columns[at.gap].links === "conv";
      return { edges: [at], units: channel ? ends.slice(1) : ends };
    }
    const { column: k, unit } = at;
    const edges = [];
    const collect = (gap, values, pairOf) => {
      if (!this.known[gap]) return;
      const limit = limitOf(values);
      for (const i of largest(values, FOCUS_EDGES, limit)) edges.push({ gap, ...pairOf(i), value: values[i], limit });
    };
    if (k > 0) {
      const [before, column] = [columns[k - 1], columns[k]];
      const value = worth(trace, before, column, this.#worth);
      const length = column.links === "dense" ? before.count : channelsOf(before);
      if (value) collect(k, Float32Array.from({ length }, (_, i) => value(i, unit)), (from) => ({ from, to: unit }));
    }
    if (k + 1 < columns.length) {
      const [column, next] = [columns[k], columns[k + 1]];
      const value = worth(trace, column, next, this.#worth);
      const from = column.kind === "image" && next.links === "conv" ? unit % column.channels : unit;
      if (value) collect(k + 1, Float32Array.from({ length: next.count }, (_, j) => value(from, j)), (to) => ({ from, to }));
    }
    return { edges, units: [at] };
  }
}
