// What the page knows. Panels are functions of it: they show what stands here, and say what they
// would like to be here; what comes from outside comes by the client (client.js).

import { EVERYTHING } from "./choice.js";
import { Problem } from "./client.js";
import { Examples } from "./examples.js";

export class State {
  client;
  lab = null; // the description of the data set, the layers and the config
  examples = null; // those of the data set: examples.js
  predictions = 0; // which version of them `examples` has
  status = null; // where training stands
  reports = []; // of training so far
  failure = null; // {message}: why a command could not be carried out, the last time
  connected = false; // whether commands are heard
  example = null; // the one that is looked at: {split, index}, or {pixels, target} of a drawing;
  // {…, blank: true} where there is neither: the data are missing
  trace = null; // what the network does with it, once that is known
  choice = EVERYTHING; // which examples Browse shows, in which order
  view = null; // the name of the panel that is looked at
  shown = []; // the names of all panels that are in view
  live = false; // whether one of these shows the trace
  theme = null; // "light" or "dark"
  notice = null; // something to be told to the person at the page

  #listeners = new Map();
  #question = null; // about the example: the last one counts
  #snapshot = false; // whether one is asked for

  constructor(client) {
    this.client = client;
  }

  /** Calls `listener(state)` after each change of some of the keys, "lab trace", once a change. */
  on(keys, listener) {
    for (const key of keys.split(" ")) {
      if (!this.#listeners.has(key)) this.#listeners.set(key, new Set());
      this.#listeners.get(key).add(listener);
    }
  }

  /** Changes what is known, all of it at once, and tells those who listen. */
  change(changes) {
    Object.assign(this, changes);
    const listeners = new Set(Object.keys(changes).flatMap((key) => [...(this.#listeners.get(key) ?? [])]));
    for (const listener of listeners) listener(this);
  }

  /** Goes to a view: the page's address says which one is shown. */
  go(view) {
    location.hash = view;
  }

  /** Looks at an example. Resolves when the network's answer is there. */
  async select(example) {
    this.change({ example });
    this.client.send({ type: "watch", example });
    await this.#look();
  }

  /** Takes the description of a lab: the first one, or of another network. */
  describe(lab) {
    this.lab = lab;
    if (this.examples) this.examples.forgetPredictions();
    else this.examples = new Examples(this);
    this.change({ lab, trace: null });
    if (this.example) this.#look();
  }

  /** Takes what the client tells, from now on. */
  listen() {
    this.client.listen({
      lab: (lab) => this.describe(lab),
      status: (status) => this.change({ status }),
      history: ({ reports }) => this.change({ reports }),
      report: (report) => {
        this.reports.push(report);
        this.change({ reports: this.reports });
      },
      error: (failure) => this.change({ failure }),
      snapshot: (trace) =>
        requestAnimationFrame(() => {
          this.#snapshot = false;
          if (same(trace.header.example, this.example)) this.#show(trace);
          this.#follow();
        }),
      connected: () => {
        this.#snapshot = false;
        this.change({ connected: true, notice: null });
        if (this.example) this.client.send({ type: "watch", example: this.example });
        this.#follow();
      },
      lost: ({ message }) => {
        this.#snapshot = false;
        this.change({ connected: false, notice: message });
      },
    });
    this.on("live", () => this.#follow());
    document.addEventListener("visibilitychange", () => this.#follow());
  }

  /** While the trace is in sight, one snapshot is asked for after the last one has been drawn. */
  #follow() {
    if (this.#snapshot || !this.live || document.hidden) return;
    this.#snapshot = this.client.send({ type: "ready" });
  }

  async #look() {
    this.#question?.abort();
    const mine = (this.#question = new AbortController());
    try {
      const trace = await this.client.trace(this.example, mine.signal);
      if (mine === this.#question) this.#show(trace);
    } catch (error) {
      if (error.name === "AbortError") return;
      if (!(error instanceof Problem)) throw error;
      this.change({ notice: error.message });
    }
  }

  #show(trace) {
    if (fits(trace, this.lab)) this.change({ trace, notice: null });
  }
}

/** A trace of the network before the last change may still arrive after it. */
const fits = ({ arrays }, { layers }) =>
  layers.every(({ out_shape }, i) => String(arrays[`${i}.output`]?.shape) === String(out_shape));

/** Whether two examples are the same one of the data set, or both are drawings. */
const same = (a, b) => a?.split === b?.split && a?.index === b?.index;
