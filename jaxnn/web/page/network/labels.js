// Names under the columns, pages of those that do not fit, and how many edges are drawn.

import { h } from "../dom.js";
import { integer } from "../format.js";

/** `turned()` is called when a column shows another page. */
export function mountLabels(stage, view, turned) {
  const labels = h("div", { class: "labels" });
  let notes = []; // a gap's
  stage.append(labels);

  /** Returns how high the highest of the names is. */
  function place() {
    const { places, foot, between } = view.geometry;
    const names = view.columns.map((column, k) => {
      const label = h("div", { class: "column-label" },
        h("span", { class: "name" }, column.names[0]),
        column.names.length > 1 ? h("span", { class: "quiet" }, column.names.slice(1).join(", ")) : null,
        column.detail ? h("span", { class: "quiet small" }, column.detail) : null,
        column.fits < column.count ? pager(column) : null);
      label.style.left = `${(places[k].x + places[k].right) / 2}px`;
      label.style.top = `${foot}px`;
      label.style.maxWidth = `${places[k].right - places[k].x + between - 6}px`;
      return label;
    });
    notes = view.columns.map((_, k) => {
      if (!k || between < 78) return null;
      const note = h("div", { class: "edge-label quiet small" });
      note.style.left = `${(places[k - 1].right + places[k].x) / 2}px`;
      return note;
    });
    labels.replaceChildren(...names, ...notes.filter(Boolean));
    return Math.max(...names.map((label) => label.offsetHeight));
  }

  function pager(column) {
    const turn = (by) => {
      const pages = Math.ceil(column.count / column.fits);
      column.page = (column.page + by + pages) % pages;
      turned();
    };
    const first = column.page * column.fits;
    const last = Math.min(first + column.fits, column.count);
    const more = column.count - column.fits;
    return h("span", { class: "pager small" },
      h("button", { class: "bare icon", type: "button", "aria-label": "Previous ones", onclick: () => turn(-1) }, "‹"),
      h("span", { class: "quiet", title: `${integer(first + 1)}–${integer(last)} of ${integer(column.count)}, the most active first` },
        column.page ? `${integer(first + 1)}–${integer(last)}` : `+ ${integer(more)}`),
      h("button", { class: "bare icon", type: "button", "aria-label": "Next ones", onclick: () => turn(1) }, "›"));
  }

  function countEdges() {
    view.columns.forEach(({ links }, k) => {
      const edges = view.edges[k];
      if (!notes[k]) return;
      notes[k].textContent = !edges || links === "pool" ? ""
        : edges.from.length < edges.total ? `${integer(edges.from.length)} of ${integer(edges.total)}` : integer(edges.total);
    });
  }

  return { place, countEdges };
}
