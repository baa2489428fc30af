// Arrays as they come packed: jaxnn/web/messages.py says how.

const KINDS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

/**
 * Takes packed arrays apart: a JSON header and, for each array it names, a typed view of the bytes.
 * Returns {header, arrays: {name: {data, shape}}}; nothing is copied.
 */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = 4 + length;
  const arrays = {};
  for (const { name, dtype, shape, offset } of header.arrays) {
    const size = shape.reduce((product, side) => product * side, 1);
    arrays[name] = { data: new KINDS[dtype](buffer, start + offset, size), shape };
  }
  return { header, arrays };
}
