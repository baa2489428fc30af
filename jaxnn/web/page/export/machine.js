// A WebAssembly module in its memory: arrays that stay, and entries, which are called.
//
// What is computed, is computed in there; here bytes are moved. jaxnn/runs/export.py says which
// arrays and entries there are.

import { Problem } from "../client.js";

const KINDS = { float32: Float32Array, int32: Int32Array, uint32: Uint32Array, uint8: Uint8Array, bool: Uint8Array };
const PAGE = 65536; // bytes

/** A module of one function, which multiplies and adds by the instruction of relaxed SIMD. */
const RELAXED = Uint8Array.of(
  0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0,
  65, 0, 253, 15, 65, 0, 253, 15, 65, 0, 253, 15, 253, 133, 2, 11,
);

/** The name of the module that this browser understands best. */
export const best = () => (WebAssembly.validate(RELAXED) ? "relaxed" : "plain");

export class Machine {
  /** `arrays` is what lies in memory at the start, as bytes by name. */
  static async start(bytes, description, arrays) {
    let made;
    try {
      made = await WebAssembly.instantiate(bytes);
    } catch (error) {
      throw new Problem(`This browser cannot run the network: it needs WebAssembly with SIMD (${error.message}).`);
    }
    return new Machine(made.instance.exports, description, arrays);
  }

  constructor(exports, { pages, arrays: staying, entries }, arrays) {
    const { buffer } = exports.memory;
    if (buffer.byteLength < pages * PAGE) throw new Problem("The network's memory is too small: the page is damaged.");
    const view = ({ dtype, shape, address }) => {
      const data = new KINDS[dtype](buffer, address, shape.reduce((product, side) => product * side, 1));
      return { data, shape };
    };
    const views = (list) => Object.fromEntries(list.map((array) => [array.name, view(array)]));
    this.exports = exports;
    this.arrays = views(staying);
    this.entries = {};
    for (const [name, { inputs, outputs }] of Object.entries(entries)) {
      this.entries[name] = { inputs: views(inputs), outputs: views(outputs) };
    }
    for (const [name, { data }] of Object.entries(this.arrays)) {
      const bytes = arrays[name];
      if (bytes?.length !== data.byteLength) throw new Problem(`${name} is not in the page as it should be: it is damaged.`);
      new Uint8Array(buffer, data.byteOffset, data.byteLength).set(bytes);
    }
  }

  /** Calls an entry; the arrays that it returns are true until the next call. */
  run(name, given) {
    const { inputs, outputs } = this.entries[name];
    for (const [key, values] of Object.entries(given)) inputs[key].data.set(values);
    this.exports[name]();
    return outputs;
  }

  /** Copies of what training changes; into `spare`, where that is given. */
  keep(spare = new Map()) {
    for (const [name, { data }] of Object.entries(this.arrays)) {
      if (name.startsWith("data.")) continue;
      if (spare.has(name)) spare.get(name).set(data);
      else spare.set(name, data.slice());
    }
    return spare;
  }

  /** Puts back what `keep` has copied. */
  restore(spare) {
    for (const [name, data] of spare) this.arrays[name].data.set(data);
  }
}
