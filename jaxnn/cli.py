"""What the scripts share: mistakes of input end in one message and exit status 2."""

import os
import sys
from collections.abc import Callable

import jax

from jaxnn.errors import JaxnnError
from jaxnn.experiment import StoppedError


def run(main: Callable[[], None]) -> None:
    """Calls a script's ``main``; turns what the user can mend, and Ctrl-C, into an exit status."""
    try:
        main()
        sys.stdout.flush()
    except StoppedError as error:
        print(error, file=sys.stderr)
        sys.exit(128 + error.signal)
    except JaxnnError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except jax.errors.JaxRuntimeError as error:
        if "out of memory" not in str(error).lower():
            raise
        print(f"error: {error}\nA smaller model or batch_size needs less.", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # whoever reads the output, such as `head`, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
