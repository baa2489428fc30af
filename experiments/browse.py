"""Draws a page of labelled examples of a data set, and prints statistics.

python experiments/browse.py configs/mnist_mlp.yaml --split test --class 7 --page 2

With --augmented, each row has one example and random augmentations of it.
"""

import argparse
import difflib

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import cli
from jaxnn.config import build, load_config
from jaxnn.data import statistics, summary
from jaxnn.data.dataset import SPLITS
from jaxnn.errors import JaxnnError
from jaxnn.plots import COLUMNS, contact_sheet, save

PER_PAGE = 8 * COLUMNS


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", help="a YAML file")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="changes to the config"
    )
    parser.add_argument("--split", choices=SPLITS, default="train", help="default train")
    parser.add_argument(
        "--class", dest="class_name", metavar="NAME", help="only examples of this class"
    )
    parser.add_argument("--page", type=int, default=1, metavar="N", help="page number, from 1")
    parser.add_argument(
        "--augmented", action="store_true", help="show the effect of the config's augmentation"
    )
    parser.add_argument(
        "--output",
        default="browse.png",
        metavar="FILE.png",
        help="where to write the picture (default browse.png)",
    )
    arguments = parser.parse_intermixed_args()
    config = load_config(arguments.config, arguments.overrides)
    dataset = config.data.build("data")
    print(summary(dataset))

    if len(dataset.in_shape) != 3 or dataset.in_shape[-1] not in (1, 3):
        raise JaxnnError(
            f"{dataset.name}: examples of shape {dataset.in_shape} are no images "
            "(height, width, 1 or 3): there is no contact sheet of them"
        )
    split = getattr(dataset, arguments.split)
    chosen, what = np.arange(len(split.targets)), f"{arguments.split} split"
    if (name := arguments.class_name) is not None:
        if name not in dataset.classes:
            near = difflib.get_close_matches(name, dataset.classes, n=1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            raise JaxnnError(
                f"--class: unknown class {name!r}; {hint}classes: {', '.join(dataset.classes)}"
            )
        chosen = np.flatnonzero(split.targets == dataset.classes.index(name))
        what += f", class {name}"
    per_page = PER_PAGE // COLUMNS if arguments.augmented else PER_PAGE
    pages = -(-len(chosen) // per_page)
    if not 1 <= arguments.page <= pages:
        there = f"pages 1 to {pages}" if pages else "no examples"
        raise JaxnnError(f"--page: there is no page {arguments.page}: {what} has {there}")

    shown = chosen[(arguments.page - 1) * per_page : arguments.page * per_page]
    images = split.inputs[shown]
    if arguments.augmented:
        augment = build(config, dataset).augment
        if augment is None:
            raise JaxnnError(f"--augmented: there is no augmentation in {arguments.config}")
        inputs, targets = images.astype(np.float32), split.targets[shown]
        keys = jax.random.split(jax.random.key(config.seed), (COLUMNS - 1, len(shown)))
        made = jax.vmap(lambda keys: augment(keys, jnp.asarray(inputs), targets)[0])(keys)
        # In rows: an example, then its variants.
        images = np.stack([inputs, *made], axis=1).reshape(-1, *dataset.in_shape)
        shown = shown.repeat(COLUMNS)
        what += ", augmented"
    captions = [(dataset.classes[split.targets[i]], str(i)) for i in shown]
    values = statistics(dataset.train.inputs)
    limits = (min(values.lowest, 0), values.highest)
    heading = f"{dataset.name}: {what}, page {arguments.page} of {pages}"
    save(
        contact_sheet(images, captions, limits=limits, heading=heading),
        arguments.output,
    )
    print(f"\n{heading}: {arguments.output}")


if __name__ == "__main__":
    cli.run(main)
