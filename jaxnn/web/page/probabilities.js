// Rows of classes with their probabilities.

import { h } from "./dom.js";
import { number, percent } from "./format.js";

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

const is = (k, one) => (one instanceof Set ? one.has(k) : k === one);

/** Shows a number in each row, and the true one, if that is known. */
export function showNumbers(list, names, order, { answers, truth }) {
  makeRows(list, order.length);
  order.forEach((k, i) => {
    const item = list.children[i];
    const said = answers ? number(answers[k], 4) : "";
    const known = truth ? `true ${number(truth[k], 4)}` : "";
    item.className = "number predicted";
    item.title = names[k];
    item.dataset.value = answers ? answers[k] : "";
    item.children[0].textContent = names[k];
    item.children[1].firstChild.style.width = "0";
    item.children[2].replaceChildren(said, h("span", { class: "quiet" }, known));
    item.setAttribute("aria-label", [`${names[k]}: ${said}`, known].filter(Boolean).join(", "));
  });
}

/** The classes by their probabilities, the likeliest first. */
export const likeliest = (p) => Array.from(p.keys()).sort((a, b) => p[b] - p[a] || a - b);

/**
 * Shows a class in each row, those of `order`. `p` has the probabilities of all, null where they are
 * not known, for which `unknown` stands; the predicted class and the true one, if given, are marked:
 * of several at once, they are sets.
 */
export function showRows(list, classes, order, { p, predicted, target = null, unknown = "" }) {
  makeRows(list, order.length);
  order.forEach((k, i) => {
    const item = list.children[i];
    const right = is(k, target);
    item.className = [p && is(k, predicted) ? "predicted" : "", right ? "true" : ""].join(" ");
    item.title = classes[k];
    item.dataset.class = k;
    item.dataset.value = p ? p[k] : "";
    item.children[0].textContent = classes[k];
    item.children[1].firstChild.style.width = p ? `${100 * p[k]}%` : "0";
    item.children[2].textContent = p ? percent(p[k]) : unknown;
    item.setAttribute("aria-label", [p ? `${classes[k]}: ${percent(p[k])}` : classes[k], right ? "the right class" : ""].filter(Boolean).join(", "));
  });
}
