"""Trains the network that a config describes, and writes a run directory.

python experiments/train.py configs/mnist_mlp.yaml training.epochs=5
python experiments/train.py --resume runs/mnist_mlp-20260101-120000 training.epochs=10

On several machines, the same on each, with --process 0, 1, …; process 0 writes the run directory:

python experiments/train.py configs/mnist_mlp.yaml --coordinator host:1234 --processes 4 --process 0

Under Slurm, Open MPI or Kubernetes these three are found out; on one machine, see launch.py.
"""

import argparse
import sys
from contextlib import nullcontext
from pathlib import Path

from jaxnn import cli
from jaxnn.config import load_config
from jaxnn.files import user_path
from jaxnn.network import summary
from jaxnn.observe import console
from jaxnn.runs import own_place, read_config, resume, train
from jaxnn.training.processes import START, one_of_several


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
    parser.add_argument(
        "--coordinator", metavar="HOST:PORT", help="where process 0 of several is to be reached"
    )
    parser.add_argument("--processes", type=int, metavar="N", help="how many processes there are")
    parser.add_argument("--process", type=int, metavar="I", help="which one this is, from 0")
    parser.add_argument(
        "--start-seconds",
        type=int,
        default=START,
        metavar="S",
        help=f"time in which all processes have to have started (default {START})",
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

    if arguments.processes:
        print(
            f"process {arguments.process} of {arguments.processes} waits for all others, for at "
            f"most {arguments.start_seconds} s",
            file=sys.stderr,
        )
    with (
        one_of_several(
            arguments.coordinator, arguments.processes, arguments.process, arguments.start_seconds
        ),
        own_place(arguments.run_dir, arguments.resume) as (first, run_dir, taken_up),
    ):
        arguments.run_dir, arguments.resume = run_dir, taken_up
        carry_out(arguments, overrides, first)


def carry_out(arguments: argparse.Namespace, overrides: list[str], first: bool) -> None:
    if arguments.resume:
        config = read_config(Path(arguments.resume), overrides)
    else:
        config = load_config(arguments.config, overrides)
    with console(config.training.epochs) if first else nullcontext() as show:
        consumers = [show] if show else []
        if arguments.resume:
            run = resume(
                arguments.resume,
                overrides,
                consumers,
                tensorboard=arguments.tensorboard and first,
                allow_changes=arguments.allow_changes,
            )
        else:
            tensorboard = arguments.tensorboard and first
            run = train(config, arguments.run_dir, consumers, tensorboard=tensorboard)
    if not first:
        return
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
