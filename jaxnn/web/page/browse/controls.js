// The controls above the images: which are shown, in which order, and how large.

import { h } from "../dom.js";
import { integer } from "../format.js";

/**
 * The form, and what may be done with it: {element, show(choice), say(text), stale(yes)}. Calls
 * `choose(changes)` with what is chosen, and `zoom(factor)`, `fit()`, `reset()`, `refresh()`.
 */
export function controls(examples, { choose, zoom, fit, reset, refresh }) {
  const numbered = examples.classes.map((label, k) => [k, label]);
  const any = (text, options) => [["", text], ...options];
  const selects = new Map();
  const select = (key, label, options) => {
    const numeric = key === "class" || key === "predicted";
    const list = h("select", {
      name: key,
      onchange: () => choose({ [key]: list.value === "" ? null : numeric ? Number(list.value) : list.value }),
    }, options.map(([value, text]) => h("option", { value }, text)));
    selects.set(key, list);
    return h("label", { class: "labelled" }, h("span", {}, label), list);
  };
  const button = (text, label, action) =>
    h("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick: action }, text);
  const splits = examples.splits.map(({ name, count }) => [name, `${name} (${integer(count)})`]);
  let descending = false;
  const direction = h("button", { type: "button", class: "icon", onclick: () => choose({ descending: !descending }) });
  const counted = h("p", { class: "browse-count", role: "status" });
  const again = h("button", { type: "button", hidden: true, onclick: refresh }, "Predict again");
  const element = h("form", { class: "browse-controls", onsubmit: (event) => event.preventDefault() },
    select("split", "Split", any("all", splits)),
    select("class", "Class", any("all", numbered)),
    select("predicted", "Predicted", any("all", numbered)),
    select("outcome", "Result", any("all", [["right", "right"], ["wrong", "wrong"]])),
    h("div", { class: "browse-sort" },
      select("sort", "Sort by", ["index", "class", "confidence", "loss"].map((key) => [key, key])),
      direction),
    h("div", { class: "browse-state" }, counted, again),
    h("div", { class: "browse-zoom", role: "group", "aria-label": "Zoom" },
      button("−", "Zoom out", () => zoom(1 / 1.6)),
      button("+", "Zoom in", () => zoom(1.6)),
      h("button", { type: "button", title: "All images (0)", onclick: fit }, "Fit"),
      h("button", { type: "button", title: "No filter, as stored", onclick: reset }, "Reset")));

  return {
    element,
    show(choice) {
      for (const [key, list] of selects) list.value = choice[key] ?? "";
      descending = choice.descending;
      direction.textContent = descending ? "↓" : "↑";
      direction.title = descending ? "Descending; press for ascending" : "Ascending; press for descending";
      direction.setAttribute("aria-label", direction.title);
    },
    say(text) {
      if (counted.textContent !== text) counted.textContent = text;
    },
    stale(yes) {
      again.hidden = !yes;
    },
  };
}
