"""Trains the network that a config describes, and writes a run directory.

python experiments/train.py configs/mnist_mlp.yaml training.epochs=5
python experiments/train.py --resume runs/mnist_mlp-20260101-120000 training.epochs=10
"""

import argparse
from pathlib import Path

from jaxnn import cli
from jaxnn.config import load_config
from jaxnn.files import user_path
from jaxnn.network import summary
from jaxnn.observe import console
from jaxnn.runs import read_config, resume, train


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", nargs="?", help="a YAML file, such as configs/digits_mlp.yaml")
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="changes to the config"
    )
    parser.add_argument(
        "--run-dir", type=user_path, help="where to write (default runs/<config>-<timestamp>)"
    )
    parser.add_argument(
        "--resume",
        metavar="RUN",
        type=user_path,
        help="continue this run from its last checkpoint",
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="with --resume: continue although the config or the data differ, with the run's own "
        "names and normalization",
    )
    parser.add_argument(
        "--tensorboard", action="store_true", help="also write TensorBoard's event files"
    )
    arguments = parser.parse_intermixed_args()
    overrides = arguments.overrides
    if arguments.resume and arguments.run_dir:
        parser.error("--resume goes on in the run's own directory: leave out --run-dir")
    if arguments.resume and arguments.config and "=" not in arguments.config:
        parser.error(f"--resume takes the run's own config: leave out {arguments.config}")
    if arguments.resume and arguments.config:  # there is no config to give: it is an override
        overrides = [arguments.config, *overrides]
    elif not arguments.config and not arguments.resume:
        parser.error("a config is needed, such as configs/digits_mlp.yaml, or --resume RUN")

    if arguments.resume:
        config = read_config(Path(arguments.resume), overrides)
    else:
        config = load_config(arguments.config, overrides)
    with console(config.training.epochs) as show:
        if arguments.resume:
            run = resume(
                arguments.resume,
                overrides,
                [show],
                tensorboard=arguments.tensorboard,
                allow_changes=arguments.allow_changes,
            )
        else:
            run = train(config, arguments.run_dir, [show], tensorboard=arguments.tensorboard)
    result, task = run.summary, run.known.dataset.task
    print(summary(run.experiment.network, run.experiment.dataset.in_shape))
    print(
        f"test {task.told(result, 'test_')}, loss {result['test_loss']:.4f}; "
        f"trained in {result['train_seconds']:.1f} s "
        f"(+ {result['compile_seconds']:.1f} s compilation)"
    )
    print(f"run directory: {run.path}")


if __name__ == "__main__":
    cli.run(main)
