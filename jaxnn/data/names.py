"""Names as people have them: of classes, and of the files and folders that data lie in."""

import math
import unicodedata
from collections.abc import Iterable
from pathlib import Path

MISSING = {"", "?", "na", "n/a", "nan", "null"}
"""How tables say, in capitals too, that a value is not known."""


def class_name(name: str) -> str:
    """Returns a class's name as it is kept: composed (é, not e and ´), without space around it.

    Two names that look equal are one.

    Raises:
        UnicodeEncodeError: it is of bytes that are not UTF-8, as a folder's name can be.
    """
    name.encode()
    return unicodedata.normalize("NFC", name).strip() or name


def class_names(labels: Iterable[str]) -> list[str]:
    """Returns the different names, sorted: by value if all are numbers, else as texts."""
    names = sorted(set(labels))
    try:
        values = {name: float(name) for name in names}
    except ValueError:
        return names
    return (
        sorted(names, key=values.__getitem__) if all(map(math.isfinite, values.values())) else names
    )


def data_name(path: Path) -> str:
    """Returns what a data set is called after its file or folder, in text that can be written."""
    return path.stem.encode(errors="replace").decode()
