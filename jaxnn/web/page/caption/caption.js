// The caption: what is seen, in plain words, for readers who know nothing of networks; and what the
// page is made of.

import { h } from "../dom.js";
import { integer, percent } from "../format.js";

export function mountCaption(element, state) {
  const seen = h("p", {});
  element.append(seen, h("p", { class: "quiet small" }, carried(state.lab)));
  const show = () => {
    const text = [SEEN[state.view]?.(state), state.status?.running ? learning(state) : null].filter(Boolean).join(" ");
    if (seen.textContent !== text) seen.textContent = text;
  };
  state.on("view trace status lab", show);
  show();
}

const thing = ({ dataset }) => (dataset.image ? "image" : "example");

/** What is said of each view. */
const SEEN = {
  network: ({ lab, trace, example, status }) => {
    if (!trace) return "";
    const { classes } = lab.dataset;
    const { predicted, target, given } = trace.header;
    const what = example?.pixels ? "your drawing" : `the ${thing(lab)} at the left`;
    const right = !given ? "" : predicted === target ? ", and that is right" : `, but it is “${classes[target]}”`;
    return (
      `The network takes ${what} for “${classes[predicted]}”, ${percent(trace.arrays.probabilities.data[predicted])} sure${right}. ` +
      "Numbers go through it from left to right, along lines and into circles: orange is above zero, blue below, and the " +
      "stronger the colour, the larger the number." +
      (status?.running ? "" : " Backward shows how the error would change with each of them, which is what it learns from.")
    );
  },
  browse: ({ lab }) =>
    `These are the ${thing(lab)}s that the network learns from (“train”) and those that it is tested with, which it never learns from. ` +
    "Sorted by loss, those come first, or last, that it finds hardest.",
  mistakes: ({ lab }) =>
    `Each row is what an ${thing(lab)} really is, each column what the network takes it for. Numbers off the diagonal are its ` +
    "mistakes: choose one to see them.",
  draw: ({ lab }) => {
    const some = lab.dataset.classes.slice(0, 3).map((name) => `“${name}”`).join(", ");
    return `Draw ${some} or another of the ${lab.dataset.classes.length} it knows: the small picture is all that the network gets, the bars are what it takes that for.`;
  },
};

const learning = ({ status, lab }) =>
  `It is learning: it looks at ${integer(status.batch_size)} ${thing(lab)}${status.batch_size > 1 ? "s" : ""} at a time, ` +
  "and changes each of its weights a little so that it would have been less wrong.";

/** What there is of the data set, what training begins with, and where everything is computed. */
function carried({ dataset: { splits, of } }) {
  const names = { train: "training", validation: "validation", test: "test" };
  const parts = Object.keys(of)
    .filter((name) => of[name])
    .map((name) => `${integer(splits[name])} of ${integer(of[name])} ${names[name]}`);
  return (
    `The page carries ${listed(parts)} examples. Start trains the network further, with an optimizer that begins anew; ` +
    "Reset gives it fresh weights. Everything is computed in your browser; nothing is sent anywhere."
  );
}

const listed = (parts) => (parts.length > 1 ? `${parts.slice(0, -1).join(", ")} and ${parts.at(-1)}` : parts[0]);
