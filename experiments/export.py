"""Writes a run as a web page that thinks and trains, without a server.

    python experiments/export.py runs/mnist_mlp-20261126-120000 --web page.html
    python experiments/export.py runs/mnist_mlp-20261126-120000 --web site/

A file opens from disk in any browser; a folder is for a web server, and may be shown within another
page: index.html?view=draw&example=test:12&theme=dark
"""

import argparse
from pathlib import Path

from jaxnn import cli
from jaxnn.data.dataset import SPLITS
from jaxnn.errors import some
from jaxnn.runs import load_run
from jaxnn.runs.export import export_module
from jaxnn.web.export import check_page, export_page


def main() -> None:
    """Exports a run."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--web",
        type=Path,
        required=True,
        metavar="FILE.html|FOLDER",
        help="where to write the page",
    )
    parser.add_argument(
        "--examples",
        type=int,
        metavar="N",
        help="training examples to carry (default: 8000, or as many as have 8 MB, at least a "
        "batch); of validation and test, an eighth as many each",
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="go on although the data, or the model's file, are not those of the training",
    )
    arguments = parser.parse_args()
    if arguments.examples is not None and arguments.examples < 1:
        parser.error("--examples must be at least 1")
    check_page(arguments.web)
    print(f"Reading {arguments.run} ...")
    run = load_run(arguments.run, allow_changes=arguments.allow_changes)
    batch = run.config.training.batch_size
    fitting = min(8000, 8_000_000 // run.dataset.train.inputs[:1].nbytes)
    number = arguments.examples or max(batch, fitting)
    most = dict.fromkeys(SPLITS, -(-number // 8)) | {"train": number}
    print("Compiling the network and a step of its training to WebAssembly ...")
    module = export_module(run.experiment, run.params, run.state, most)
    size = export_page(arguments.web, run.experiment, run.params, module)
    carried = ", ".join(
        f"{split['count']:,} of {split['of']:,} {name}"
        for name, split in module.description["splits"].items()
        if split["of"]
    )
    dataset = run.known.dataset
    if any(column.categories or column.indicator for column in dataset.columns):
        print(f"Its inputs are the table's columns as they are encoded: {some(dataset.features)}.")
    print(f"Wrote {arguments.web}: {size / 1e6:.1f} MB, with {carried} examples.")


if __name__ == "__main__":
    cli.run(main)
