"""What a picture of a run is."""

from typing import Literal, NamedTuple

from matplotlib.figure import Figure

Section = Literal["training", "learned", "errors"]


class Picture(NamedTuple):
    """A picture of a run.

    Attributes:
        name: what to call its file.
        section: what it tells of: how training went, what was learned, or where it errs.
        caption: what is to be seen, in a sentence or two.
        figure: the picture.
    """

    name: str
    section: Section
    caption: str
    figure: Figure
