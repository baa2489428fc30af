"""The history of a training in the lab."""

from typing import Any

import numpy as np

from jaxnn.web.history import LONGEST, thinned


def test_the_history_is_thinned_evenly_and_keeps_warnings() -> None:
    rows: list[dict[str, Any]] = [{"step": 10 * i} for i in range(LONGEST + 1)]
    rows[17]["warnings"] = ["gradients vanish"]
    kept = thinned(rows, LONGEST // 2)
    assert LONGEST // 2 - 1 <= len(kept) <= LONGEST // 2 + 2
    assert kept[0] == rows[0]
    assert rows[17] in kept
    gaps = np.diff([row["step"] for row in kept])
    assert gaps.max() <= 30
