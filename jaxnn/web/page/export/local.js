// A page without a server: what it asks for is answered by a worker, which thinks and trains.

import { Problem } from "../client.js";
import { best } from "./machine.js";

/** A client, as client.js describes it. */
export class Local {
  #asked = new Map();
  #ids = 0;
  #told = null;

  /** `header` and `arrays` are what jaxnn/web/export.py has packed; `address` is the worker's. */
  constructor({ header, arrays }, address) {
    this.header = header;
    this.can = {
      train: true, configure: ["batch_size", "seed"], batch_sizes: header.description.batch_sizes, prepare: true, explain: true,
    };
    const bytes = Object.fromEntries(Object.entries(arrays).map(([name, { data }]) => [name, data]));
    const { plain, relaxed, ...others } = bytes;
    this.data = { inputs: others["data.inputs"], targets: others["data.targets"] };
    this.worker = new Worker(address);
    this.worker.onmessage = ({ data }) => this.#hear(data);
    this.worker.onerror = (event) => {
      event.preventDefault();
      this.#lose("The network has stopped working in this page. Load it again.");
    };
    this.opened = this.#ask("open", { module: { plain, relaxed }[best()], arrays: others, header });
  }

  async lab() {
    await this.opened;
    return this.header.lab;
  }

  async inputs(split, start, count) {
    const { first } = this.#split(split);
    const { shape, dtype } = this.header.lab.dataset;
    const size = shape.reduce((product, side) => product * side, 1) * (dtype === "float32" ? 4 : 1);
    return this.data.inputs.subarray((first + start) * size, (first + start + count) * size);
  }

  async targets(split) {
    const { first, count } = this.#split(split);
    return new Int32Array(this.data.targets.slice(4 * first, 4 * (first + count)).buffer);
  }

  predictions(split) {
    return this.#ask("predictions", { split });
  }

  async trace(example, signal) {
    const trace = await this.#ask("trace", { example });
    signal?.throwIfAborted();
    return trace;
  }

  prepare(drawing) {
    return this.#ask("prepare", { drawing });
  }

  send(command) {
    this.#ask("command", { command }).catch(({ message }) => this.#told?.error({ message }));
    return true;
  }

  listen(told) {
    this.#told = told;
    told.connected();
    this.#ask("listen");
  }

  #split(name) {
    const split = this.header.description.splits[name];
    if (!split) throw new Problem("There is no such split.");
    return split;
  }

  #ask(type, message) {
    const id = ++this.#ids;
    return new Promise((resolve, reject) => {
      this.#asked.set(id, { resolve, reject });
      try {
        this.worker.postMessage({ id, type, ...message });
      } catch (error) {
        this.#asked.delete(id);
        reject(new Problem(`This cannot be asked for: ${error.message}`));
      }
    });
  }

  #hear({ id, result, error, told, message }) {
    if (told) return this.#told?.[told](message);
    const { resolve, reject } = this.#asked.get(id);
    this.#asked.delete(id);
    if (!error) resolve(result);
    else reject(new Problem(error.problem ? error.message : `The network could not answer: ${error.message}`));
  }

  #lose(message) {
    for (const { reject } of this.#asked.values()) reject(new Problem(message));
    this.#asked.clear();
    this.#told?.lost({ message });
  }
}
