// Which examples are shown, and in which order.

/** What nobody has chosen anything of: all examples, as they are stored. */
export const EVERYTHING = Object.freeze({
  split: null, // its name
  class: null, // its number
  predicted: null, // the number of a class
  outcome: null, // "right" | "wrong"
  sort: "index", // "index" | "class" | "confidence" | "loss"
  descending: false,
});

/** Whether a choice depends on what the network says. */
export const asksNetwork = ({ predicted, outcome, sort }) =>
  predicted !== null || outcome !== null || sort === "confidence" || sort === "loss";

/** The examples of a choice, as numbers in the list of all; equal ones stay in the list's order. */
export function choose(examples, choice) {
  const { targets, predicted, confidence, loss } = examples;
  const chosen = new Uint32Array(examples.count);
  let n = 0;
  for (const { start, count } of examples.named(choice.split)) {
    for (let i = start; i < start + count; i++) {
      if (choice.class !== null && targets[i] !== choice.class) continue;
      if (choice.predicted !== null && predicted[i] !== choice.predicted) continue;
      if (choice.outcome !== null && (predicted[i] === targets[i]) !== (choice.outcome === "right")) continue;
      chosen[n++] = i;
    }
  }
  const order = chosen.slice(0, n);
  if (choice.sort === "index") return choice.descending ? order.reverse() : order;
  // A float that is not negative, read as an integer, keeps its order (NaN comes after infinity). Key
  // and number together fit into the 53 bits of a double, and typed arrays of these sort fast.
  const keys = { class: targets, confidence: bits(confidence), loss: bits(loss) }[choice.sort];
  const base = 2 ** 21;
  const sorted = Float64Array.from(order, (i) => (choice.descending ? 2 ** 32 - 1 - keys[i] : keys[i]) * base + i);
  sorted.sort();
  return Uint32Array.from(sorted, (key) => key % base);
}

const bits = (floats) => new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
