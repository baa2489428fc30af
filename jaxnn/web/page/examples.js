// The examples of a data set in the page: one list over all splits, its images as they arrive, its
// classes, and what the network takes each example for.

import { Pyramid } from "./pyramid.js";

const FIRST = 1 << 18; // bytes of the first request, so that something is there at once
const CHUNK = 1 << 22;
const AT_ONCE = 3;
const MOST = 1 << 29; // bytes of images that a page keeps; of larger data sets it shows a part
const MOST_SAID = 8; // numbers of an example: what the server says at most
const PATIENCE = 4; // seconds: what takes longer is computed only when somebody asks for it

export class Examples {
  constructor(state) {
    const { task, splits, shape, classes, image, limits } = state.lab.dataset;
    this.state = state;
    this.classes = classes;
    this.shape = shape;
    this.limits = limits;
    this.image = image;
    this.splits = [];
    this.count = 0;
    for (const name of ["train", "validation", "test"]) {
      if (!splits[name]) continue;
      this.splits.push({ name, start: this.count, count: splits[name], step: null, version: 0 });
      this.count += splits[name];
    }
    // Of a classification a class each; else of each example the first numbers, or labels.
    this.Numbers = task === "classification" ? Int32Array : Float32Array;
    this.width = task === "classification" ? 1 : Math.min(classes.length, MOST_SAID);
    this.targets = new this.Numbers(this.count * this.width);
    this.answers = new Float32Array(task === "classification" ? 0 : this.count * this.width);
    this.predicted = new Int32Array(this.count);
    this.confidence = new Float32Array(this.count);
    this.loss = new Float32Array(this.count);
    this.loaded = 0;
    this.forgetPredictions();
  }

  /** The splits of that name, or all of them for null. */
  named(name) {
    return this.splits.filter((split) => name === null || split.name === name);
  }

  /** Where example i of the list stands in the data set: {split, index}. */
  place(i) {
    const split = this.splits.findLast(({ start }) => start <= i);
    return { split: split.name, index: i - split.start };
  }

  /** Which one of the list that is. */
  number({ split, index }) {
    return this.named(split)[0].start + index;
  }

  /** Loads the classes, or what else the targets are, once. */
  loadTargets() {
    this.targetsLoaded ??= Promise.all(
      this.splits.map(async ({ name, start }) => {
        this.targets.set(await this.state.client.targets(name, this.Numbers), start * this.width);
      }),
    );
    return this.targetsLoaded;
  }

  /** Loads all images, once; calls `arrived()` after each part, in the order of the list. */
  loadImages(arrived) {
    this.imagesLoaded ??= this.#loadImages(arrived);
    return this.imagesLoaded;
  }

  async #loadImages(arrived) {
    const [height, width, channels] = this.shape;
    const bytes = height * width * channels;
    this.kept = Math.min(this.count, Math.floor(MOST / bytes));
    this.pyramid = new Pyramid(this.kept, height, width, channels, this.limits);
    const parts = [];
    for (const { name, start, count } of this.splits) {
      for (let a = 0; a < count && start + a < this.kept; ) {
        const size = Math.max(1, Math.floor((parts.length ? CHUNK : FIRST) / bytes));
        const n = Math.min(size, count - a, this.kept - start - a);
        parts.push({ name, start: a, n, at: start + a });
        a += n;
      }
    }
    let next = 0;
    const lane = async () => {
      while (next < parts.length) {
        const { name, start, n, at } = parts[next++];
        this.pyramid.add(at, await this.state.client.inputs(name, start, n));
        this.loaded += n;
        arrived();
      }
    };
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
  }

  /** The pixels of example i, (height · width · channels) bytes, loaded if they are not there yet. */
  async pixels(i) {
    if (this.loaded && this.loaded === this.kept && i < this.kept) return this.pyramid.pixels(i);
    const { split, index } = this.place(i);
    return this.state.client.inputs(split, index, 1);
  }

  forgetPredictions() {
    this.pace = 0; // seconds an example
    for (const split of this.splits) {
      split.version++;
      split.step = null;
    }
    this.predicted.fill(-1);
  }

  /** Whether all examples of a split, of all splits for null, have a prediction, of whichever step. */
  hasPredictions(name) {
    return this.named(name).every(({ step }) => step !== null);
  }

  /** Whether predictions of that split (null: all) are missing, or of other parameters than now. */
  isStale(name) {
    const now = this.state.status?.step;
    return this.named(name).some(({ step }) => step === null || (now !== undefined && step !== now));
  }

  /** Asks what the network takes the examples for. */
  async predict(name) {
    for (const split of this.named(name)) await this.#predict(split);
  }

  /** Predicts as much, the smallest split first, as seems to take no longer than a few seconds. */
  async predictWhatIsQuick() {
    for (const split of [...this.splits].sort((a, b) => a.count - b.count)) {
      if (this.pace * split.count > PATIENCE || this.state.status?.running) return;
      if (!this.isStale(split.name)) continue;
      const started = performance.now();
      await this.#predict(split);
      this.pace = Math.max(this.pace, (performance.now() - started) / 1000 / split.count);
    }
  }

  #predict(split) {
    split.asking ??= (async () => {
      try {
        const { header, arrays } = await this.state.client.predictions(split.name);
        if (arrays.answers) this.answers.set(arrays.answers.data, split.start * this.width);
        else {
          this.predicted.set(arrays.predicted.data, split.start);
          this.confidence.set(arrays.confidence.data, split.start);
        }
        this.loss.set(arrays.loss.data, split.start);
        split.step = header.step;
        split.version++;
        this.state.change({ predictions: this.state.predictions + 1 });
      } finally {
        split.asking = null;
      }
    })();
    return split.asking;
  }
}
