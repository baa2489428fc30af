"""Trains one network with several processes on this machine; what train.py takes, it takes.

python experiments/launch.py -n 4 configs/mnist_mlp.yaml training.epochs=5
python experiments/launch.py -n 2 --resume runs/mnist_mlp-20260101-120000

Shown is what process 0 says. A process that ends too early is named, and ends the others. (Several
GPUs of one machine need no launch.py: one process trains on all of them.)
"""

import argparse
import datetime
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from jaxnn import cli
from jaxnn.errors import RunError, printable
from jaxnn.files import user_path

TRAIN = Path(__file__).with_name("train.py")
_GRACE = 5
"""Seconds in which the others may end by themselves, once one process has."""
_SAID = 10
"""Lines of what a process has said that are shown if it fails."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", "--processes", type=int, required=True, help="how many")
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
    for left in range(arguments.restarts, -1, -1):
        place = ["--resume" if resumed else "--run-dir", str(run)]
        status = launch(arguments.processes, [*rest, *place])
        if status == 0 or left == 0 or status == 2 or status > 128:  # a mistake, or was to stop
            sys.exit(status)
        resumed = resumed or (run / "config.yaml").is_file()
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


def launch(processes: int, arguments: Sequence[str]) -> int:
    """Starts train.py in so many processes; returns an exit status when all have ended."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, str(TRAIN), *arguments, "--coordinator", address]
    command += ["--processes", str(processes), "--process"]
    with tempfile.TemporaryDirectory(prefix="jaxnn-launch-") as folder:
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
                with log.open("wb") as file:
                    output = {} if i == 0 else {"stdout": file, "stderr": subprocess.STDOUT}
                    # In a session of its own: Ctrl-C reaches it once, through this process.
                    one = subprocess.Popen([*command, str(i)], start_new_session=True, **output)  # type: ignore[call-overload]
                started.append(one)
            return _watched(started, logs, asked)
        finally:
            for one in started:
                if one.poll() is None:
                    one.kill()
                    one.wait()
            for number, handler in earlier.items():
                signal.signal(number, handler)


def _watched(
    started: Sequence["subprocess.Popen[bytes]"], logs: Sequence[Path], asked: Sequence[int]
) -> int:
    """Waits until all processes have ended; where one has failed, not for long."""
    while all(one.poll() in (None, 0) for one in started):
        if all(one.poll() == 0 for one in started):
            return 0
        time.sleep(0.05)
    first = [(i, one.returncode) for i, one in enumerate(started) if one.poll() not in (None, 0)]
    end = time.monotonic() + _GRACE
    while time.monotonic() < end and any(one.poll() is None for one in started):
        time.sleep(0.05)
    for i, status in first:
        killed = f"was ended by {signal.Signals(-status).name}" if status < 0 else ""
        if i and status > 0 and started[0].returncode not in (None, 0, status):
            said = logs[i].read_text(encoding="utf-8", errors="replace").splitlines()[-_SAID:]
            print(printable("\n".join(said)), file=sys.stderr)
        if not asked:
            how = killed or f"has failed, with exit status {status}"
            print(
                f"process {i} of {len(started)} {how}; all others end", file=sys.stderr, flush=True
            )
    if asked:
        return 128 + asked[0]
    return next((status for _, status in first if status > 0), 1)


if __name__ == "__main__":
    cli.run(main)
