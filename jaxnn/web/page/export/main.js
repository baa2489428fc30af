// The start of a page without a server, of one file or of several. Its address may say what is shown:
//   ?view=draw&example=test:12&theme=dark

import { Problem } from "../client.js";
import { unpack } from "../packed.js";
import { start } from "../page.js";
import { Local } from "./local.js";

async function main() {
  const asked = new URLSearchParams(location.search);
  try {
    const client = new Local(unpack(await inflated(await packed())), worker());
    if (asked.has("view") && !location.hash) location.replace(`#${asked.get("view")}`);
    await start(client, { example: exampleOf(asked.get("example"), client), theme: asked.get("theme") });
  } catch (error) {
    const notice = document.getElementById("notice");
    notice.textContent = error.message;
    notice.hidden = false;
    if (!(error instanceof Problem)) throw error;
  }
}

/** What the page carries, deflated: within it, or beside it. */
async function packed() {
  const within = document.getElementById("bundle");
  if (within) {
    const text = atob(within.textContent.trim());
    const bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i); // some millions: `from` takes a second
    return bytes;
  }
  try {
    const response = await fetch("bundle.bin");
    if (response.ok) return new Uint8Array(await response.arrayBuffer());
  } catch {
    // said below
  }
  throw new Problem(
    location.protocol === "file:"
      ? "A browser does not read the files beside this page from a disk: put the folder onto a web server."
      : "bundle.bin, which belongs to this page, cannot be loaded.");
}

async function inflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  try {
    return await new Response(stream).arrayBuffer();
  } catch {
    throw new Problem("What this page carries is damaged: load it again.");
  }
}

function worker() {
  const within = document.getElementById("worker");
  return within ? URL.createObjectURL(new Blob([within.textContent], { type: "text/javascript" })) : "worker.js";
}

/** "test:12" as an example, where the page has it. */
function exampleOf(text, { header: { description: { splits } } }) {
  const [, split, index] = /^(train|validation|test):(\d{1,9})$/.exec(text ?? "") ?? [];
  return split && Number(index) < splits[split].count ? { split, index: Number(index) } : null;
}

main();
