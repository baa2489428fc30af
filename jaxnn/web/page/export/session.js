// What a page without a server does in its worker: it trains, and answers, a moment at a time, so that
// whoever asks for something waits for a moment only. As jaxnn/web/session.py, of one client.

import { Problem } from "../client.js";
import { History } from "./history.js";
import { shuffled } from "./order.js";

const MOMENT = 25; // milliseconds of work at a time
const APART = 250; // milliseconds between two copies of the network, to go back to
const SNAPSHOTS = 0.2; // of the time of training, that they may take

export class Session {
  #until = null; // the step at which training ends, or null where it rests
  #rate = NaN; // what the user has set; NaN: the run's own
  #used = null; // the learning rate of the last step
  #order = { epoch: null };
  #validating = null; // what is left of the work on a validation
  #predictions = []; // work, the first of it under way
  #watched = null;
  #ready = false;
  #version = 0; // of the parameters
  #shown = null; // {version, example}: the last snapshot's
  #due = 0; // when there may be the next one
  #safe; // a copy of the network, of which the loss is known to be finite
  #spare; // an older one, to be written over
  #copiedAt;

  /** `tell(type, message)` tells the client something. */
  constructor(machine, { description, lab, flops }, tell) {
    Object.assign(this, { machine, description, lab, flops, tell });
    this.seed = description.seed;
    this.batchSize = description.batch_size;
    this.#begin();
  }

  get step() {
    return this.machine.arrays.step.data[0];
  }

  get #perEpoch() {
    return Math.floor(this.description.splits.train.count / this.batchSize);
  }

  /** Whether there is something to do. */
  get busy() {
    return this.#until !== null || this.#validating !== null || this.#predictions.length > 0 || this.#wantsSnapshot;
  }

  // What is asked for

  command(message) {
    const { type } = message;
    if (type === "start") {
      const end = this.description.epochs * this.#perEpoch;
      this.#go(this.step < end ? end : Infinity);
    } else if (type === "step") this.#go(this.step + 1);
    else if (type === "epoch") this.#go((Math.floor(this.step / this.#perEpoch) + 1) * this.#perEpoch);
    else if (type === "pause") this.#pause();
    else if (type === "reset") this.#reset({});
    else if (type === "configure") this.#reset(this.#changes(message));
    else if (type === "set") this.#set(message.learning_rate);
    else if (type === "watch") this.#watched = message.example === null ? null : this.#example(message.example);
    else if (type === "ready") this.#ready = true;
    else throw new Problem("This cannot be done in a page without a server.");
  }

  /** Tells where training stands: to a client that begins to listen. */
  greet() {
    this.tell("history", { reports: this.history.reports });
    this.#status();
  }

  /** What the network does with an example: see jaxnn/web/server.py. */
  trace(asked) {
    return this.#look(this.#example(asked));
  }

  #look({ input, target, stored }) {
    const outputs = this.machine.run("trace", { input, target: [target ?? -1] });
    const arrays = {};
    for (const [name, { data, shape }] of Object.entries(outputs)) arrays[name] = { data: data.slice(), shape };
    this.lab.layers.forEach(({ path, params }, i) => {
      for (const name of Object.keys(params)) {
        const { data, shape } = this.machine.arrays[["params", ...path, name].join(".")];
        arrays[`${i}.${name}`] = { data: data.slice(), shape };
      }
    });
    const header = {
      type: "trace", step: this.step, example: stored, target: arrays.target.data[0], given: target !== null,
      predicted: greatest(arrays.probabilities.data),
    };
    delete arrays.target;
    return { header, arrays };
  }

  /** Promises what the network takes a split's examples for; training rests meanwhile. */
  predict(split) {
    const of = this.#split(split);
    return new Promise((resolve, reject) => {
      this.#predictions.push({ of, work: this.#predict(of), resolve, reject });
    });
  }

  // What is done a moment at a time

  /** Works for a moment. */
  work() {
    const ends = performance.now() + MOMENT;
    try {
      this.#predictSome(ends);
      this.#train(ends);
      this.#snapshot();
    } catch (error) {
      // Nothing that is known of leads here; the page goes on whatever it is.
      this.#until = this.#validating = null;
      this.#ready = false;
      for (const { reject } of this.#predictions.splice(0)) reject(error);
      this.#status();
      throw error;
    }
  }

  #predictSome(ends) {
    while (this.#predictions.length && performance.now() < ends) {
      const { work, resolve } = this.#predictions[0];
      const { done, value } = work.next();
      if (!done) continue;
      this.#predictions.shift();
      resolve(value);
    }
  }

  *#predict({ first, count }) {
    const kinds = { predicted: Int32Array, confidence: Float32Array, loss: Float32Array };
    const arrays = Object.fromEntries(Object.entries(kinds).map(([name, Kind]) => [name, { data: new Kind(count), shape: [count] }]));
    const step = this.step;
    for (const { rows, start, n } of this.#batches(first, count)) {
      const outputs = this.machine.run("predict", { rows });
      for (const name of Object.keys(kinds)) arrays[name].data.set(outputs[name].data.subarray(0, n), start);
      yield;
    }
    return { header: { type: "predictions", step }, arrays };
  }

  /** Rows of so many examples at a time, as many as entries take; the last ones are filled up. */
  *#batches(first, count) {
    const size = this.description.predict_size;
    for (let start = 0; start < count; start += size) {
      const n = Math.min(size, count - start);
      yield { rows: Int32Array.from({ length: size }, (_, i) => first + start + Math.min(i, n - 1)), start, n };
    }
  }

  #train(ends) {
    if ((this.#until === null && !this.#validating) || this.#predictions.length) return;
    const started = performance.now();
    while (!this.#validating && this.#until !== null && this.step < this.#until && performance.now() < ends) this.#stepOnce();
    this.history.took((performance.now() - started) / 1000); // a validation is no training
    while (this.#validating && performance.now() < ends) if (this.#validating.next().done) this.#validating = null;
    if (this.#validating) return;
    const rests = this.#until === null || this.step >= this.#until;
    if (rests) this.#until = null;
    if (rests || this.history.due) {
      this.#publish();
      this.#status();
    }
  }

  #stepOnce() {
    let copy = null;
    if (performance.now() - this.#copiedAt > APART) {
      copy = this.machine.keep(this.#spare);
      this.#copiedAt = performance.now();
    }
    this.#chooseRows();
    const { loss, correct, learning_rate: rate } = this.machine.run(`step_${this.batchSize}`, { rows: this.rows, learning_rate: [this.#rate] });
    this.#version++;
    this.#used = known(rate.data[0]);
    if (!Number.isFinite(loss.data[0])) return this.#diverged(loss.data[0], this.#safe ?? copy);
    if (copy) [this.#safe, this.#spare] = [copy, this.#safe];
    this.history.add(loss.data[0], correct.data[0]);
    if (this.step % this.#perEpoch === 0 && this.description.splits.validation.count) this.#validating = this.#validate();
  }

  /** The examples of the next step. */
  #chooseRows() {
    const { first, count } = this.description.splits.train;
    const epoch = Math.floor(this.step / this.#perEpoch);
    if (this.#order.epoch !== epoch) this.#order = { epoch, rows: shuffled(count, this.seed, epoch) };
    const start = (this.step % this.#perEpoch) * this.rows.length;
    for (let i = 0; i < this.rows.length; i++) this.rows[i] = first + this.#order.rows[start + i];
  }

  *#validate() {
    const { first, count } = this.description.splits.validation;
    const sums = { loss: 0, correct: 0, weight: 0 };
    for (const { rows, n } of this.#batches(first, count)) {
      const weights = Float32Array.from(rows, (_, i) => (i < n ? 1 : 0));
      const outputs = this.machine.run("evaluate", { rows, weights });
      for (const name of Object.keys(sums)) sums[name] += outputs[name].data[0];
      yield;
    }
    this.history.validated({ loss: sums.loss / sums.weight, accuracy: sums.correct / count });
  }

  #diverged(loss, copy) {
    const [step, rate] = [this.step, this.#used];
    this.#until = null;
    this.machine.restore(copy);
    this.#version++;
    this.history.backTo(this.step);
    this.tell("history", { reports: this.history.reports });
    this.tell("error", {
      message:
        `The loss was ${loss} at step ${step}${rate === null ? "" : `, with the learning rate ${Number(rate.toPrecision(3))}`}. Training pauses, and ` +
        `the network is again as it was at step ${this.step}. A smaller learning rate may help.`,
    });
  }

  get #wantsSnapshot() {
    const shown = this.#shown;
    return this.#ready && this.#watched !== null && (shown?.version !== this.#version || shown?.example !== this.#watched);
  }

  #snapshot() {
    if (!this.#wantsSnapshot) return;
    const started = performance.now();
    if (this.#until !== null && started < this.#due) return;
    const trace = this.#look(this.#watched);
    this.#ready = false;
    this.#shown = { version: this.#version, example: this.#watched };
    const ended = performance.now();
    this.#due = ended + (ended - started) * (1 / SNAPSHOTS - 1);
    this.tell("snapshot", trace);
  }

  // How it goes on

  #go(step) {
    this.#until = step;
    this.#status();
  }

  #pause() {
    this.#until = null;
    if (!this.#validating) this.#publish();
    this.#status();
  }

  #reset({ seed = this.seed, batch_size: batchSize = this.batchSize }) {
    Object.assign(this, { seed, batchSize });
    this.machine.run("reset", { seed: [seed] });
    this.#until = null;
    this.#begin();
    const { config } = this.lab;
    this.tell("lab", { ...this.lab, config: { ...config, seed, training: { ...config.training, batch_size: batchSize } } });
    this.greet();
  }

  /** Everything that is not in the module's memory is as before the first step. */
  #begin() {
    this.history = new History(this.batchSize, this.flops);
    this.rows = new Int32Array(this.batchSize);
    this.#order = { epoch: null };
    this.#validating = null;
    this.#safe = this.#spare = undefined;
    this.#copiedAt = -Infinity;
    this.#version++;
    for (const prediction of this.#predictions) prediction.work = this.#predict(prediction.of);
    // What the first learning rate will be is told by a step that is then undone.
    const before = this.machine.keep();
    this.#chooseRows();
    const rate = this.machine.run(`step_${this.batchSize}`, { rows: this.rows, learning_rate: [this.#rate] }).learning_rate.data[0];
    this.machine.restore(before);
    this.#used = known(rate);
  }

  #set(rate) {
    const rounded = typeof rate === "number" ? Math.fround(rate) : NaN;
    if (!(rounded > 0 && rounded <= 1e6)) {
      throw new Problem("The learning rate must be a number above 0, and not above 1,000,000.");
    }
    if (this.#used === null) throw new Problem("The optimizer has no learning rate.");
    this.#rate = this.#used = rounded;
    this.#status();
  }

  #publish() {
    const report = this.history.publish(this.step, this.step / this.#perEpoch);
    if (report) this.tell("report", report);
  }

  #status() {
    this.tell("status", {
      running: this.#until !== null,
      compiling: false,
      step: this.step,
      steps_per_epoch: this.#perEpoch,
      epoch: this.step / this.#perEpoch,
      epochs: this.description.epochs,
      learning_rate: this.#used === null ? null : Number(this.#used.toPrecision(7)),
      batch_size: this.batchSize,
      clients: 1,
    });
  }

  // Nothing gets to the module that has not been looked at

  #split(name) {
    const { splits } = this.description;
    if (typeof name !== "string" || !Object.hasOwn(splits, name)) throw new Problem("There is no such split.");
    return splits[name];
  }

  #changes({ type, seed = this.seed, batch_size: batchSize = this.batchSize, ...others }) {
    if (Object.keys(others).length) throw new Problem("Only the batch size and the seed can be changed in a page without a server.");
    if (!isWhole(seed, 2 ** 32)) throw new Problem("The seed must be a whole number from 0 to 4,294,967,295.");
    const sizes = this.description.batch_sizes;
    if (!sizes.includes(batchSize)) throw new Problem(`The batch size must be one of those that the page was made for: ${sizes.join(", ")}.`);
    return { seed, batch_size: batchSize };
  }

  /** An example as the trace takes it: {input, target, stored}; target is null where there is none. */
  #example(asked) {
    if (asked === null || typeof asked !== "object") throw new Problem("An example is given by split and index, or by its pixels.");
    const { data, shape } = this.machine.arrays["data.inputs"];
    const size = shape.slice(1).reduce((product, side) => product * side, 1);
    if (!("pixels" in asked)) {
      const { first, count } = this.#split(asked.split);
      const { split, index } = asked;
      if (!isWhole(index, count)) throw new Problem(`This page has ${count} examples in ${split}: their numbers begin with 0.`);
      const row = first + index;
      return {
        input: data.subarray(row * size, (row + 1) * size),
        target: this.machine.arrays["data.targets"].data[row],
        stored: { split, index },
      };
    }
    const { pixels, target = null } = asked;
    const given = pixels?.data;
    if (!(ArrayBuffer.isView(given) || Array.isArray(given)) || given.length !== size) {
      throw new Problem(`An example has ${shape.slice(1).join(" × ")} numbers.`);
    }
    const integers = !(data instanceof Float32Array);
    const input = data.constructor.from(given);
    const fits = (value, i) => typeof value === "number" && (integers ? value === input[i] : Number.isFinite(input[i]));
    if (!Array.from(given).every(fits)) throw new Problem("The numbers of an example must be as those of the data set are.");
    const { classes } = this.lab.dataset;
    if (target !== null && !isWhole(target, classes.length)) throw new Problem(`There are ${classes.length} classes: their numbers begin with 0.`);
    return { input, target, stored: null };
  }
}

/** A learning rate, or null where the optimizer has none. */
const known = (rate) => (Number.isNaN(rate) ? null : rate);

const isWhole = (value, below) => Number.isInteger(value) && value >= 0 && value < below;

function greatest(values) {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
