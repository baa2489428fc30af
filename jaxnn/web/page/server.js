// The lab's server as the page's client: requests, the live connection, and arrays as they come
// packed. Addresses are relative to the page's.

import { Problem } from "./client.js";
import { unpack } from "./packed.js";

async function request(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The lab does not answer. Is it still running in its terminal?");
  }
  if (response.ok) return response;
  const said = await response.json().catch(() => ({}));
  throw new Problem(said.error ?? `The lab answered ${response.status} to ${path}.`);
}

const getBytes = async (path) => (await request(path)).arrayBuffer();

async function post(path, message, signal) {
  const body = JSON.stringify(message);
  const options = { method: "POST", headers: { "Content-Type": "application/json" }, body, signal };
  return unpack(await (await request(path, options)).arrayBuffer());
}

export class Server {
  can = { train: true, configure: ["model", "optimizer", "batch_size", "seed"], batch_sizes: null, prepare: true, explain: false };

  async lab() {
    return (await request("api/lab")).json();
  }

  async inputs(split, start, count) {
    return new Uint8Array(await getBytes(`api/data/${split}/inputs?start=${start}&count=${count}`));
  }

  async targets(split, Numbers = Int32Array) {
    return new Numbers(await getBytes(`api/data/${split}/targets`));
  }

  async predictions(split) {
    return unpack(await getBytes(`api/data/${split}/predictions`));
  }

  trace(example, signal) {
    return post("api/trace", written(example), signal);
  }

  async prepare({ width, height, ink }) {
    const { arrays } = await post("api/prepare", { width, height, ink: base64(ink) });
    return arrays.pixels;
  }

  /** Opens the live connection, again whenever it breaks. */
  listen(told) {
    this.told = told;
    this.waiting = 500;
    this.lost = false;
    this.#open();
  }

  #open() {
    const address = new URL("api/live", document.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = (this.socket = new WebSocket(address));
    socket.binaryType = "arraybuffer";
    socket.onopen = () => this.#opened();
    socket.onmessage = ({ data }) => {
      const message = typeof data === "string" ? JSON.parse(data) : unpack(data);
      this.told[message.type ?? "snapshot"](message);
    };
    socket.onclose = () => {
      this.lost = true;
      this.told.lost({ message: "The lab does not answer. It may have been stopped in its terminal." });
      setTimeout(() => this.#open(), this.waiting);
      this.waiting = Math.min(2 * this.waiting, 8000);
    };
  }

  async #opened() {
    this.waiting = 500;
    if (this.lost) {
      // Another lab may answer at the same address now.
      try {
        this.told.lab(await this.lab());
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        return this.socket.close();
      }
      this.lost = false;
    }
    this.told.connected();
  }

  /** Sends a command; without a connection it is dropped. */
  send(command) {
    const open = this.socket?.readyState === WebSocket.OPEN;
    if (!open) return false;
    const message = command.example ? { ...command, example: written(command.example) } : command;
    this.socket.send(JSON.stringify(message));
    return true;
  }
}

/** An example as the server reads it: the pixels of a drawing as nested lists. */
const written = ({ split, index, pixels, target = null }) =>
  pixels ? { pixels: nested(Array.from(pixels.data), pixels.shape), target } : { split, index };

function nested(values, shape) {
  if (shape.length === 1) return values;
  const size = values.length / shape[0];
  return Array.from({ length: shape[0] }, (_, i) => nested(values.slice(i * size, (i + 1) * size), shape.slice(1)));
}

function base64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 8192) text += String.fromCharCode(...bytes.subarray(i, i + 8192));
  return btoa(text);
}
