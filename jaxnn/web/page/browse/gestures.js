// What pointers, fingers, the wheel and keys say on the canvas of images.

const CLICK = 5; // CSS pixels that a pointer may move in a click

/**
 * Calls
 *   hold()                  a pointer is down: nothing moves by itself any more
 *   zoom(factor, point)     around a point of the canvas, or null: the keyboard's
 *   drag(dx, dy)            by CSS pixels
 *   pinch(factor, point, dx, dy)   both at once
 *   point(at)               a pointer points there; null: nowhere
 *   tap(at, touch)          pressed, with a finger or not
 *   release()               pointers are up
 *   key(name)               a key, if it returns whether it is one
 * Returns {held()}: whether a pointer is down.
 */
export function listen(canvas, told) {
  const pointers = new Map();
  let travel = 0;

  const at = (event) => {
    const box = canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  };

  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
    // A trackpad's pinch comes as small steps with ctrl held.
    const speed = event.ctrlKey ? 0.01 : 0.002;
    told.zoom(Math.exp(-event.deltaY * lines * speed), at(event));
  }, { passive: false });

  canvas.addEventListener("pointerdown", (event) => {
    if (event.button > 0) return;
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, at(event));
    travel = pointers.size > 1 ? Infinity : 0;
    told.hold();
  });

  canvas.addEventListener("pointermove", (event) => {
    const now = at(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") told.point(now);
      return;
    }
    const [dx, dy] = [now.x - before.x, now.y - before.y];
    travel += Math.hypot(dx, dy);
    if (travel < CLICK) return; // a click with an unsteady hand; `before` stays, nothing is lost
    const [other] = [...pointers].filter(([id]) => id !== event.pointerId).map(([, where]) => where);
    pointers.set(event.pointerId, now);
    if (other) {
      const spread = (p) => Math.max(20, Math.hypot(p.x - other.x, p.y - other.y));
      const middle = { x: (now.x + other.x) / 2, y: (now.y + other.y) / 2 };
      told.pinch(spread(now) / spread(before), middle, dx / 2, dy / 2);
    } else {
      told.drag(dx, dy);
    }
    canvas.classList.add("dragged");
    told.point(null);
  });

  canvas.addEventListener("pointerup", (event) => {
    if (!pointers.delete(event.pointerId)) return;
    canvas.classList.remove("dragged");
    told.release();
    if (travel < CLICK) told.tap(at(event), event.pointerType === "touch");
  });
  canvas.addEventListener("pointercancel", (event) => pointers.delete(event.pointerId));
  canvas.addEventListener("pointerleave", () => told.point(null));

  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (told.key(event.key)) event.preventDefault();
  });
  return { held: () => pointers.size > 0 };
}
