// Which example is looked at.

import { h } from "../dom.js";

/** Controls that choose an example of the data set. */
export function chooser(state) {
  const button = (label, text, action) =>
    h("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick: action }, text);
  const { splits, missing, image } = state.lab.dataset;
  const names = Object.keys(splits).filter((name) => splits[name]);
  const split = h("select", { "aria-label": "Split", onchange: () => choose(0) },
    names.map((name) => h("option", { value: name }, name)));
  const index = h("input", { type: "number", min: 0, step: 1, value: 0, "aria-label": "Index of the example" });
  const drawn = h("span", { class: "drawn small", hidden: true }, "your drawing");
  const nothing = h("span", { class: "quiet small", title: missing, hidden: true },
    `The data are missing; this is ${image ? "a black image" : "an example of mean values"}.`);
  const count = () => splits[split.value];
  const choose = (i) => state.select({ split: split.value, index: ((i % count()) + count()) % count() });

  index.addEventListener("change", () => {
    const i = Number(index.value);
    if (Number.isInteger(i)) choose(Math.min(Math.max(i, 0), count() - 1));
  });
  state.on("example", ({ example }) => {
    drawn.hidden = !example.pixels || !!example.blank;
    nothing.hidden = !example.blank;
    if (example.pixels) return;
    split.value = example.split;
    index.value = example.index;
    index.max = count() - 1;
  });
  if (missing) return h("div", { class: "group examples" }, nothing, drawn);
  index.max = count() - 1;
  return h("div", { class: "group examples" },
    button("Previous example", "‹", () => choose(Number(index.value) - 1)),
    split, index,
    button("Next example", "›", () => choose(Number(index.value) + 1)),
    button("Any example", "⚄", () => choose(Math.floor(Math.random() * count()))),
    drawn);
}
