// Mistakes: what the network takes for what, in a split; and the examples behind each number.

import { choose, EVERYTHING } from "../choice.js";
import { Problem } from "../client.js";
import { paintExample } from "../colors.js";
import { h } from "../dom.js";
import { integer, percent } from "../format.js";

const NUMBERED = 24; // with more classes the numbers would be too small to read
const MOST_CLASSES = 100; // with more, only the most frequent mistakes are listed
const LISTED = 10;
const STRIP = 24; // examples shown of a cell

export function mountMistakes(element, state) {
  const { missing } = state.lab.dataset;
  if (missing) element.append(h("p", { class: "mistakes-none quiet" }, missing));
  else new Mistakes(element, state);
}

class Mistakes {
  constructor(element, state) {
    this.state = state;
    this.element = element;
    this.examples = state.examples;
    this.split = ["test", "validation", "train"].find((name) => state.lab.dataset.splits[name]);
    this.cell = null; // {class, predicted} whose examples are shown
    element.append(this.#frame());
    state.on("view status lab", () => this.#look());
    state.on("predictions", () => {
      if (this.shown !== this.#version()) this.#show();
    });
  }

  #frame() {
    const splits = this.examples.splits.map(({ name, count }) =>
      h("option", { value: name, selected: name === this.split }, `${name} (${integer(count)})`));
    this.list = h("select", { name: "split", onchange: () => this.#chosen() }, splits);
    this.said = h("p", { class: "mistakes-said", role: "status" });
    this.again = h("button", { type: "button", onclick: () => this.#ask() }, "Predict again");
    this.accuracy = h("p", { class: "mistakes-accuracy" });
    this.matrix = h("div", { class: "mistakes-matrix" });
    this.pairs = h("div", { class: "mistakes-pairs" });
    this.strip = h("div", { class: "mistakes-strip", "aria-live": "polite" });
    return h("div", { class: "mistakes" },
      h("div", { class: "mistakes-controls" },
        h("label", { class: "labelled" }, h("span", {}, "Split"), this.list),
        this.again, this.accuracy, this.said),
      h("div", { class: "mistakes-body" }, this.matrix, h("div", { class: "mistakes-side" }, this.pairs, this.strip)));
  }

  #chosen() {
    this.split = this.list.value;
    this.cell = null;
    this.#look();
  }

  /** Shows what is known, and asks for what is not, unless training would make it old at once. */
  #look() {
    if (this.state.view !== "mistakes") return;
    const { examples, split, state } = this;
    const known = examples.hasPredictions(split);
    const stale = examples.isStale(split);
    if (!known || (stale && !state.status?.running)) this.#ask();
    else if (this.shown !== this.#version()) this.#show();
    else this.#say();
  }

  #version() {
    return `${this.split} ${this.examples.named(this.split)[0].version}`;
  }

  async #ask() {
    if (this.asking) return;
    this.asking = true;
    const step = this.state.status?.step;
    this.said.textContent = "The network looks at the examples …";
    try {
      await Promise.all([this.examples.loadTargets(), this.examples.predict(this.split)]);
      this.asking = false;
      this.#show();
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.said.textContent = error.message;
    } finally {
      this.asking = false;
    }
    if (this.state.status?.step !== step) this.#look(); // it has gone on meanwhile
  }

  /** Of which parameters the numbers are. */
  #say() {
    const { step } = this.examples.named(this.split)[0];
    const stale = this.examples.isStale(this.split);
    this.said.textContent = stale
      ? `predictions of step ${integer(step)}; training is at ${integer(this.state.status.step)}`
      : `predictions of step ${integer(step)}`;
    this.said.classList.toggle("warned", stale);
  }

  #count() {
    const { examples } = this;
    const k = examples.classes.length;
    const counts = new Int32Array(k * k);
    const { start, count } = examples.named(this.split)[0];
    for (let i = start; i < start + count; i++) counts[examples.targets[i] * k + examples.predicted[i]]++;
    return counts;
  }

  async #show() {
    if (this.state.view !== "mistakes" || this.asking) return;
    await this.examples.loadTargets();
    if (!this.examples.hasPredictions(this.split)) return;
    this.shown = this.#version();
    this.counts = this.#count();
    const k = this.examples.classes.length;
    const rows = Array.from({ length: k }, (_, i) => this.counts.subarray(i * k, (i + 1) * k));
    const total = this.counts.reduce((sum, n) => sum + n, 0);
    const right = rows.reduce((sum, row, i) => sum + row[i], 0);
    this.accuracy.replaceChildren(
      h("b", {}, percent(right / total, 2)),
      h("span", { class: "quiet" }, ` right: ${integer(right)} of ${integer(total)}, ${integer(total - right)} mistakes`),
    );
    this.#say();
    this.#matrix(rows);
    this.#pairs(rows);
    this.#strip();
  }

  // The matrix: a table whose cells are buttons, one of them in the order of Tab

  #matrix(rows) {
    const { classes } = this.examples;
    const k = classes.length;
    if (k > MOST_CLASSES) {
      this.matrix.replaceChildren(
        h("p", { class: "quiet" }, `${k} classes are too many for a matrix. The most frequent mistakes are listed.`));
      return;
    }
    const focused = this.matrix.contains(document.activeElement) ? document.activeElement.dataset : null;
    const support = rows.map((row) => row.reduce((sum, n) => sum + n, 0));
    const guessed = classes.map((_, j) => rows.reduce((sum, row) => sum + row[j], 0));
    const worst = Math.max(...rows.flatMap((row, i) => Array.from(row, (n, j) => (i === j || !support[i] ? 0 : n / support[i]))));
    const numbered = k <= NUMBERED;
    const share = (part, whole) => (whole ? (100 * part / whole).toFixed(1) : "–");
    const head = h("tr", {},
      h("td", { class: "corner" }),
      classes.map((name) => h("th", { scope: "col", title: name }, h("span", {}, name))),
      h("th", { scope: "col", class: "margin" }, "recall %"));
    const body = rows.map((row, i) =>
      h("tr", {},
        h("th", { scope: "row", title: classes[i] }, h("span", {}, classes[i])),
        Array.from(row, (n, j) => {
          const cell = h("button", {
            type: "button",
            tabindex: i === 0 && j === 0 ? "0" : "-1",
            class: !n ? "none" : i === j ? "right" : "wrong",
            "aria-label": `${classes[i]} predicted as ${classes[j]}: ${integer(n)}`,
            title: `${classes[i]} predicted as ${classes[j]}: ${integer(n)} of ${integer(support[i])}`,
            data: { class: i, predicted: j, count: n },
          }, numbered && n ? integer(n) : "");
          // As plots/confusion.py: mistakes relative to the most frequent one, what is right to all of a class.
          const strength = !support[i] ? 0 : i === j ? n / support[i] : 0.9 * Math.sqrt(n / support[i] / (worst || 1));
          cell.style.setProperty("--strength", `${(100 * strength).toFixed(1)}%`);
          return h("td", {}, cell);
        }),
        h("td", { class: "margin" }, share(row[i], support[i]))));
    const foot = h("tr", {},
      h("th", { scope: "row", class: "margin" }, "precision %"),
      classes.map((_, j) => h("td", { class: "margin" }, share(rows[j][j], guessed[j]))),
      h("td", { class: "corner" }));
    const table = h("table", {
      class: numbered ? "confusion numbered" : "confusion",
      onclick: (event) => this.#choose(event.target.closest("button")),
      onkeydown: (event) => this.#key(event),
    },
      h("caption", {}, h("span", {}, "A row for each class, a column for each predicted one. "),
        h("span", { class: "quiet" }, "Choose a cell to see its examples.")),
      h("thead", {}, head), h("tbody", {}, body), h("tfoot", {}, foot));
    this.matrix.replaceChildren(table);
    const marked = focused ?? this.cell;
    if (marked) this.#focus(this.#button(marked.class, marked.predicted), Boolean(focused));
    this.#mark();
  }

  #button(row, column) {
    return this.matrix.querySelector(`button[data-class="${row}"][data-predicted="${column}"]`);
  }

  #focus(button, really = true) {
    if (!button) return;
    for (const other of this.matrix.querySelectorAll('button[tabindex="0"]')) other.tabIndex = -1;
    button.tabIndex = 0;
    if (really) button.focus();
  }

  #key(event) {
    const button = event.target.closest("button");
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!button || !step) return;
    event.preventDefault();
    this.#focus(this.#button(Number(button.dataset.class) + step[0], Number(button.dataset.predicted) + step[1]));
  }

  #choose(button) {
    if (!button) return;
    this.#focus(button);
    this.#open({ class: Number(button.dataset.class), predicted: Number(button.dataset.predicted) });
  }

  #open(cell) {
    this.cell = cell;
    this.#mark();
    this.#strip();
  }

  #mark() {
    for (const button of this.element.querySelectorAll("[aria-pressed]")) button.removeAttribute("aria-pressed");
    if (!this.cell) return;
    const { class: row, predicted } = this.cell;
    const same = `[data-class="${row}"][data-predicted="${predicted}"]`;
    for (const button of this.element.querySelectorAll(`button${same}`)) button.setAttribute("aria-pressed", "true");
  }

  // The most frequent mistakes, and the examples of a cell

  #pairs(rows) {
    const { classes } = this.examples;
    const found = rows
      .flatMap((row, i) => Array.from(row, (n, j) => ({ class: i, predicted: j, n })))
      .filter((pair) => pair.class !== pair.predicted && pair.n)
      .sort((a, b) => b.n - a.n)
      .slice(0, LISTED);
    if (!found.length) {
      this.pairs.replaceChildren(h("h2", {}, "No mistakes"));
      return;
    }
    const most = found[0].n;
    const items = found.map((pair) => {
      const bar = h("i");
      bar.style.width = `${(100 * pair.n) / most}%`;
      return h("li", {},
        h("button", { type: "button", class: "bare", data: { class: pair.class, predicted: pair.predicted }, onclick: () => this.#open({ class: pair.class, predicted: pair.predicted }) },
          h("span", { class: "pair" }, `${classes[pair.class]} → ${classes[pair.predicted]}`),
          h("span", { class: "bar" }, bar),
          h("span", { class: "n" }, integer(pair.n))));
    });
    this.pairs.replaceChildren(h("h2", {}, "Most frequent mistakes"), h("ol", {}, items));
  }

  async #strip() {
    if (!this.cell) {
      this.strip.replaceChildren();
      return;
    }
    const { examples, split, cell } = this;
    const { classes, shape, limits, image } = examples;
    const choice = { split, ...cell, outcome: null, sort: "confidence", descending: true };
    const order = choose(examples, choice);
    const sure = cell.class === cell.predicted ? "the surest first" : "the surest mistakes first";
    const title = cell.class === cell.predicted
      ? `${classes[cell.class]}, rightly predicted`
      : `${classes[cell.class]} taken for ${classes[cell.predicted]}`;
    const head = h("div", { class: "mistakes-head" },
      h("h2", {}, `${title}: ${integer(order.length)}`),
      order.length > 0 && image
        ? h("button", { type: "button", onclick: () => this.#browse(choice) }, "Open in Browse")
        : null,
      order.length ? h("p", { class: "quiet small" }, `${sure}; choose one to see it in the network`) : null);
    const items = Array.from(order.subarray(0, STRIP), (i) => {
      const { split: name, index } = examples.place(i);
      const sureness = percent(examples.confidence[i]);
      const canvas = image ? h("canvas", { "aria-hidden": "true" }) : null;
      if (canvas) this.#paint(canvas, i, shape, limits);
      return h("li", {},
        h("button", { type: "button", class: "bare", "aria-label": `${name} ${index}, ${sureness} sure`, data: { index }, onclick: () => this.#select({ split: name, index }) },
          canvas, h("span", { class: "small" }, sureness), h("span", { class: "small quiet" }, integer(index))));
    });
    this.strip.replaceChildren(head, h("ul", {}, items));
  }

  async #paint(canvas, i, shape, limits) {
    try {
      paintExample(canvas, await this.examples.pixels(i), shape, limits);
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      this.said.textContent = error.message;
    }
  }

  #select(example) {
    this.state.select(example);
    this.state.go("network");
  }

  #browse(choice) {
    this.state.change({ choice: { ...EVERYTHING, ...choice } });
    this.state.go("browse");
  }
}
