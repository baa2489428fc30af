// Browse: all images of the data set on one canvas. The view is where the canvas's centre stands in
// the grid, in pixels of the images, and how many CSS pixels one of those is wide.

import { asksNetwork, choose, EVERYTHING } from "/static/choice.js";
import { ServerError } from "/static/client.js";
import { paintExample, palette } from "/static/colors.js";
import { h, moving } from "/static/dom.js";
import { examplesOf } from "/static/examples.js";
import { integer, number, percent } from "/static/format.js";

const EASE = 70; // milliseconds in which a motion gets within 1/e of its end
const REST = 140; // milliseconds without motion, after which all is drawn finely
const FRAME = 9; // milliseconds in which a fine picture must be drawn to be drawn while in motion
const LARGEST = 200; // CSS pixels of an image when few of them fit into the view
const PREVIEW = 84; // CSS pixels: the image beside the pointer; not shown where that large already
const CLICK = 5; // CSS pixels that a pointer may move in a click

export function mount(element, app) {
  const { image, shape, name } = app.lab.dataset;
  if (!image) {
    element.append(
      h("p", { class: "browse-none quiet" },
        `${name} has examples of ${shape.join(" × ")} values. Browse shows images: ` +
        "data sets of height × width × 1 or 3 values of a byte each."),
    );
    return;
  }
  new Browse(element, app);
}

class Browse {
  constructor(element, app) {
    this.app = app;
    this.examples = examplesOf(app);
    this.choice = { ...EVERYTHING };
    this.order = new Uint32Array();
    const [height, width] = app.lab.dataset.shape;
    this.gap = Math.max(height, width) / 14;
    this.cell = { width: width + this.gap, height: height + this.gap };
    this.view = { x: 0, y: 0, scale: 1 };
    this.target = this.view;
    this.fitted = true; // the whole grid is in view, and stays so when the page or the choice changes
    this.cursor = null; // a place in the order
    this.hovered = null;
    this.pointers = new Map();
    this.cost = 0; // milliseconds of the last fine picture
    element.append(this.#controls(), this.#stage());
    this.#listen();
    this.#describe();
  }

  // What there is to see and press

  #controls() {
    const { classes } = this.app.lab.dataset;
    const numbered = classes.map((label, k) => [k, label]);
    const any = (text, options) => [["", text], ...options];
    const select = (key, label, options) => {
      const list = h("select", { name: key, onchange: () => this.#chosen(key, list.value) },
        options.map(([value, text]) => h("option", { value }, text)));
      return h("label", { class: "browse-choice" }, h("span", {}, label), list);
    };
    const splits = this.examples.splits.map(({ name, count }) => [name, `${name} (${integer(count)})`]);
    this.direction = h("button", { type: "button", class: "icon", onclick: () => this.#turn() });
    this.counted = h("p", { class: "browse-count", role: "status" });
    this.refresh = h("button", { type: "button", hidden: true, onclick: () => this.#refresh() }, "Predict again");
    const button = (text, label, action) =>
      h("button", { type: "button", class: "icon", "aria-label": label, title: label, onclick: action }, text);
    this.controls = h("form", { class: "browse-controls", onsubmit: (event) => event.preventDefault() },
      select("split", "Split", any("all", splits)),
      select("class", "Class", any("all", numbered)),
      select("predicted", "Predicted", any("all", numbered)),
      select("outcome", "Result", any("all", [["right", "right"], ["wrong", "wrong"]])),
      h("div", { class: "browse-sort" },
        select("sort", "Sort by", ["index", "class", "confidence", "loss"].map((key) => [key, key])),
        this.direction),
      h("div", { class: "browse-state" }, this.counted, this.refresh),
      h("div", { class: "browse-zoom", role: "group", "aria-label": "Zoom" },
        button("−", "Zoom out", () => this.#zoom(1 / 1.6)),
        button("+", "Zoom in", () => this.#zoom(1.6)),
        h("button", { type: "button", title: "All images (0)", onclick: () => this.#fit() }, "Fit"),
        h("button", { type: "button", title: "No filter, as stored", onclick: () => this.choose({}) }, "Reset")));
    return this.controls;
  }

  #stage() {
    this.canvas = h("canvas", {
      tabindex: "0",
      role: "application",
      "aria-label": "Images. Arrow keys choose one, Enter shows it in the network, plus and minus zoom, 0 shows all.",
      "aria-describedby": "browse-told",
    });
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.frame = h("div", { class: "browse-frame", hidden: true });
    this.preview = h("canvas", { class: "browse-preview" });
    this.told = h("div", { class: "browse-text", id: "browse-told", "aria-live": "polite" });
    this.card = h("div", { class: "browse-card", hidden: true }, this.preview, this.told);
    this.empty = h("p", { class: "browse-empty quiet", hidden: true }, "No image matches these filters.");
    this.stage = h("div", { class: "browse-stage" }, this.canvas, this.frame, this.card, this.empty);
    return this.stage;
  }

  #listen() {
    const { canvas, app } = this;
    new ResizeObserver(() => this.#resize()).observe(this.stage);
    canvas.addEventListener("wheel", (event) => this.#wheel(event), { passive: false });
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", (event) => this.pointers.delete(event.pointerId));
    canvas.addEventListener("pointerleave", () => this.#point(null));
    canvas.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("focus", () => this.#told());
    canvas.addEventListener("blur", () => this.#told());
    app.on("theme", () => this.#draw());
    app.on("browse", (choice) => this.choose(choice));
    app.on("predictions", () => this.#predicted());
    for (const event of ["lab", "status", "view"]) app.on(event, () => this.#keepUp());
  }

  // Which examples, in which order

  /** Shows a choice, in all it does not say the ordinary one. */
  choose(choice) {
    this.choice = { ...EVERYTHING, ...choice };
    this.fitted = true;
    this.#describe();
    this.#arrange();
  }

  #chosen(key, value) {
    const numeric = key === "class" || key === "predicted";
    this.choice[key] = value === "" ? null : numeric ? Number(value) : value;
    this.fitted = true;
    this.#describe();
    this.#arrange();
  }

  #turn() {
    this.choice.descending = !this.choice.descending;
    this.#describe();
    this.#arrange();
  }

  #describe() {
    for (const list of this.controls.querySelectorAll("select")) list.value = this.choice[list.name] ?? "";
    this.direction.textContent = this.choice.descending ? "↓" : "↑";
    const label = this.choice.descending ? "Descending; press for ascending" : "Ascending; press for descending";
    this.direction.setAttribute("aria-label", label);
    this.direction.title = label;
  }

  /** Puts the chosen images in their places; asks the network first where that needs it. */
  async #arrange() {
    if (!this.started) return; // until the view is seen for the first time
    const { choice, examples } = this;
    const asked = { ...choice };
    this.arranged = false;
    if (asksNetwork(choice) && !examples.hasPredictions(choice.split)) {
      this.#say("The network looks at the images …");
      if (!(await this.#ask(() => examples.predict(choice.split)))) return;
      if (Object.keys(asked).some((key) => asked[key] !== this.choice[key])) return; // chosen anew
    }
    this.order = choose(examples, this.choice);
    this.cursor = null;
    this.hovered = null;
    this.empty.hidden = this.order.length > 0;
    this.arranged = true;
    this.#layout();
    this.#status();
  }

  async #ask(question) {
    try {
      await question();
      return true;
    } catch (error) {
      if (!(error instanceof ServerError)) throw error;
      this.#say(error.message);
      return false;
    }
  }

  async #refresh() {
    this.#say("The network looks at the images …");
    if (await this.#ask(() => this.examples.predict(this.choice.split))) this.#status();
  }

  #predicted() {
    if (asksNetwork(this.choice) && this.examples.hasPredictions(this.choice.split)) this.#arrange();
    else this.#draw();
    this.#status();
  }

  /** While training pauses, lets predictions follow the parameters: those shown, or else what is quick. */
  async #keepUp() {
    const { app, examples, choice } = this;
    this.#status();
    if (app.view !== "browse" || !this.arrived || app.status?.running) return;
    const step = app.status?.step;
    if (!asksNetwork(choice)) await this.#ask(() => examples.predictWhatIsQuick());
    else if (examples.isStale(choice.split)) await this.#refresh();
    if (app.status?.step !== step) await this.#keepUp(); // it has gone on meanwhile
  }

  /** Says how many images there are, and of which parameters the predictions are. */
  #status() {
    const { examples, order, choice, app } = this;
    if (!this.arranged || app.view !== "browse") return;
    const known = examples.hasPredictions(choice.split);
    const stale = known && examples.isStale(choice.split);
    this.refresh.hidden = !stale;
    const kept = examples.kept ?? examples.count;
    const parts = [
      order.length === examples.count
        ? `${integer(order.length)} images`
        : `${integer(order.length)} of ${integer(examples.count)} images`,
    ];
    if (examples.loaded < kept) parts.push(`loading, ${percent(examples.loaded / kept, 0)}`);
    if (kept < examples.count) parts.push(`pixels of the first ${integer(kept)} only: the rest is too large`);
    if (stale) parts.push(`predictions of step ${integer(examples.named(choice.split)[0].step)}`);
    this.#say(parts.join(" · "));
    this.canvas.dataset.loaded = examples.loaded;
  }

  #say(text) {
    if (this.counted.textContent !== text) this.counted.textContent = text;
  }

  // Where the images are

  get #extent() {
    const rows = Math.ceil(this.order.length / this.columns);
    return { width: this.columns * this.cell.width - this.gap, height: rows * this.cell.height - this.gap };
  }

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    this.width = width;
    this.height = height;
    this.ratio = Math.min(window.devicePixelRatio || 1, 2);
    this.canvas.width = Math.round(width * this.ratio);
    this.canvas.height = Math.round(height * this.ratio);
    this.picture = this.context.createImageData(this.canvas.width, this.canvas.height);
    this.screen = {
      pixels: new Uint32Array(this.picture.data.buffer),
      width: this.canvas.width,
      height: this.canvas.height,
    };
    if (!this.started) this.#start();
    else this.#layout();
  }

  async #start() {
    this.started = true;
    const first = this.#ask(() => this.examples.loadTargets());
    const images = this.#ask(() =>
      this.examples.loadImages(() => {
        this.#draw();
        this.#status();
      }),
    );
    this.#arrange();
    if (!(await first)) return;
    this.#arrange();
    this.arrived = await images;
    if (this.arrived) await this.#keepUp();
  }

  /** Chooses how many images are in a row: so that all of them fit as large as possible. */
  #layout() {
    const n = this.order.length;
    if (!n || !this.width) return this.#draw();
    const { cell, gap, width, height } = this;
    const held = this.fitted ? null : this.#under(width / 2, height / 2, true);
    const ideal = Math.sqrt((n * width * cell.height) / (height * cell.width));
    let best = 0;
    for (const columns of [Math.floor(ideal), Math.ceil(ideal), Math.ceil(ideal) + 1]) {
      if (columns < 1) continue;
      const rows = Math.ceil(n / columns);
      const scale = Math.min(width / (columns * cell.width - gap), height / (rows * cell.height - gap));
      if (scale > best) [best, this.columns] = [scale, Math.min(columns, n)];
    }
    const largest = Math.max(this.examples.shape[0], this.examples.shape[1]);
    this.least = Math.min(0.96 * best, LARGEST / largest);
    this.most = Math.max(8, (0.7 * Math.min(width, height)) / largest, this.least);
    if (held === null) this.#go(this.#whole(), false);
    else this.#go({ ...this.#centre(held), scale: this.view.scale }, false);
  }

  #whole() {
    const { width, height } = this.#extent;
    return { x: width / 2, y: height / 2, scale: this.least };
  }

  #centre(place) {
    const { cell, columns, gap } = this;
    return {
      x: (place % columns) * cell.width + (cell.width - gap) / 2,
      y: Math.floor(place / columns) * cell.height + (cell.height - gap) / 2,
    };
  }

  /** Where in the order the image under a point of the canvas stands: null for none, or the nearest. */
  #under(px, py, nearest = false) {
    const { view, cell, columns, order } = this;
    if (!order.length) return null;
    const x = view.x + (px - this.width / 2) / view.scale;
    const y = view.y + (py - this.height / 2) / view.scale;
    let [column, row] = [Math.floor(x / cell.width), Math.floor(y / cell.height)];
    if (nearest) {
      const rows = Math.ceil(order.length / columns);
      column = Math.max(0, Math.min(columns - 1, column));
      row = Math.max(0, Math.min(rows - 1, row));
      return Math.min(order.length - 1, row * columns + column);
    }
    const place = row * columns + column;
    return column >= 0 && column < columns && row >= 0 && place < order.length ? place : null;
  }

  /** The rectangle of a place on the canvas, in CSS pixels. */
  #rectangle(place, view = this.view) {
    const { examples } = this;
    const { x, y } = this.#centre(place);
    const [height, width] = examples.shape.map((side) => side * view.scale);
    return {
      left: this.width / 2 + (x - view.x) * view.scale - width / 2,
      top: this.height / 2 + (y - view.y) * view.scale - height / 2,
      width,
      height,
    };
  }

  // Motion

  /** Moves the view, at once or, where motion is welcome, within some tenths of a second. */
  #go(view, softly = true) {
    const scale = Math.max(this.least, Math.min(this.most, view.scale));
    const { width, height } = this.#extent;
    // The grid may be moved until its edge reaches the middle; what fits whole stays in the middle.
    const within = (at, size, side) =>
      size * scale <= side ? size / 2 : Math.max(side / 2 / scale, Math.min(size - side / 2 / scale, at));
    this.target = { x: within(view.x, width, this.width), y: within(view.y, height, this.height), scale };
    this.fitted = scale <= this.least * 1.001;
    if (!softly || !moving()) this.view = this.target;
    this.#draw();
  }

  #fit() {
    this.#go(this.#whole());
  }

  /** Zooms, so that what is at a point (the cursor, else the middle) stays there. */
  #zoom(factor, point = null) {
    if (!this.order.length) return;
    const around = point === null && this.cursor !== null;
    if (around) {
      const { left, top, width, height } = this.#rectangle(this.cursor);
      point = { x: left + width / 2, y: top + height / 2 };
    }
    const { x, y } = point ?? { x: this.width / 2, y: this.height / 2 };
    const scale = Math.max(this.least, Math.min(this.most, this.target.scale * factor));
    // What is at the point now, in the view as it is seen, is to be there in the end too.
    const [dx, dy] = [x - this.width / 2, y - this.height / 2];
    this.#go({ x: this.view.x + dx / this.view.scale - dx / scale, y: this.view.y + dy / this.view.scale - dy / scale, scale });
    if (around) this.#follow();
  }

  #pan(dx, dy) {
    const { scale } = this.view;
    this.#go({ x: this.view.x - dx / scale, y: this.view.y - dy / scale, scale }, false);
  }

  /** One step of the view towards its target; along the way what is at the zoom's centre stays. */
  #advance(milliseconds) {
    const { view, target } = this;
    const share = 1 - Math.exp(-milliseconds / EASE);
    const scale = view.scale * (target.scale / view.scale) ** share;
    const zoomed = Math.abs(target.scale / view.scale - 1) > 1e-3;
    const along = zoomed ? (1 / scale - 1 / view.scale) / (1 / target.scale - 1 / view.scale) : share;
    const [dx, dy] = [target.x - view.x, target.y - view.y];
    if (!zoomed && Math.hypot(dx, dy) * scale < 0.5) this.view = target;
    else this.view = { x: view.x + dx * along, y: view.y + dy * along, scale };
  }

  // Drawing

  #draw() {
    this.wanted ??= requestAnimationFrame((now) => {
      this.wanted = null;
      if (this.app.view === "browse" && this.screen) this.#frame(now);
    });
  }

  #frame(now) {
    if (this.view !== this.target) this.#advance(Math.min(50, now - (this.drawn ?? now - 16)));
    const inMotion = this.view !== this.target || this.pointers.size > 0 || now - (this.drawn ?? 0) < REST;
    this.drawn = now;
    this.#paint(!inMotion || this.cost < FRAME);
    this.#place();
    if (this.view !== this.target) this.#draw();
    else {
      this.drawn = null;
      clearTimeout(this.resting);
      if (!this.fine) this.resting = setTimeout(() => this.#draw(), REST);
    }
  }

  #paint(smooth) {
    const { view, examples, columns, gap, screen, ratio } = this;
    const started = performance.now();
    const { rgb } = palette();
    const ground = 0xff000000 | (rgb.page[2] << 16) | (rgb.page[1] << 8) | rgb.page[0];
    if (examples.pyramid && this.order.length) {
      const scale = view.scale * ratio;
      examples.pyramid.paint(screen, ground, {
        order: this.order,
        columns,
        left: screen.width / 2 - view.x * scale,
        top: screen.height / 2 - view.y * scale,
        scale,
        gap,
        smooth,
      });
    } else {
      screen.pixels.fill(ground);
    }
    this.context.putImageData(this.picture, 0, 0);
    this.fine = smooth;
    // For tests: where the images stand, once they stand.
    this.canvas.dataset.grid = smooth && view === this.target
      ? JSON.stringify({ columns, gap, scale: view.scale, left: this.width / 2 - view.x * view.scale, top: this.height / 2 - view.y * view.scale })
      : "";
    if (smooth) this.cost = performance.now() - started;
    this.#markWrong();
  }

  /** Underlines what the network gets wrong, where the gap leaves room for a line. */
  #markWrong() {
    const { examples, view, order, ratio, columns } = this;
    const thickness = Math.floor((this.gap * view.scale) / 2);
    if (thickness < 1 || !order.length) return;
    const seen = (at, middle, pitch) => [-1, 1].map((end) => Math.floor((at + (end * middle) / view.scale) / pitch));
    const [left, right] = seen(view.x, this.width / 2, this.cell.width);
    const [top, bottom] = seen(view.y, this.height / 2, this.cell.height);
    this.context.fillStyle = palette().positive;
    for (let row = Math.max(0, top); row <= bottom; row++) {
      for (let column = Math.max(0, left); column <= Math.min(right, columns - 1); column++) {
        const place = row * columns + column;
        if (place >= order.length) break;
        const i = order[place];
        if (examples.predicted[i] < 0 || examples.predicted[i] === examples.targets[i]) continue;
        const { left, top, width, height } = this.#rectangle(place);
        this.context.fillRect(left * ratio, (top + height) * ratio + 1, width * ratio, thickness * ratio);
      }
    }
  }

  // Pointing

  #at(event) {
    const box = this.canvas.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top };
  }

  #wheel(event) {
    event.preventDefault();
    const lines = event.deltaMode === WheelEvent.DOM_DELTA_LINE ? 20 : 1;
    // A trackpad's pinch comes as small steps with ctrl held.
    const speed = event.ctrlKey ? 0.01 : 0.002;
    this.#zoom(Math.exp(-event.deltaY * lines * speed), this.#at(event));
  }

  #down(event) {
    if (event.button > 0) return;
    this.canvas.setPointerCapture(event.pointerId);
    const at = this.#at(event);
    this.pointers.set(event.pointerId, at);
    this.moved = this.pointers.size > 1 ? Infinity : 0;
    this.target = this.view;
  }

  #move(event) {
    const at = this.#at(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (event.pointerType !== "touch") this.#point(this.#under(at.x, at.y));
      return;
    }
    const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
    this.moved += Math.hypot(at.x - before.x, at.y - before.y);
    if (this.moved < CLICK) return; // a click with an unsteady hand; `before` stays, nothing is lost
    this.pointers.set(event.pointerId, at);
    if (others.length) {
      const [, other] = others[0];
      const spread = (p) => Math.max(20, Math.hypot(p.x - other.x, p.y - other.y));
      const middle = { x: (at.x + other.x) / 2, y: (at.y + other.y) / 2 };
      const scale = Math.max(this.least, Math.min(this.most, (this.view.scale * spread(at)) / spread(before)));
      const [dx, dy] = [middle.x - this.width / 2, middle.y - this.height / 2];
      const shift = 1 / this.view.scale - 1 / scale;
      const [px, py] = [(at.x - before.x) / 2 / scale, (at.y - before.y) / 2 / scale];
      this.#go({ x: this.view.x + dx * shift - px, y: this.view.y + dy * shift - py, scale }, false);
    } else {
      this.#pan(at.x - before.x, at.y - before.y);
    }
    this.canvas.classList.add("dragged");
    this.#point(null);
  }

  #up(event) {
    if (!this.pointers.delete(event.pointerId)) return;
    this.canvas.classList.remove("dragged");
    this.#draw();
    if (this.moved >= CLICK) return;
    const { x, y } = this.#at(event);
    const place = this.#under(x, y);
    if (place === null) return;
    // With a finger there is no hovering: the first tap tells, a second one on the same image shows.
    const told = event.pointerType !== "touch" || this.cursor === place;
    this.cursor = place;
    this.#told();
    if (told) this.#show(place);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { columns, order } = this;
    const page = Math.max(1, Math.floor(this.height / (this.cell.height * this.view.scale))) * columns;
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns,
      PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity,
    };
    if (!order.length) return;
    if (event.key in steps) {
      const from = this.cursor ?? this.#under(this.width / 2, this.height / 2, true);
      let to = this.cursor === null && Math.abs(steps[event.key]) < Infinity ? from : from + steps[event.key];
      if (to === -Infinity) to = 0;
      if (to === Infinity) to = order.length - 1;
      if (to >= 0 && to < order.length) this.cursor = to;
      this.hovered = null;
      this.#follow();
      this.#told();
    } else if (event.key === "+" || event.key === "=") this.#zoom(1.6);
    else if (event.key === "-") this.#zoom(1 / 1.6);
    else if (event.key === "0") this.#fit();
    else if (event.key === "Enter" && this.cursor !== null) this.#show(this.cursor);
    else if (event.key === "Escape") {
      this.cursor = null;
      this.#told();
    } else return;
    event.preventDefault();
  }

  /** Moves the view as little as needed for the cursor to be in it. */
  #follow() {
    const { left, top, width, height } = this.#rectangle(this.cursor, this.target);
    const margin = 12;
    const beyond = (from, size, side) => Math.min(0, from - margin) + Math.max(0, from + size + margin - side);
    const [dx, dy] = [beyond(left, width, this.width), beyond(top, height, this.height)];
    if (dx || dy) {
      const { x, y, scale } = this.target;
      this.#go({ x: x + dx / scale, y: y + dy / scale, scale });
    }
  }

  #point(place) {
    if (place === this.hovered) return;
    this.hovered = place;
    this.#told();
  }

  #show(place) {
    this.app.select(this.examples.place(this.order[place]));
  }

  /** Tells what is pointed at: by the pointer, else by the keyboard's cursor. */
  async #told() {
    const place = this.hovered ?? this.cursor;
    this.pointed = place;
    if (place === null) return this.#place();
    const { examples } = this;
    const i = this.order[place];
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
    this.told.replaceChildren(...lines);
    if (examples.pyramid && i < examples.kept) {
      paintExample(this.preview, examples.pyramid.pixels(i), examples.shape, examples.limits);
    }
    this.#place();
  }

  /** Puts the frame around what is pointed at, and the card beside it. */
  #place() {
    const place = this.pointed ?? null;
    const shown = place !== null && place < this.order.length;
    this.frame.hidden = this.card.hidden = !shown;
    if (!shown) return;
    const { left, top, width, height } = this.#rectangle(place);
    Object.assign(this.frame.style, {
      transform: `translate(${left - 2}px, ${top - 2}px)`,
      width: `${width + 4}px`,
      height: `${height + 4}px`,
    });
    this.preview.hidden = Math.max(width, height) > PREVIEW;
    const { offsetWidth, offsetHeight } = this.card;
    const room = 10;
    const x = left + width + room + offsetWidth < this.width ? left + width + room : left - room - offsetWidth;
    const y = Math.max(4, Math.min(this.height - offsetHeight - 4, top + height / 2 - offsetHeight / 2));
    this.card.style.transform = `translate(${Math.max(4, Math.min(this.width - offsetWidth - 4, x))}px, ${y}px)`;
  }
}
