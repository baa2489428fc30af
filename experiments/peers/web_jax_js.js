// The worker that trains with jax-js, by its WebAssembly; its batches lie in its memory beforehand.

import { blockUntilReady, defaultDevice, init, jit, nn, numpy as np, tree, valueAndGrad } from "/jax-js/index.js";

const file = async (name, Kind) => new Kind(await (await fetch(`/files/${name}`)).arrayBuffer());
const SHAPES = [[784, 128], [128], [128, 10], [10]];
let parameters, batches, loss, steps = 0;

const cross_entropy = ([w1, b1, w2, b2], x, y) =>
  nn.logSoftmax(np.dot(nn.relu(np.dot(x, w1).add(b1)), w2).add(b2)).mul(y).sum().mul(-1 / 64);

const step = jit((parameters, x, y) => {
  const [value, gradients] = valueAndGrad(cross_entropy)(tree.ref(parameters), x, y);
  return [parameters.map((p, i) => p.sub(gradients[i].mul(0.1))), value];
});

async function start(names) {
  await init("wasm");
  defaultDevice("wasm");
  const x = await file("batches", Float32Array);
  const y = await file("one_hot", Float32Array);
  batches = Array.from({ length: y.length / 640 }, (_, i) => [
    np.array(x.slice(i * 50176, (i + 1) * 50176)).reshape([64, 784]),
    np.array(y.slice(i * 640, (i + 1) * 640)).reshape([64, 10]),
  ]);
  parameters = [];
  for (const [i, name] of names.entries()) parameters.push(np.array(await file(name, Float32Array)).reshape(SHAPES[i]));
  await blockUntilReady([batches, parameters]);
}

self.onmessage = async ({ data: { count, parameters: names } }) => {
  if (!parameters) await start(names);
  const began = performance.now();
  for (let i = 0; i < count; i++, steps++) {
    const [x, y] = batches[steps % batches.length];
    loss?.dispose();
    [parameters, loss] = step(parameters, x.ref, y.ref);
  }
  await blockUntilReady(parameters);
  const seconds = (performance.now() - began) / 1000;
  const now = [];
  for (const one of parameters) now.push(Array.from(await one.ref.data()));
  self.postMessage({ seconds, parameters: now });
};
