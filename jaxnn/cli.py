"""What the scripts share: mistakes of input end in one message and exit status 2."""

import sys
from collections.abc import Callable

from jaxnn.errors import JaxnnError


def run(main: Callable[[], None]) -> None:
    """Calls a script's ``main``; turns what the user can mend, and Ctrl-C, into an exit status."""
    try:
        main()
    except JaxnnError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
