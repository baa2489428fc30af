// The server: requests, the live connection, and arrays as they come packed.

/** A message for people: what the server says is wrong. */
export class ServerError extends Error {}

/**
 * Takes packed arrays apart: a JSON header and, for each array it names, a typed view of the bytes.
 * Returns {header, arrays: {name: {data, shape}}}; nothing is copied.
 */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = 4 + length;
  const kinds = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };
  const arrays = {};
  for (const { name, dtype, shape, offset } of header.arrays) {
    const size = shape.reduce((product, side) => product * side, 1);
    arrays[name] = { data: new kinds[dtype](buffer, start + offset, size), shape };
  }
  return { header, arrays };
}

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ServerError("The lab does not answer. Is it still running in its terminal?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new ServerError(said.error ?? `The lab answered ${response.status} to ${path}.`);
}

const posted = (message, signal) => ({
  method: "POST",
  headers: { "Content-Type": "application/json" },
  body: JSON.stringify(message),
  signal,
});

export const getJSON = async (path) => (await request(path)).json();
export const getBytes = async (path, signal) => (await request(path, { signal })).arrayBuffer();
export const getPacked = async (path, signal) => unpack(await getBytes(path, signal));
export const postPacked = async (path, message, signal) =>
  unpack(await (await request(path, posted(message, signal))).arrayBuffer());

/**
 * The live connection. It is opened again whenever it breaks, and hands on what arrives:
 * `heard(message)` each JSON message, `seen({header, arrays})` each snapshot, and
 * `connected(true | false)`.
 */
export class Live {
  constructor({ heard, seen, connected }) {
    Object.assign(this, { heard, seen, connected, waiting: 500 });
    this.open();
  }

  open() {
    const address = new URL("/api/live", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.waiting = 500;
      this.connected(true);
    };
    this.socket.onmessage = ({ data }) => {
      if (typeof data === "string") this.heard(JSON.parse(data));
      else this.seen(unpack(data));
    };
    this.socket.onclose = () => {
      this.connected(false);
      setTimeout(() => this.open(), this.waiting);
      this.waiting = Math.min(2 * this.waiting, 8000);
    };
  }

  /** Sends a command; without a connection it is dropped, and false is returned. */
  send(message) {
    const open = this.socket.readyState === WebSocket.OPEN;
    if (open) this.socket.send(JSON.stringify(message));
    return open;
  }
}
