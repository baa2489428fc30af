// Draw: a sheet for pen, touch or keys. Each stroke is prepared as predict.py prepares a photograph,
// and the network looks at it at once.

import { Problem } from "../client.js";
import { paintExample } from "../colors.js";
import { h } from "../dom.js";
import { likeliest, probabilityRows, showRows } from "../probabilities.js";

const SIDE = 280; // of the sheet, in its own pixels
const PEN = 22; // of which a digit 200 high becomes 20: strokes as thick as MNIST's
const ERASER = 44;
const MOVE = 7; // by an arrow key
const UNDOS = 30;
const ROWS = 12;

export function mountDraw(element, state) {
  const sheet = h("canvas", {
    class: "sheet", width: SIDE, height: SIDE, tabindex: 0, role: "application",
    "aria-label": "Sheet to draw on", "aria-describedby": "draw-keys",
  });
  const cursor = h("span", { class: "cursor", hidden: true });
  const invitation = h("span", { class: "invitation" }, "Draw here");
  const choose = h("fieldset", { class: "choice" }, h("legend", { class: "visually-hidden" }, "Tool"),
    ["Pen", "Eraser"].map((name, i) => h("label", {}, h("input", { type: "radio", name: "tool", value: name, checked: i === 0 }), name)));
  const undo = h("button", { type: "button", disabled: true, onclick: goBack }, "Undo");
  const clear = h("button", { type: "button", disabled: true, onclick: clearAll }, "Clear");
  const meant = h("select", { id: "meant" });
  const problem = h("p", { class: "error", role: "alert" });
  const prepared = h("canvas", { class: "prepared", width: 1, height: 1, role: "img", "aria-label": "What the network is given" });
  const size = h("figcaption", { class: "quiet small" });
  const list = probabilityRows("chances");
  element.append(
    h("div", { class: "sheet-frame" }, sheet, invitation, cursor),
    h("div", { class: "line" }, choose, h("span", { class: "line" }, undo, clear)),
    problem,
    h("div", { class: "seen" },
      h("figure", {}, prepared, size),
      h("div", {}, h("label", { for: "meant" }, "It is meant as"), meant, h("p", { class: "quiet small" }, "Gradients are those of this class, or else of what it is taken for."))),
    list,
    h("p", { id: "draw-keys", class: "quiet small" }, "With keys: arrows move, Space sets the pen down or lifts it, E changes pen and eraser, Delete clears."));

  const context = sheet.getContext("2d", { willReadFrequently: true });
  let [past, last, byKeys] = [[], null, null];
  let [changed, working] = [false, false];
  let cleared = 0; // how often: what was asked before is of no interest after
  let pixels = null;
  blank();

  function blank() {
    context.fillStyle = "#000";
    context.fillRect(0, 0, SIDE, SIDE);
  }

  const erasing = () => choose.querySelector(":checked").value === "Eraser";

  function remember() {
    past.push(context.getImageData(0, 0, SIDE, SIDE));
    if (past.length > UNDOS) past.shift();
    undo.disabled = clear.disabled = false;
    invitation.hidden = true;
  }

  function goBack() {
    context.putImageData(past.pop(), 0, 0);
    undo.disabled = !past.length;
    clear.disabled = isEmpty();
    invitation.hidden = !clear.disabled;
    look();
  }

  function clearAll() {
    remember();
    blank();
    clear.disabled = true;
    invitation.hidden = false;
    forget();
  }

  function isEmpty() {
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    for (let i = 0; i < data.length; i += 4) if (data[i] > 127) return false;
    return true;
  }

  function stroke(from, to) {
    context.strokeStyle = erasing() ? "#000" : "#fff";
    context.lineWidth = erasing() ? ERASER : PEN;
    context.lineCap = context.lineJoin = "round";
    context.beginPath();
    context.moveTo(from.x, from.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    look();
  }

  function at(event) {
    const box = sheet.getBoundingClientRect();
    return { x: ((event.clientX - box.left) / box.width) * SIDE, y: ((event.clientY - box.top) / box.height) * SIDE };
  }
  sheet.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    event.preventDefault();
    sheet.focus({ preventScroll: true });
    sheet.setPointerCapture(event.pointerId);
    hideCursor();
    remember();
    last = at(event);
    stroke(last, last);
  });
  sheet.addEventListener("pointermove", (event) => {
    if (!last) return;
    for (const one of event.getCoalescedEvents?.() ?? [event]) {
      const next = at(one);
      stroke(last, next);
      last = next;
    }
  });
  for (const end of ["pointerup", "pointercancel"]) sheet.addEventListener(end, () => { last = null; });

  // By keys: a cursor that is up or down.
  function showCursor() {
    cursor.hidden = false;
    cursor.classList.toggle("down", byKeys.down);
    cursor.style.left = `${(100 * byKeys.x) / SIDE}%`;
    cursor.style.top = `${(100 * byKeys.y) / SIDE}%`;
  }
  function hideCursor() {
    cursor.hidden = true;
    if (byKeys) byKeys.down = false;
  }
  sheet.addEventListener("blur", hideCursor);
  sheet.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const direction = directions[event.key];
    const known = direction || [" ", "e", "E", "Delete", "Backspace"].includes(event.key);
    if (!known) return;
    event.preventDefault();
    event.stopPropagation();
    byKeys ??= { x: SIDE / 2, y: SIDE / 4, down: false };
    if (direction) {
      const from = { ...byKeys };
      const step = event.shiftKey ? 3 * MOVE : MOVE;
      byKeys.x = Math.min(Math.max(byKeys.x + direction[0] * step, 0), SIDE);
      byKeys.y = Math.min(Math.max(byKeys.y + direction[1] * step, 0), SIDE);
      if (byKeys.down) stroke(from, byKeys);
    } else if (event.key === " ") {
      byKeys.down = !byKeys.down;
      if (byKeys.down) {
        remember();
        stroke(byKeys, byKeys);
      }
    } else if (event.key.toLowerCase() === "e") {
      const other = erasing() ? "Pen" : "Eraser";
      choose.querySelector(`[value=${other}]`).checked = true;
    } else {
      clearAll();
    }
    showCursor();
  });

  /** Has the drawing looked at: one question at a time, and always about the latest state. */
  async function look() {
    changed = true;
    if (working) return;
    working = true;
    try {
      while (changed) {
        changed = false;
        await prepareAndSelect();
      }
    } finally {
      working = false;
    }
  }

  async function prepareAndSelect() {
    if (isEmpty()) return forget();
    const { data } = context.getImageData(0, 0, SIDE, SIDE);
    const ink = new Uint8Array(SIDE * SIDE);
    for (let i = 0; i < ink.length; i++) ink[i] = data[4 * i];
    const before = cleared;
    try {
      const answer = await state.client.prepare({ width: SIDE, height: SIDE, ink });
      if (cleared > before) return;
      pixels = answer;
      problem.textContent = "";
      paintExample(prepared, pixels.data, state.lab.dataset.shape, state.lab.dataset.limits);
      prepared.dataset.value = Array.from(pixels.data).join(" ");
      await state.select(ours());
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      if (cleared === before) problem.textContent = error.message;
    }
  }

  const ours = () => ({
    pixels,
    target: meant.value === "" ? null : Number(meant.value),
  });

  function forget() {
    cleared++;
    pixels = null;
    problem.textContent = "";
    prepared.width = prepared.height = 1;
    delete prepared.dataset.value;
    showChances(null);
  }

  meant.addEventListener("change", () => {
    if (pixels) state.select(ours());
  });

  function showChances(trace) {
    const { classes } = state.lab.dataset;
    const p = trace?.arrays.probabilities.data ?? null;
    const order = p && classes.length > ROWS ? likeliest(p) : classes.map((_, k) => k);
    showRows(list, classes, order.slice(0, ROWS), { p, predicted: trace?.header.predicted, unknown: "–" });
  }

  function setLab() {
    const { classes, shape } = state.lab.dataset;
    const chosen = meant.value;
    meant.replaceChildren(h("option", { value: "" }, "not said"), ...classes.map((name, k) => h("option", { value: k }, name)));
    meant.value = chosen;
    size.textContent = `${shape[0]} × ${shape[1]}, as the network gets it`;
    showChances(null);
  }

  state.on("lab", setLab);
  state.on("trace", ({ trace, example }) => {
    if (pixels && example?.pixels) showChances(trace);
  });
  state.on("view", ({ view, example }) => {
    // What is drawn is looked at again when one comes back to it.
    if (view === "draw" && pixels && !example?.pixels) state.select(ours());
  });
  setLab();
}
