// The card beside what is pointed at.

import { h } from "../dom.js";
import { details } from "./details.js";
import { spot } from "./paint.js";

/** `close()` is called when its button is pressed. */
export function mountCard(card, scroller, stage, view, close) {
  function show() {
    const { at, state } = view;
    card.hidden = !at || !state.trace;
    if (card.hidden) return;
    card.classList.toggle("pinned", view.pinned);
    card.replaceChildren(
      h("button", { class: "bare icon close", type: "button", "aria-label": "Close", onclick: close }, "×"),
      ...details(state, view.columns, at));
    position(at);
  }

  /** Beside what it tells about, where there is room, without covering it. */
  function position(at) {
    if (!view.geometry || getComputedStyle(card).position === "fixed") {
      card.removeAttribute("style");
      return;
    }
    const k = at.gap ?? at.column;
    const where = view.geometry.places[k];
    const middle = view.columns[k].kind === "image" ? null : spot(view, k, at.gap === undefined ? at.unit : at.to);
    const y = (middle?.y ?? (where.top + where.bottom) / 2) + stage.offsetTop;
    const shift = stage.offsetLeft - scroller.scrollLeft;
    const [w, t] = [card.offsetWidth, card.offsetHeight];
    const [width, height] = [scroller.clientWidth, scroller.clientHeight];
    const after = where.right + shift + 16;
    const left = after + w < width ? after : Math.max(where.x + shift - w - 16, 4);
    card.style.left = `${left}px`;
    card.style.top = `${Math.min(Math.max(y - t / 2, 6), Math.max(height - t - 6, 6))}px`;
  }

  /** What it says, in words. */
  const text = () => [...card.querySelectorAll("h3, tr")].map((e) => e.textContent).join(", ");

  return { show, text };
}
