// The worker of a page without a server: it owns the module and its memory.
//
// It is sent {id, type, …} and answers {id, result} or {id, error: {message, problem}}, `problem`
// where a person can do something about it. On its own account it tells {told: type, message}.

import { Problem } from "../client.js";
import { Machine } from "./machine.js";
import { prepare } from "./preparation.js";
import { Session } from "./session.js";

let session = null;
let working = false;
const channel = new MessageChannel();

const handlers = {
  async open({ module, arrays, header }) {
    const machine = await Machine.start(module, header.description, arrays);
    session = new Session(machine, header, tell);
  },
  listen: () => session.greet(),
  command: ({ command }) => session.command(command),
  trace: ({ example }) => session.trace(example),
  predictions: ({ split }) => session.predict(split),
  prepare: ({ drawing }) => prepare(drawing, session.lab.dataset),
};

self.onmessage = async ({ data: { id, type, ...rest } }) => {
  try {
    const answer = handlers[type](rest);
    goOn();
    const result = await answer;
    self.postMessage({ id, result }, buffers(result));
  } catch (error) {
    self.postMessage({ id, error: said(error) });
  }
  goOn();
};

// What has been sent meanwhile is heard between two moments of work.
channel.port1.onmessage = () => {
  working = false;
  try {
    session.work();
  } catch (error) {
    tell("error", said(error));
  }
  goOn();
};

function goOn() {
  if (working || !session?.busy) return;
  working = true;
  channel.port2.postMessage(null);
}

function tell(told, message) {
  self.postMessage({ told, message }, buffers(message));
}

const said = (error) => ({ message: error.message, problem: error instanceof Problem });

/** The memory of an answer's arrays, which is handed over, not copied. */
const buffers = (answer) => Object.values(answer?.arrays ?? {}).map(({ data }) => data.buffer);
