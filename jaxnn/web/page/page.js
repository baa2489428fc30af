// The page: its panels in their places, which of them are in view, and light or dark.

import { Problem } from "./client.js";
import { forgetPalette } from "./colors.js";
import { h } from "./dom.js";
import { size } from "./format.js";
import { PANELS } from "./panels.js";
import { State } from "./state.js";

/** Makes the page, of what a client has to say; with that example and theme, where they are given. */
export async function start(client, { example, theme } = {}) {
  const state = new State(client);
  window.jaxnn = state; // for tests and the curious
  state.on("notice", showNotice);
  themes(state, theme);
  const links = document.querySelector("nav");
  links.append(...PANELS.filter(isView).map(({ name, title }) => h("a", { href: `#${name}` }, title)));
  try {
    state.on("lab", showLab);
    state.describe(await client.lab());
    mount(state, PANELS.filter(({ offered }) => offered?.(state) ?? true), links);
    state.listen();
    const { splits, missing, blank, shape } = state.lab.dataset;
    const split = ["test", "validation", "train"].find((name) => splits[name]);
    const first = missing ? { pixels: { data: blank, shape }, target: null, blank: true } : { split, index: 0 };
    await state.select(example ?? first);
  } catch (error) {
    state.change({ notice: error.message });
    if (!(error instanceof Problem)) throw error;
  }
}

function mount(state, panels, links) {
  const elements = new Map(panels.map((panel) => [panel, element(panel)]));
  const views = panels.filter(isView);
  for (const link of links.children) link.hidden = !views.some(({ name }) => link.hash === `#${name}`);
  for (const [{ place }, element] of elements) {
    if (place === "below") document.body.append(element);
    else document.querySelector("main").append(element);
  }
  for (const panel of panels) panel.mount(elements.get(panel), state);

  function show() {
    const view = views.find(({ name }) => location.hash === `#${name}`) ?? views[0];
    const seen = panels.filter((panel) =>
      panel === view || !isView(panel) || (panel === views[0] && view.place === "right"));
    for (const [panel, element] of elements) element.hidden = !seen.includes(panel);
    for (const link of links.children) {
      if (link.hash === `#${view.name}`) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    state.change({ view: view.name, shown: seen.map(({ name }) => name), live: seen.some(({ live }) => live) });
  }
  window.addEventListener("hashchange", show);
  show();
}

/** Whether a panel is one of those of which one is looked at. */
const isView = ({ place }) => place === "main" || place === "right";

const element = ({ name, title, place }) =>
  place === "main"
    ? h("section", { id: `view-${name}`, "aria-label": title })
    : h("aside", { id: `panel-${name}`, class: place, "aria-label": title });

function showNotice({ notice }) {
  const element = document.getElementById("notice");
  element.textContent = notice ?? "";
  element.hidden = !notice;
}

function showLab({ lab: { name, dataset, layers } }) {
  document.title = `${name} · jaxnn lab`;
  document.getElementById("lab-name").textContent = name;
  const parameters = layers.reduce((sum, layer) => sum + layer.parameters, 0);
  document.getElementById("lab-what").textContent =
    `${dataset.name}, ${size(dataset.shape)} · ${parameters.toLocaleString("en-US")} parameters`;
}

function themes(state, theme) {
  const system = matchMedia("(prefers-color-scheme: dark)");
  const button = document.getElementById("theme");
  let chosen = ["light", "dark"].includes(theme) ? theme : remembered();
  const apply = () => {
    const theme = chosen ?? (system.matches ? "dark" : "light");
    document.documentElement.dataset.theme = theme;
    button.textContent = theme === "dark" ? "☀" : "☾";
    button.setAttribute("aria-label", theme === "dark" ? "Use light colours" : "Use dark colours");
    forgetPalette();
    state.change({ theme });
  };
  button.addEventListener("click", () => {
    chosen = state.theme === "dark" ? "light" : "dark";
    remember(chosen);
    apply();
  });
  system.addEventListener("change", apply);
  apply();
}

// A page within another one may have nothing to remember by.
function remembered() {
  try {
    return localStorage.getItem("theme");
  } catch {
    return null;
  }
}

function remember(theme) {
  try {
    localStorage.setItem("theme", theme);
  } catch {
    // it is as it was the next time
  }
}
