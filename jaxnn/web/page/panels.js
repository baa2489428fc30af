// What the page is made of. A panel has
//   name      by which it is known: in the page's address, and as its folder
//   title     for people
//   place     "main": a view of its own; "right": one too, beside the first view; "left": beside all;
//             "below": under all
//   mount     mount(element, state) fills it, and keeps it as the state of the page is: state.js
//   live      whether it shows the trace, which then follows training while the panel is in view
//   offered   offered(state): whether there is use for it; without, there always is

import { mountBrowse } from "./browse/browse.js";
import { mountCaption } from "./caption/caption.js";
import { mountDraw } from "./draw/draw.js";
import { mountErrors } from "./mistakes/errors.js";
import { mountMistakes } from "./mistakes/mistakes.js";
import { mountNetwork } from "./network/network.js";
import { mountTrain } from "./train/train.js";

const trains = ({ client, lab }) => client.can.train && !lab.dataset.missing;
const classifies = ({ lab }) => lab.dataset.task === "classification";
const draws = ({ client, lab }) => client.can.prepare && lab.dataset.drawable && classifies({ lab });
const explains = ({ client }) => client.can.explain === true;

export const PANELS = [
  { name: "train", title: "Train", place: "left", mount: mountTrain, offered: trains },
  { name: "network", title: "Network", place: "main", mount: mountNetwork, live: true },
  { name: "browse", title: "Browse", place: "main", mount: mountBrowse, offered: classifies },
  { name: "mistakes", title: "Mistakes", place: "main", mount: mountMistakes, offered: classifies },
  { name: "errors", title: "Errors", place: "main", mount: mountErrors, offered: (state) => !classifies(state) },
  { name: "draw", title: "Draw", place: "right", mount: mountDraw, offered: draws },
  { name: "caption", title: "What is seen", place: "below", mount: mountCaption, offered: explains },
];
