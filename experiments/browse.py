"""Prints statistics of a data set, and draws a page of labelled examples; of a table, prints it.

python experiments/browse.py configs/mnist_mlp.yaml --split test --class 7 --page 2

With --augmented, each row has one example and random augmentations of it.
"""

import argparse
import difflib
import shutil

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn import cli
from jaxnn.config import build, load_config
from jaxnn.data import Dataset, Split, statistics, summary
from jaxnn.data.columns import columns_of, decode
from jaxnn.data.dataset import SPLITS
from jaxnn.data.statistics import aligned
from jaxnn.errors import JaxnnError, printable, some
from jaxnn.plots import COLUMNS, contact_sheet, save
from jaxnn.tasks import classification, multilabel

PER_PAGE = 8 * COLUMNS
ROWS = 20
"""Of a table, on a page."""


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
        metavar="FILE.png",
        help="where to write the picture of images (default browse.png)",
    )
    arguments = parser.parse_intermixed_args()
    config = load_config(arguments.config, arguments.overrides)
    dataset = config.data.build("data")
    print(printable(summary(dataset)))

    table = len(dataset.in_shape) == 1
    if table and (arguments.augmented or arguments.output):
        raise JaxnnError(f"--augmented and --output are for images; {dataset.name} is a table")
    if not table and (len(dataset.in_shape) != 3 or dataset.in_shape[-1] not in (1, 3)):
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
        k = dataset.classes.index(name)
        single = dataset.task is classification
        chosen = np.flatnonzero(split.targets == k if single else split.targets[:, k])
        what += f", class {name}"
    per_page = ROWS if table else PER_PAGE // COLUMNS if arguments.augmented else PER_PAGE
    pages = -(-len(chosen) // per_page)
    if not 1 <= arguments.page <= pages:
        there = f"pages 1 to {pages}" if pages else "no examples"
        raise JaxnnError(f"--page: there is no page {arguments.page}: {what} has {there}")

    shown = chosen[(arguments.page - 1) * per_page : arguments.page * per_page]
    heading = f"{dataset.name}: {what}, page {arguments.page} of {pages}"
    if table:
        width = shutil.get_terminal_size().columns
        print(printable("\n".join(["", heading, "", *rows(dataset, split, shown, width)])))
        return
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
        heading = heading.replace(what, f"{what}, augmented")
    captions = [(" ".join(target(dataset, split.targets[i])), str(i)) for i in shown]
    values = statistics(dataset.train.inputs)
    limits = (min(values.lowest, 0), values.highest)
    output = arguments.output or "browse.png"
    save(contact_sheet(images, captions, limits=limits, heading=heading), output)
    print(f"\n{heading}: {output}")


def rows(dataset: Dataset, split: Split, shown: np.ndarray, width: int) -> list[str]:
    """Rows of a table with their targets, and as many columns as a line has room for."""
    columns = columns_of(dataset)
    cells = decode(columns, dataset.values(split.inputs[shown]))
    answers = [", ".join(target(dataset, split.targets[i])) for i in shown]
    called = ", ".join(dataset.targets) or ("class" if dataset.task is classification else "target")
    texts = [["row", *map(str, shown)], [called, *answers]]
    for column, (values, names) in zip(columns, cells, strict=True):
        texts.append([column.name, *(cell(value, names) for value in values)])
    ends = np.cumsum([max(map(len, column)) + 2 for column in texts]) - 2
    fitting = max(2, int(np.sum(ends <= width)))
    lines = aligned(list(zip(*texts[:fitting], strict=True)))
    more = [column[0] for column in texts[fitting:]]
    return [*lines, "", f"and {some(more)}"] if more else lines


def cell(value: float, names: tuple[str, ...] | None) -> str:
    """What stands in a column: a number, the name of a category, or nothing."""
    if np.isnan(value):
        return "–"
    return f"{value:.6g}" if names is None else names[int(value)]


def target(dataset: Dataset, stored: np.ndarray) -> list[str]:
    """An example's class, labels or numbers."""
    if dataset.task is classification:
        return [dataset.classes[stored]]
    if dataset.task is multilabel:
        return [name for name, there in zip(dataset.classes, stored, strict=True) if there]
    return [f"{x:.6g}" for x in dataset.target_values(stored).reshape(-1)[:10]]


if __name__ == "__main__":
    cli.run(main)
