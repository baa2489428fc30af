// Browse: all images of the data set on one canvas. camera.js says where they are seen, mosaic.js paints
// them, gestures.js hears, controls.js and card.js tell.

import { asksNetwork, choose, EVERYTHING } from "../choice.js";
import { Problem } from "../client.js";
import { palette } from "../colors.js";
import { h, moving } from "../dom.js";
import { integer, percent } from "../format.js";
import { advanced, centre, following, makeGrid, middlePlace, moved, placeAt, rectangle, scaled, whole, within } from "./camera.js";
import { imageCard } from "./card.js";
import { controls } from "./controls.js";
import { listen } from "./gestures.js";
import { paintGrid } from "./mosaic.js";

const REST = 140; // milliseconds without motion, after which all is drawn finely
const FRAME = 9; // milliseconds in which a fine picture must be drawn to be drawn while in motion

export function mountBrowse(element, state) {
  const { image, shape, name, missing } = state.lab.dataset;
  if (missing || !image) {
    element.append(
      h("p", { class: "browse-none quiet" },
        missing || `${name} has examples of ${shape.join(" × ")} values. Browse shows images: ` +
        "data sets of height × width × 1 or 3 values of a byte each."),
    );
    return;
  }
  new Browse(element, state);
}

class Browse {
  constructor(element, state) {
    this.state = state;
    this.examples = state.examples;
    this.choice = state.choice;
    this.order = new Uint32Array();
    this.grid = null; // until there is something to see
    this.view = { x: 0, y: 0, scale: 1 };
    this.target = this.view;
    this.fitted = true; // the whole grid is in view, and stays so when the page or the choice changes
    this.cursor = null; // a place in the order
    this.hovered = null;
    this.cost = 0; // milliseconds of the last fine picture
    this.controls = controls(this.examples, {
      choose: (changes) => state.change({ choice: { ...state.choice, ...changes } }),
      reset: () => state.change({ choice: EVERYTHING }),
      zoom: (factor) => this.#zoom(factor),
      fit: () => this.#fit(),
      refresh: () => this.#refresh(),
    });
    this.controls.show(this.choice);
    element.append(this.controls.element, this.#stage());
    new ResizeObserver(() => this.#resize()).observe(this.stage);
    state.on("theme", () => this.#draw());
    state.on("choice", () => this.#choose());
    state.on("predictions", () => this.#predicted());
    state.on("lab status view", () => this.#keepUp());
  }

  #stage() {
    this.canvas = h("canvas", {
      tabindex: "0",
      role: "application",
      "aria-label": "Images. Arrow keys choose one, Enter shows it in the network, plus and minus zoom, 0 shows all.",
      "aria-describedby": "browse-told",
      onfocus: () => this.#tell(),
      onblur: () => this.#tell(),
    });
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.card = imageCard(this.examples);
    this.empty = h("p", { class: "browse-empty quiet", hidden: true }, "No image matches these filters.");
    this.stage = h("div", { class: "browse-stage" }, this.canvas, this.card.elements, this.empty);
    this.gestures = listen(this.canvas, {
      hold: () => { this.target = this.view; },
      zoom: (factor, point) => this.#zoom(factor, point),
      drag: (dx, dy) => this.#go(moved(this.view, dx, dy), false),
      pinch: (factor, point, dx, dy) => {
        if (this.grid) this.#go(moved(scaled(this.grid, this.view, this.view.scale * factor, point), dx, dy), false);
      },
      point: (at) => this.#point(at),
      tap: (at, touch) => this.#tap(at, touch),
      release: () => this.#draw(),
      key: (name) => this.#key(name),
    });
    return this.stage;
  }

  // Which examples, in which order

  #choose() {
    const { choice } = this.state;
    const turned = choice.descending !== this.choice.descending && same({ ...choice, descending: !choice.descending }, this.choice);
    this.choice = choice;
    this.fitted ||= !turned;
    this.controls.show(choice);
    this.#arrange();
  }

  /** Puts the chosen images in their places; asks the network first where that needs it. */
  async #arrange() {
    if (!this.started) return; // until the view is seen for the first time
    const { choice, examples } = this;
    this.arranged = false;
    if (asksNetwork(choice) && !examples.hasPredictions(choice.split)) {
      this.controls.say("The network looks at the images …");
      if (!(await this.#ask(() => examples.predict(choice.split)))) return;
      if (!same(choice, this.choice)) return; // chosen anew
    }
    this.order = choose(examples, choice);
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
      if (!(error instanceof Problem)) throw error;
      this.controls.say(error.message);
      return false;
    }
  }

  async #refresh() {
    this.controls.say("The network looks at the images …");
    if (await this.#ask(() => this.examples.predict(this.choice.split))) this.#status();
  }

  #predicted() {
    if (asksNetwork(this.choice) && this.examples.hasPredictions(this.choice.split)) this.#arrange();
    else this.#draw();
    this.#status();
  }

  /** While training pauses, lets predictions follow the parameters: those shown, or else what is quick. */
  async #keepUp() {
    const { state, examples, choice } = this;
    this.#status();
    if (state.view !== "browse" || !this.arrived || state.status?.running) return;
    const step = state.status?.step;
    if (!asksNetwork(choice)) await this.#ask(() => examples.predictWhatIsQuick());
    else if (examples.isStale(choice.split)) await this.#refresh();
    if (state.status?.step !== step) await this.#keepUp(); // it has gone on meanwhile
  }

  /** Says how many images there are, and of which parameters the predictions are. */
  #status() {
    const { examples, order, choice, state } = this;
    if (!this.arranged || state.view !== "browse") return;
    const known = examples.hasPredictions(choice.split);
    const stale = known && examples.isStale(choice.split);
    this.controls.stale(stale);
    const kept = examples.kept ?? examples.count;
    const parts = [
      order.length === examples.count
        ? `${integer(order.length)} images`
        : `${integer(order.length)} of ${integer(examples.count)} images`,
    ];
    if (examples.loaded < kept) parts.push(`loading, ${percent(examples.loaded / kept, 0)}`);
    if (kept < examples.count) parts.push(`pixels of the first ${integer(kept)} only: the rest is too large`);
    if (stale) parts.push(`predictions of step ${integer(examples.named(choice.split)[0].step)}`);
    this.controls.say(parts.join(" · "));
    this.canvas.dataset.loaded = examples.loaded;
  }

  // Where the images are

  #resize() {
    const { clientWidth: width, clientHeight: height } = this.stage;
    if (!width || !height) return;
    this.size = { width, height };
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

  #layout() {
    const held = this.grid && !this.fitted ? middlePlace(this.grid, this.view) : null;
    this.grid = this.order.length ? makeGrid(this.order.length, this.examples.shape, this.size) : null;
    if (!this.grid) return this.#draw();
    if (held === null) this.#go(whole(this.grid), false);
    else this.#go({ ...centre(this.grid, held), scale: this.view.scale }, false);
  }

  // Motion

  /** Moves the view, at once or, where motion is welcome, within some tenths of a second. */
  #go(view, softly = true) {
    if (!this.grid) return;
    this.target = within(this.grid, view);
    this.fitted = this.target.scale <= this.grid.least * 1.001;
    if (!softly || !moving()) this.view = this.target;
    this.#draw();
  }

  #fit() {
    if (this.grid) this.#go(whole(this.grid));
  }

  /** Zooms, so that what is at a point (the cursor, else the middle) stays there. */
  #zoom(factor, point = null) {
    const { grid, view, target, cursor } = this;
    if (!grid) return;
    const around = point === null && cursor !== null;
    const { left, top, width, height } = around ? rectangle(grid, view, cursor) : { left: 0, top: 0, ...this.size };
    // What is at the point now, in the view as it is seen, is to be there in the end too.
    this.#go(scaled(grid, view, target.scale * factor, point ?? { x: left + width / 2, y: top + height / 2 }));
    if (around) this.#follow();
  }

  /** Moves the view as little as needed for the cursor to be in it. */
  #follow() {
    const next = following(this.grid, this.target, this.cursor);
    if (!same(next, this.target)) this.#go(next);
  }

  // Drawing

  #draw() {
    this.wanted ??= requestAnimationFrame((now) => {
      this.wanted = null;
      if (this.state.view === "browse" && this.screen) this.#frame(now);
    });
  }

  #frame(now) {
    if (this.view !== this.target) this.view = advanced(this.view, this.target, Math.min(50, now - (this.drawn ?? now - 16)));
    const inMotion = this.view !== this.target || this.gestures.held() || now - (this.drawn ?? 0) < REST;
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
    const { view, examples, grid, order, screen, ratio } = this;
    const started = performance.now();
    const { rgb } = palette();
    const ground = 0xff000000 | (rgb.page[2] << 16) | (rgb.page[1] << 8) | rgb.page[0];
    if (examples.pyramid && grid) {
      const scale = view.scale * ratio;
      const [left, top] = [screen.width / 2 - view.x * scale, screen.height / 2 - view.y * scale];
      paintGrid(examples.pyramid, screen, ground, { order, columns: grid.columns, left, top, scale, gap: grid.gap, smooth });
    } else {
      screen.pixels.fill(ground);
    }
    this.context.putImageData(this.picture, 0, 0);
    this.fine = smooth;
    // For tests: where the images stand, once they stand.
    const { left, top } = grid ? rectangle(grid, view, 0) : {};
    this.canvas.dataset.grid = smooth && grid && view === this.target
      ? JSON.stringify({ columns: grid.columns, gap: grid.gap, scale: view.scale, left, top }) : "";
    if (smooth) this.cost = performance.now() - started;
    this.#markWrong();
  }

  /** Underlines what the network gets wrong, where the gap leaves room for a line. */
  #markWrong() {
    const { examples, view, grid, order, ratio } = this;
    const thickness = grid ? Math.floor((grid.gap * view.scale) / 2) : 0;
    if (thickness < 1) return;
    const seen = (at, middle, pitch) => [-1, 1].map((end) => Math.floor((at + (end * middle) / view.scale) / pitch));
    const [first, last] = seen(view.x, grid.width / 2, grid.cell.width);
    const [top, bottom] = seen(view.y, grid.height / 2, grid.cell.height);
    this.context.fillStyle = palette().positive;
    for (let row = Math.max(0, top); row <= bottom; row++) {
      for (let column = Math.max(0, first); column <= Math.min(last, grid.columns - 1); column++) {
        const place = row * grid.columns + column;
        if (place >= order.length) break;
        const i = order[place];
        if (examples.predicted[i] < 0 || examples.predicted[i] === examples.targets[i]) continue;
        const { left, top, width, height } = rectangle(grid, view, place);
        this.context.fillRect(left * ratio, (top + height) * ratio + 1, width * ratio, thickness * ratio);
      }
    }
  }

  // Pointing

  #tap({ x, y }, touch) {
    const place = this.grid && placeAt(this.grid, this.view, x, y);
    if (place === null) return;
    // With a finger there is no hovering: the first tap tells, a second one on the same image shows.
    const told = !touch || this.cursor === place;
    this.cursor = place;
    this.#tell();
    if (told) this.#show(place);
  }

  #key(name) {
    const { grid } = this;
    if (!grid) return false;
    const page = Math.max(1, Math.floor(grid.height / (grid.cell.height * this.view.scale))) * grid.columns;
    const steps = {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns, ArrowDown: grid.columns,
      PageUp: -page, PageDown: page, Home: -Infinity, End: Infinity,
    };
    if (name in steps) this.#step(steps[name]);
    else if (name === "+" || name === "=") this.#zoom(1.6);
    else if (name === "-") this.#zoom(1 / 1.6);
    else if (name === "0") this.#fit();
    else if (name === "Enter" && this.cursor !== null) this.#show(this.cursor);
    else if (name === "Escape") {
      this.cursor = null;
      this.#tell();
    } else return false;
    return true;
  }

  /** Moves the cursor; without one, it begins in the middle. */
  #step(by) {
    const last = this.grid.count - 1;
    const from = this.cursor ?? middlePlace(this.grid, this.view);
    let to = this.cursor === null && Math.abs(by) < Infinity ? from : from + by;
    if (to === -Infinity) to = 0;
    if (to === Infinity) to = last;
    if (to >= 0 && to <= last) this.cursor = to;
    this.hovered = null;
    this.#follow();
    this.#tell();
  }

  #point(at) {
    const place = at && this.grid ? placeAt(this.grid, this.view, at.x, at.y) : null;
    if (place === this.hovered) return;
    this.hovered = place;
    this.#tell();
  }

  #show(place) {
    this.state.select(this.examples.place(this.order[place]));
    this.state.go("network");
  }

  /** Tells what is pointed at: by the pointer, else by the keyboard's cursor. */
  #tell() {
    this.pointed = this.hovered ?? this.cursor;
    if (this.pointed !== null) this.card.tell(this.order[this.pointed]);
    this.#place();
  }

  /** Puts the frame around what is pointed at, and the card beside it. */
  #place() {
    const place = this.pointed ?? null;
    const shown = place !== null && place < this.order.length;
    this.card.place(shown ? rectangle(this.grid, this.view, place) : null, this.size);
  }
}

const same = (a, b) => Object.keys(a).every((key) => a[key] === b[key]);
