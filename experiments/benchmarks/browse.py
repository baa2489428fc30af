"""The lab's Browse panel in Chromium."""

from collections.abc import Iterator

from benchmarks.measuring import Row, needing


def measure(pairs: int) -> Iterator[Row]:
    """70,000 images in the lab's page, by the browser's clock; there is no peer."""
    with needing("test"):
        from peers import browser
    yield from browser.figures(max(3, pairs // 3))
