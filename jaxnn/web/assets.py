"""The files of the page: modules, styles and an icon, all with addresses relative to its own."""

from pathlib import Path

PAGE = Path(__file__).parent / "page"


def stylesheet() -> str:
    """Returns the page's ``style.css``: what all panels share, then what each folder adds."""
    files = [PAGE / "style.css", *sorted(PAGE.glob("*/*.css"))]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)
