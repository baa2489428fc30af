"""A run as one web page that needs nothing else: to keep, to send, to print."""

import base64
from collections.abc import Iterable, Sequence
from html import escape
from string import Template
from typing import Any

from jaxnn.network import summary as network_table
from jaxnn.plots.run import Picture, Section
from jaxnn.runs import Run

_SPLITS = ("train", "validation", "test")


def report_page(run: Run, pictures: Sequence[tuple[Picture, bytes]]) -> str:
    """Writes a run up as HTML: what was run, what came out, and how to do it again.

    The page is complete in itself. Pictures are in it as data, and it forbids a browser to load
    anything from anywhere; whatever stands in the config or the names of classes is shown as text.

    Args:
        run: a finished run.
        pictures: pictures of it, each with its PNG file.
    """
    shown = {
        section: "".join(_figure(*pair) for pair in pictures if pair[0].section == section)
        for section in ("training", "learned", "errors")
    }
    summary = run.summary
    return _PAGE.substitute(
        name=escape(run.config.name),
        lead=escape(_lead(run)),
        tiles=_tiles(summary),
        what=_table(_what(run)) + f"<pre>{escape(network_table(run.network, run.dataset.in_shape))}</pre>",
        results=_results(summary, run),
        health=_health(summary),
        **{section: figures or "<p>There is no picture of it.</p>" for section, figures in shown.items()},
        reproduce=_reproduce(run),
        config=escape(run.config.to_yaml()),
    )
