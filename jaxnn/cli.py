"""What the scripts share: how they end, and how they say what their output cannot encode.

Mistakes of input end in one message and exit status 2. Where a terminal or a pipe has fewer signs
(cp1252, Latin-1, ASCII), plainer ones take the place of those that it lacks.
"""

import codecs
import io
import os
import sys
import unicodedata
from collections.abc import Callable

import jax

from jaxnn.errors import JaxnnError, printable
from jaxnn.runs import StoppedError

_PLAINER = str.maketrans(
    dict(zip("×–—−·•“”‘’⁄", "x---**\"\"''/", strict=True))
    | dict(zip("▁▂▃▄▅▆▇█", "_.,-=+*#", strict=True))  # of curves
    | dict.fromkeys("▏▎▍▌▋▊▉", "|")  # the ends of bars
    | {"±": "+-", "→": "->", "≈": "~", "≤": "<=", "≥": ">="}
)


def run(main: Callable[[], None]) -> None:
    """Calls a script's ``main``; turns what the user can mend, and Ctrl-C, into an exit status."""
    codecs.register_error("plainer", plainer)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in ("strict", "backslashreplace"):
            stream.reconfigure(errors="plainer")
    try:
        main()
        sys.stdout.flush()
    except StoppedError as error:
        print(printable(str(error)), file=sys.stderr)
        sys.exit(128 + error.signal)
    except JaxnnError as error:
        print(printable(f"error: {error}"), file=sys.stderr)
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


def plainer(error: UnicodeError) -> tuple[str, int]:
    """Returns what stands for signs that cannot be encoded, in ASCII, and where to go on.

    It is an error handler as ``codecs.register_error`` takes them.
    """
    if not isinstance(error, UnicodeEncodeError):
        raise error
    text = error.object[error.start : error.end].translate(_PLAINER)
    signs = [
        sign for sign in unicodedata.normalize("NFKD", text) if not unicodedata.combining(sign)
    ]
    return "".join(signs).encode("ascii", "backslashreplace").decode(), error.end
