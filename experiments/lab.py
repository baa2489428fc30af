"""Opens the lab: a page in the browser to see the data, the network, and how it learns.

python experiments/lab.py configs/mnist_mlp.yaml
python experiments/lab.py runs/mnist_mlp-20260101-120000

A run directory is opened with its trained parameters, and with the optimizer's state if there is a
checkpoint; if its data are not there any more, it can be looked at and drawn for. Only this machine
can reach the page.

Ctrl-C ends the lab. What was trained since the start, or since the last reset, is saved as a new
run directory (--run-dir says where), which the lab and all scripts can read. A run that was opened
is not changed.
"""

import argparse
import os
import sys
import time
import webbrowser
from contextlib import ExitStack, closing
from tempfile import TemporaryDirectory
from threading import Thread

import jax

from jaxnn import cli
from jaxnn.config import cost
from jaxnn.errors import JaxnnError, RunError, extra
from jaxnn.files import user_path
from jaxnn.runs import check_free, stop_requests


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "source", nargs="?", help="a config, such as configs/digits_mlp.yaml, or a run directory"
    )
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="key=value", help="changes to the config"
    )
    parser.add_argument("--port", type=int, help="port to listen on (default: any free port)")
    parser.add_argument(
        "--no-browser", action="store_true", help="do not open a browser, only print the address"
    )
    parser.add_argument(
        "--run-dir", type=user_path, help="where to save (default runs/<config>-<timestamp>)"
    )
    parser.add_argument(
        "--allow-changes",
        action="store_true",
        help="go on although a run's data, or its model's file, are not those of its training",
    )
    arguments = parser.parse_intermixed_args()
    if not arguments.source:
        parser.error("a config is needed, such as configs/digits_mlp.yaml, or a run directory")
    try:
        from jaxnn.web.server import listen, serve
        from jaxnn.web.session import Session
        from jaxnn.web.storage import open_source
    except ModuleNotFoundError as error:
        raise JaxnnError(f"the lab needs {error.name}: {extra('lab')}") from error

    if arguments.run_dir:
        check_free(arguments.run_dir)
    with ExitStack() as stack:
        listener = stack.enter_context(closing(listen(arguments.port)))
        remember_compiled(stack.enter_context(TemporaryDirectory(prefix="jaxnn-lab-")))
        opened = open_source(
            arguments.source, arguments.overrides, allow_changes=arguments.allow_changes
        )
        cost.warn_of_large(opened.config)
        cost.warn_of_large(opened.experiment)
        stop = stack.enter_context(stop_requests())
        session = Session(opened)
        try:
            with serve(session, listener) as address:
                print(f"{session.lab['name']}: {address} (Ctrl-C to end)", flush=True)
                if not arguments.no_browser:
                    Thread(target=webbrowser.open, args=(address,), daemon=True).start()
                while not stop:
                    time.sleep(0.2)
                session.stop()  # while the server ends
        finally:
            session.close()
        if session.trained:
            print("\nsaving what was trained …", flush=True)
            try:
                path = session.save(arguments.run_dir)
            except RunError as error:
                if not arguments.run_dir:
                    raise
                print(f"{error}\nsaving under another name instead", flush=True)
                path = session.save()
            print(
                f"run directory: {path}; to go on:\n"
                f"  python experiments/lab.py {path}\n"
                f"  python experiments/train.py --resume {path}"
            )
    if session.computing:  # what was given up: the interpreter would wait for its end
        sys.stdout.flush()
        os._exit(0)


def remember_compiled(folder: str) -> None:
    """Lets JAX keep what it has compiled: a reset, or a change and back, need not wait again."""
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        jax.config.update("jax_compilation_cache_dir", folder)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


if __name__ == "__main__":
    cli.run(main)
