// The order of the examples in an epoch.

/** The numbers below `count` in an order that follows from seed and epoch. */
export function shuffled(count, seed, epoch) {
  const random = generator(seed, epoch);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}

/** Numbers from 0 up to 1: a counter of 32 bits (Weyl's sequence) mixed as MurmurHash3 ends. */
function generator(seed, epoch) {
  let state = mixed(mixed(seed) ^ epoch);
  return () => {
    state = (state + 0x9e3779b9) | 0;
    return mixed(state) / 2 ** 32;
  };
}

function mixed(x) {
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return (x ^ (x >>> 16)) >>> 0;
}
