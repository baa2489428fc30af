// Elements in one line: h("button", {class: "quiet", onclick: f}, "Clear").

/** Makes an element. Properties that start with "on" are listeners, `data` its data attributes. */
export function h(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "data") Object.assign(element.dataset, value);
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A canvas as sharp as the screen: sets its size in CSS pixels, returns its context, scaled. */
export function sharp(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [w, t] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== t) {
    canvas.width = w;
    canvas.height = t;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return context;
}

/** Asks before something is lost; resolves to whether it is wanted. */
export function confirmed(text, action) {
  return new Promise((resolve) => {
    const dialog = h("dialog", {},
      h("p", {}, text),
      h("form", { method: "dialog", class: "line" },
        h("button", { value: "" }, "Cancel"), h("button", { value: "yes", class: "primary" }, action)));
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}

/** Whether motion is welcome. */
export const moving = () => !matchMedia("(prefers-reduced-motion: reduce)").matches;
