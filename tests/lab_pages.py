"""What tests of the lab's page share: configs, what the server says, what a canvas shows."""

import base64
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from playwright.sync_api import Frame, Locator, Page

from jaxnn.data import data_folder
from jaxnn.web.messages import unpack

DIGITS = """\
data: digits
model: [flatten, dense: 24, relu, dense: 10]
optimizer: {adam: 0.003}
training: {epochs: 3, batch_size: 50}
"""
DIGITS_CONVOLUTION = """\
data: digits
model: [conv2d: 4, relu, max_pool: 2, flatten, dense: 10]
optimizer: {adam: 0.003}
training: {epochs: 3, batch_size: 50}
"""
MNIST = """\
data: {mnist: {validation: 5000}}
model: [flatten, dense: 32, relu, dense: 10]
optimizer: {adam: 0.001}
training: {epochs: 1, batch_size: 64}
"""


def table(folder: Path, rows: Sequence[str]) -> str:
    """A config whose examples are no images: numbers a and b, and what kind they are."""
    path = folder / "table.csv"
    path.write_text("\n".join(["a,b,kind", *rows]) + "\n")
    return f"""\
data: {{csv: {{path: {json.dumps(str(path))}, target: kind}}}}
model: [dense: 2]
optimizer: {{sgd: 0.1}}
training: {{epochs: 1, batch_size: 10}}
"""


def needs_mnist() -> None:
    if not (data_folder() / "mnist").is_dir():
        pytest.skip("no folder mnist in $JAXNN_DATA")


def predictions(address: str, split: str) -> tuple[int, dict[str, np.ndarray]]:
    """The step, and what the network takes each example of a split for, as the server says it."""
    answer = httpx.get(f"{address}/api/data/{split}/predictions", timeout=60).raise_for_status()
    header, arrays = unpack(answer.content)
    return header["step"], arrays


def until(page: Page | Frame, what: Callable[[], Any], seconds: float = 30) -> Any:
    """Waits for something that is true, and returns it; what the page does goes on meanwhile."""
    ends = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < ends, f"it did not come true within {seconds} s"
        page.wait_for_timeout(20)
    return found


def pixels(canvas: Locator) -> np.ndarray:
    """What a canvas shows, (height, width, 4) uint8: red, green, blue and opacity."""
    width, height, data = canvas.evaluate(
        """canvas => {
          const {width, height} = canvas;
          const context = new OffscreenCanvas(width, height).getContext(
            "2d", {willReadFrequently: true});
          context.drawImage(canvas, 0, 0);
          const {data} = context.getImageData(0, 0, width, height);
          let text = "";
          for (let i = 0; i < data.length; i += 32768)
            text += String.fromCharCode(...data.subarray(i, i + 32768));
          return [width, height, btoa(text)];
        }"""
    )
    return np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)
