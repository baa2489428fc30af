// The start: what all parts of the page share, which view is shown, and light or dark.
//
// Each part is a module with `mount(element, app)`. Parts speak to each other by events only:
//   lab          the network, the data set or the optimizer: at a reset to another configuration
//   example      another example was chosen: app.example
//   trace        what the network does with it: app.trace, {header, arrays}
//   status, report, history, failure     what training says; see jaxnn/web/server.py
//   view         another view is shown: its name
//   theme        the colours are others

import { Live, getJSON, postPacked, ServerError } from "/static/client.js";
import { forgetPalette } from "/static/colors.js";
import { size } from "/static/format.js";
import * as network from "/static/network.js";
import * as train from "/static/train.js";
import * as draw from "/static/draw.js";
import * as browse from "/static/browse.js";
import * as mistakes from "/static/mistakes.js";

const VIEWS = ["network", "browse", "mistakes", "draw"];

const listeners = new Map();
const app = {
  lab: null,
  client: null,
  example: null,
  trace: null,
  status: null,
  reports: [],
  view: "network",

  /** Calls `listener(detail)` at each event of that name; returns the function that ends it. */
  on(event, listener) {
    if (!listeners.has(event)) listeners.set(event, new Set());
    listeners.get(event).add(listener);
    return () => listeners.get(event).delete(listener);
  },

  emit(event, detail) {
    for (const listener of [...(listeners.get(event) ?? [])]) listener(detail);
  },

  /**
   * Shows an example in the network: {split, index}, or {pixels, target} of a drawing. Goes to the
   * network view unless `view` says another, or null to stay. Resolves when the network's answer is there.
   */
  async select(example, { view = "network" } = {}) {
    app.example = example;
    app.emit("example", example);
    app.client.send({ type: "watch", example: watched(example) });
    if (view) location.hash = view;
    await look();
  },

  /** Says something to the person at the page; null takes it away. */
  notice(text) {
    const element = document.getElementById("notice");
    element.textContent = text ?? "";
    element.hidden = !text;
  },
};
window.jaxnn = app;

const watched = ({ split, index, pixels, target = null }) =>
  pixels ? { pixels, target } : { split, index };

/** Asks what the network does with the chosen example, and tells all. The last question counts. */
let asking = null;
async function look() {
  asking?.abort();
  const mine = (asking = new AbortController());
  try {
    const trace = await postPacked("/api/trace", watched(app.example), mine.signal);
    if (mine === asking) show(trace);
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof ServerError)) throw error;
    app.notice(error.message);
  }
}

/** A trace of the network before the last change may still arrive after it. */
const fits = ({ arrays }) =>
  app.lab.layers.every(({ out_shape }, i) => String(arrays[`${i}.output`]?.shape) === String(out_shape));

function show(trace) {
  if (!fits(trace)) return;
  app.notice(null);
  app.trace = trace;
  app.emit("trace", trace);
}

/** While the network is in sight, one snapshot is asked for after the last one has been drawn. */
const inSight = () => ["network", "draw"].includes(app.view) && !document.hidden;
let asked = false;
let lost = false;
function ready() {
  if (asked || !inSight()) return;
  asked = app.client.send({ type: "ready" });
}

function heard(message) {
  if (message.type === "lab") {
    setLab(message);
  } else if (message.type === "status") {
    app.status = message;
    app.emit("status", message);
  } else if (message.type === "history") {
    app.reports = message.reports;
    app.emit("history", app.reports);
  } else if (message.type === "report") {
    app.reports.push(message);
    app.emit("report", message);
  } else if (message.type === "error") {
    app.emit("failure", message);
  }
}

function seen(snapshot) {
  requestAnimationFrame(() => {
    asked = false;
    show(snapshot);
    ready();
  });
}

async function connected(yes) {
  asked = false;
  // Another lab may answer at the same address now.
  const again = yes && lost;
  lost = !yes;
  if (again) await getJSON("/api/lab").then(setLab, (error) => app.notice(error.message));
  app.notice(yes ? null : "The lab does not answer. It may have been stopped in its terminal.");
  app.emit("connected", yes);
  if (!yes) return;
  if (app.example) app.client.send({ type: "watch", example: watched(app.example) });
  ready();
}

function setLab(lab) {
  app.lab = lab;
  app.trace = null;
  const { name, dataset, layers } = lab;
  document.title = `${name} · jaxnn lab`;
  document.getElementById("lab-name").textContent = name;
  const parameters = layers.reduce((sum, layer) => sum + layer.parameters, 0);
  document.getElementById("lab-what").textContent =
    `${dataset.name}, ${size(dataset.shape)} · ${parameters.toLocaleString("en-US")} parameters`;
  for (const link of document.querySelectorAll("nav a[href='#draw']")) link.hidden = !dataset.drawable;
  app.emit("lab", lab);
  if (app.example) look();
}

function showView() {
  const wanted = location.hash.slice(1);
  const there = VIEWS.includes(wanted) && (wanted !== "draw" || app.lab.dataset.drawable);
  app.view = there ? wanted : "network";
  document.body.dataset.view = app.view;
  const shown = { network: ["network", "draw"], browse: ["browse"], mistakes: ["mistakes"] };
  for (const [name, views] of Object.entries(shown)) {
    document.getElementById(`view-${name}`).hidden = !views.includes(app.view);
  }
  document.getElementById("panel-draw").hidden = app.view !== "draw";
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${app.view}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  app.emit("view", app.view);
  if (app.client) ready();
}

function themes() {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  const apply = () => {
    const chosen = localStorage.getItem("theme");
    const dark = chosen ? chosen === "dark" : system.matches;
    document.documentElement.dataset.theme = dark ? "dark" : "light";
    button.textContent = dark ? "☀" : "☾";
    button.setAttribute("aria-label", dark ? "Use light colours" : "Use dark colours");
    forgetPalette();
    app.emit("theme", dark ? "dark" : "light");
  };
  button.addEventListener("click", () => {
    const dark = document.documentElement.dataset.theme === "dark";
    localStorage.setItem("theme", dark ? "light" : "dark");
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

async function start() {
  themes();
  setLab(await getJSON("/api/lab"));
  app.client = new Live({ heard, seen, connected });
  const parts = {
    "panel-train": train,
    "view-network": network,
    "view-browse": browse,
    "view-mistakes": mistakes,
    "panel-draw": draw,
  };
  for (const [id, part] of Object.entries(parts)) part.mount(document.getElementById(id), app);
  window.addEventListener("hashchange", showView);
  document.addEventListener("visibilitychange", ready);
  showView();
  const split = ["test", "validation", "train"].find((name) => app.lab.dataset.splits[name]);
  await app.select({ split, index: 0 }, { view: null });
}

start().catch((error) => {
  app.notice(error.message);
  if (!(error instanceof ServerError)) throw error;
});
