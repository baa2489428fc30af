// Pointing at neurons, maps and edges on the canvas: by pointer, finger or keys.

import { hit } from "./paint.js";

/**
 * Calls `point(at)` for what is pointed at, `pin(at)` for what is to stay, null for nothing; `leave()`
 * when neither is; and `told()` when keys have moved to something that is to be read out.
 */
export function mountPointing(canvas, view, { point, pin, leave, told }) {
  const ready = () => view.geometry && view.state.trace;
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  function under(event, slack) {
    const box = canvas.getBoundingClientRect();
    return hit(view, event.clientX - box.left, event.clientY - box.top, slack);
  }

  canvas.addEventListener("pointermove", (event) => {
    if (event.pointerType !== "touch" && ready()) point(under(event, 0));
  });
  canvas.addEventListener("pointerleave", () => point(null));
  canvas.addEventListener("click", (event) => {
    if (!ready()) return;
    const at = under(event, event.pointerType === "touch" ? 6 : 0);
    pin(view.pin && same(view.pin, at) ? null : at);
  });

  /** Arrow keys: up and down to the next neuron, with Shift to the side; Enter pins, Escape ends. */
  canvas.addEventListener("keydown", (event) => {
    const { columns, at, state: { trace } } = view;
    const last = columns.length - 1;
    const now = at ?? { column: last, unit: trace?.header.predicted ?? 0 };
    const k = now.column ?? now.gap;
    const unit = now.unit ?? now.to;
    const move = (column, to) => {
      const next = { column, unit: Math.min(Math.max(to, 0), columns[column].count - 1) };
      if (view.pin) pin(next);
      else point(next);
      told();
    };
    const aside = (to) => move(to, Math.floor((unit / columns[k].count) * columns[to].count));
    const by = !at ? 0 : columns[k].kind === "image" ? columns[k].channels * columns[k].width : 1;
    const keys = {
      ArrowUp: () => move(k, unit - by),
      ArrowDown: () => move(k, unit + by),
      Enter: () => pin(view.pin ? null : now),
      Escape: leave,
    };
    if (event.shiftKey) {
      keys.ArrowLeft = () => aside(Math.max(k - 1, 0));
      keys.ArrowRight = () => aside(Math.min(k + 1, last));
    }
    if (!keys[event.key] || !trace) return;
    event.preventDefault();
    event.stopPropagation();
    keys[event.key]();
  });
}
