"""What clients send is checked before it is made into arrays."""

import tracemalloc
from typing import Any

import pytest

from jaxnn.data import digits
from jaxnn.web.messages import Drawn, MessageError, stored_input


@pytest.mark.parametrize(
    "pixels",
    [
        ["a" * 200_000, *[""] * 7],
        [["a" * 200_000, *[""] * 7], *[[""] * 8] * 7],
        [["a"] * 8] * 8,
        [[True] * 8] * 8,
        [[None] * 8] * 8,
        [[[0] * 1000] * 8] * 8,
        [[0] * 8] * 8000,
        [[{}] * 8] * 8,
        [[10**300] * 8] * 8,
    ],
)
def test_what_are_no_numbers_of_the_shape_becomes_no_array(pixels: list[Any]) -> None:
    """An array of texts has room for the longest in each place."""
    data = digits()
    tracemalloc.start()
    with pytest.raises(MessageError, match=r"expected numbers of shape \(8, 8, 1\)"):
        stored_input(Drawn(pixels=pixels), data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000
