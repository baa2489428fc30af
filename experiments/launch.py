"""Trains one network with several processes on this machine; what train.py takes, it takes.

python experiments/launch.py -n 4 configs/mnist_mlp.yaml training.epochs=5
python experiments/launch.py -n 2 --resume runs/mnist_mlp-20260101-120000

Each has its part of the cores, if there are enough. Shown is what process 0 says. A process that
ends too early is named, and ends the others. (Several GPUs of one machine need no launch.py: one
process trains on all of them.)
"""

import argparse
import datetime
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import FrameType

from jaxnn import cli
from jaxnn.errors import RunError, printable
from jaxnn.files import user_path
from jaxnn.runs.directory import CONFIG, SUMMARY
from jaxnn.training.rendezvous import FOLLOWED

TRAIN = Path(__file__).with_name("train.py")
_GRACE = 5
"""Seconds in which the others may end by themselves, once one process has."""
_SAID = 10
"""Lines of what a process has said that are shown if it fails."""


def main() -> None:
    parser = argparse.ArgumentParser(
        usage="%(prog)s -n N [--restarts K] {CONFIG [--run-dir DIR] | --resume RUN} [key=value …]",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-n", "--processes", type=int, metavar="N", required=True, help="how many")
    parser.add_argument(
        "--restarts",
        type=int,
        default=0,
        metavar="K",
        help="how often to go on from the last checkpoint if a process has died",
    )
    parser.add_argument("--run-dir", type=user_path, help="see train.py")
    parser.add_argument("--resume", metavar="RUN", type=user_path, help="see train.py")
    arguments, rest = parser.parse_known_args()
    if arguments.processes < 1 or arguments.restarts < 0:
        parser.error("-n must be at least 1, and --restarts not negative")
    run = arguments.resume or arguments.run_dir or _default(rest)
    resumed = arguments.resume is not None
    before = _written(run / SUMMARY)
    for left in range(arguments.restarts, -1, -1):
        place = ["--resume" if resumed else "--run-dir", str(run)]
        status = launch(arguments.processes, [*rest, *place])
        if status not in (0, 2) and status < 128 and _written(run / SUMMARY) != before:
            print(f"{run} is complete, all the same", flush=True)
            status = 0
        if status in (0, 2) or status > 128 or left == 0:  # done, a mistake, or was to stop
            sys.exit(status)
        resumed = resumed or (run / CONFIG).is_file()
        if resumed:  # what was changed for this run is in its config now
            rest = [word for word in rest if word.startswith("--")]
        print(f"going on from the last checkpoint of {run}; restarts left: {left - 1}", flush=True)


def _default(rest: Sequence[str]) -> Path:
    """Returns a new run directory, called after the config."""
    configs = [word for word in rest if not word.startswith("--") and "=" not in word]
    if not configs:
        raise RunError("a config is needed, such as configs/digits_mlp.yaml, or --resume RUN")
    stamp = datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    return Path("runs") / f"{Path(configs[0]).stem}-{stamp}"


def _written(path: Path) -> int | None:
    """Returns when a file was written last; None if there is none."""
    return path.stat().st_mtime_ns if path.exists() else None


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Starts train.py in so many processes; returns an exit status when all have ended."""
    with (
        socket.socket() as held,
        tempfile.TemporaryDirectory(prefix="jaxnn-launch-") as folder,
    ):
        # Bound and not listening, it keeps others from the port, and not process 0.
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind(("127.0.0.1", 0))
        command = [sys.executable, str(TRAIN), *arguments]
        command += ["--coordinator", f"127.0.0.1:{held.getsockname()[1]}"]
        command += ["--processes", str(processes), "--process"]
        environment = os.environ | {"TMPDIR": folder}  # what a killed process leaves there goes
        cores = divided_cores(processes)
        logs = [Path(folder) / str(i) for i in range(processes)]
        started: list[subprocess.Popen[bytes]] = []
        asked: list[int] = []

        def pass_on(number: int, frame: FrameType | None) -> None:
            asked.append(number)
            for one in started:
                if one.poll() is None:
                    one.send_signal(number)

        earlier = {
            number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            for i, log in enumerate(logs):
                with log.open("wb") as file, on_cores(cores[i]) if cores else nullcontext():
                    one = subprocess.Popen(
                        [*command, str(i)],
                        stdout=file if i else None,
                        stderr=file if i else None,
                        env=environment,
                        start_new_session=True,  # Ctrl-C reaches it once, through this process
                    )
                started.append(one)
                if asked:  # before it could be passed on to this one
                    one.send_signal(asked[0])
            return _watched(started, logs, asked)
        finally:
            for one in started:
                if one.poll() is None:
                    one.kill()
                    one.wait()
            for number, handler in earlier.items():
                signal.signal(number, handler)


def divided_cores(processes: int) -> list[set[int]]:
    """Returns cores for each process; none if there are too few, or the system cannot say.

    With cores of their own, processes do not start threads for all of them each.
    """
    if not hasattr(os, "sched_getaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    return [set(cores[i::processes]) for i in range(processes)] if len(cores) >= processes else []


@contextmanager
def on_cores(cores: Collection[int]) -> Iterator[None]:
    """Whatever is started meanwhile runs on these cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _watched(
    started: Sequence["subprocess.Popen[bytes]"], logs: Sequence[Path], asked: Sequence[int]
) -> int:
    """Waits until all processes have ended; where one has failed, not for long."""
    while all(one.poll() in (None, 0) for one in started):
        if all(one.poll() == 0 for one in started):
            return 0
        time.sleep(0.05)
    end = time.monotonic() + _GRACE
    while time.monotonic() < end and any(one.poll() is None for one in started):
        time.sleep(0.05)
    if asked:
        return 128 + asked[0]
    statuses = [one.returncode for one in started]
    first = [(i, status) for i, status in enumerate(statuses) if status not in (0, FOLLOWED)]
    for i, status in first:
        how = f"has failed, with exit status {status}"
        if status is None:
            how = f"has not ended within {_GRACE} s, and is killed"
        elif status < 0:
            how = f"was ended by {signal.Signals(-status).name}"
        elif status == 1 and statuses[0] != 1:  # process 0 has not shown it
            said = logs[i].read_text(encoding="utf-8", errors="replace").splitlines()[-_SAID:]
            print(printable("\n".join(said)), file=sys.stderr)
        print(f"process {i} of {len(started)} {how}; all others end", file=sys.stderr, flush=True)
    return next((status for _, status in first if status and status > 0), 1)


if __name__ == "__main__":
    cli.run(main)
