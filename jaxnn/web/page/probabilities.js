// Rows of classes with their probabilities.

import { h } from "./dom.js";
import { percent } from "./format.js";

const row = () =>
  h("li", {}, h("span", { class: "class-name" }), h("span", { class: "bar" }, h("i")), h("span", { class: "share" }));

/** A list of such rows, still empty; `name` is its class. */
export const probabilityRows = (name) =>
  h("ol", { class: `probabilities ${name}`, "aria-label": "Probabilities" });

/** Makes so many rows, if there are not as many. */
export function makeRows(list, count) {
  while (list.children.length > count) list.lastChild.remove();
  while (list.children.length < count) list.append(row());
}

/** The classes by their probabilities, the likeliest first. */
export const likeliest = (p) => Array.from(p.keys()).sort((a, b) => p[b] - p[a] || a - b);

/**
 * Shows a class in each row, those of `order`. `p` has the probabilities of all, null where they are
 * not known, for which `unknown` stands; the predicted class and the true one, if given, are marked.
 */
export function showRows(list, classes, order, { p, predicted, target = null, unknown = "" }) {
  makeRows(list, order.length);
  order.forEach((k, i) => {
    const item = list.children[i];
    const right = k === target;
    item.className = [p && k === predicted ? "predicted" : "", right ? "true" : ""].join(" ");
    item.title = classes[k];
    item.dataset.class = k;
    item.dataset.value = p ? p[k] : "";
    item.children[0].textContent = classes[k];
    item.children[1].firstChild.style.width = p ? `${100 * p[k]}%` : "0";
    item.children[2].textContent = p ? percent(p[k]) : unknown;
    item.setAttribute("aria-label", [p ? `${classes[k]}: ${percent(p[k])}` : classes[k], right ? "the right class" : ""].filter(Boolean).join(", "));
  });
}
