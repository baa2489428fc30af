"""Opens the lab: a page in the browser to see the data, the network, and how it learns.

python experiments/lab.py configs/mnist_mlp.yaml
python experiments/lab.py runs/mnist_mlp-20260101-120000

From a run directory, the page begins with its parameters, and with its optimizer's state where a
checkpoint has it. The page is served to this machine alone.

Ctrl-C ends the lab. What was trained in it since it was started, or since the last reset, is saved
first, as a run directory of its own (--run-dir says where; a run that was opened stays as it is):
every script takes it, and so does the lab.
"""

import argparse
import signal
import threading
import webbrowser
from pathlib import Path
from types import FrameType

from jaxnn import cli
from jaxnn.errors import JaxnnError
from jaxnn.runs import check_free


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("source", help="a config, such as configs/digits_mlp.yaml, or a run")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="changes to the config")
    parser.add_argument("--port", type=int, help="where to listen; default: any port that is free")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")
    parser.add_argument("--run-dir", help="where to save; default runs/<config>-<timestamp>")
    arguments = parser.parse_intermixed_args()
    try:
        from jaxnn.web.server import listen, serve
        from jaxnn.web.session import Session, open_source
    except ModuleNotFoundError as error:
        raise JaxnnError(
            f"the lab needs {error.name}: install the extra, pip install '.[lab]'"
        ) from error

    if arguments.run_dir:
        check_free(Path(arguments.run_dir))
    stop = threading.Event()
    listener = listen(arguments.port)
    session = Session(open_source(arguments.source, arguments.overrides))
    handlers = {n: signal.signal(n, handler(stop)) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        with serve(session, listener) as address:
            print(f"{session.lab['name']}: {address}  (Ctrl-C to end)", flush=True)
            if not arguments.no_browser:
                webbrowser.open(address)
            while not stop.wait(1):  # in portions, as some systems deliver no signal in between
                pass
    finally:
        session.close()
        if session.trained:
            path = session.save(arguments.run_dir)
            print(
                f"\nsaved: {path}; to go on:\n  python experiments/lab.py {path}\n"
                f"  python experiments/train.py --resume {path}"
            )
        for number, handle in handlers.items():
            signal.signal(number, handle)


def handler(stop: threading.Event):  # type: ignore[no-untyped-def]
    """Notes the wish to stop; a second one is heeded at once."""

    def note(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()

    return note


if __name__ == "__main__":
    cli.run(main)
