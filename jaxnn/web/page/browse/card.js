// The frame around an image that is pointed at, and the card beside it.

import { paintExample } from "../colors.js";
import { h } from "../dom.js";
import { integer, number, percent } from "../format.js";

const PREVIEW = 84; // CSS pixels: the image beside the pointer; not shown where that large already
const ROOM = 10; // CSS pixels between an image and its card

export function imageCard(examples) {
  const frame = h("div", { class: "browse-frame", hidden: true });
  const preview = h("canvas", { class: "browse-preview" });
  const told = h("div", { class: "browse-text", id: "browse-told", "aria-live": "polite" });
  const card = h("div", { class: "browse-card", hidden: true }, preview, told);

  /** Tells of example i. */
  function tell(i) {
    const { split, index } = examples.place(i);
    const lines = [
      h("b", {}, examples.classes[examples.targets[i]]),
      h("span", { class: "quiet" }, `${split} ${integer(index)}`),
    ];
    if (examples.predicted[i] >= 0) {
      const wrong = examples.predicted[i] !== examples.targets[i];
      lines.push(
        h("span", { class: wrong ? "positive" : "" },
          `${wrong ? "taken for" : "predicted"} ${examples.classes[examples.predicted[i]]}, ${percent(examples.confidence[i])}`),
        h("span", { class: "quiet" }, `loss ${number(examples.loss[i])}`),
      );
    }
    told.replaceChildren(...lines);
    if (examples.pyramid && i < examples.kept) {
      paintExample(preview, examples.pyramid.pixels(i), examples.shape, examples.limits);
    }
  }

  /** Puts both to a rectangle on a canvas of so many CSS pixels, or away for null. */
  function place(where, canvas) {
    frame.hidden = card.hidden = !where;
    if (!where) return;
    const { left, top, width, height } = where;
    Object.assign(frame.style, {
      transform: `translate(${left - 2}px, ${top - 2}px)`,
      width: `${width + 4}px`,
      height: `${height + 4}px`,
    });
    preview.hidden = Math.max(width, height) > PREVIEW;
    const { offsetWidth, offsetHeight } = card;
    const x = left + width + ROOM + offsetWidth < canvas.width ? left + width + ROOM : left - ROOM - offsetWidth;
    const y = Math.max(4, Math.min(canvas.height - offsetHeight - 4, top + height / 2 - offsetHeight / 2));
    card.style.transform = `translate(${Math.max(4, Math.min(canvas.width - offsetWidth - 4, x))}px, ${y}px)`;
  }

  return { elements: [frame, card], tell, place };
}
