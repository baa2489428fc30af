// The worker that trains with an exported module, one step after the other.

import { Machine, best } from "/page/export/machine.js";

const bytes = async (name) => new Uint8Array(await (await fetch(`/files/${name}`)).arrayBuffer());
let machine, rows, steps = 0;

async function start() {
  const description = JSON.parse(new TextDecoder().decode(await bytes("description")));
  const arrays = {};
  for (const { name } of description.arrays) arrays[name] = await bytes(name);
  machine = await Machine.start(await bytes(best()), description, arrays);
  rows = new Int32Array((await bytes("rows")).buffer);
}

self.onmessage = async ({ data: { count, parameters } }) => {
  if (!machine) await start();
  const size = machine.entries.step_64.inputs.rows.data.length;
  const began = performance.now();
  for (let i = 0; i < count; i++, steps++) {
    const first = (steps * size) % rows.length;
    machine.run("step_64", { rows: rows.subarray(first, first + size), learning_rate: [NaN] });
  }
  const seconds = (performance.now() - began) / 1000;
  self.postMessage({ seconds, parameters: parameters.map((name) => Array.from(machine.arrays[name].data)) });
};
