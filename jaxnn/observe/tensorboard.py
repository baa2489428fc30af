"""Reports as TensorBoard event files: scalars, histograms of the weights, weights as images."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import numpy as np

from jaxnn.arrays import named_leaves
from jaxnn.errors import RunError, extra, writing
from jaxnn.observe.metrics import record
from jaxnn.training import Report

_IMAGES = 64  # units whose weights are drawn


def check_tensorboard() -> None:
    """Checks that the extra ``tensorboard`` is installed.

    Raises:
        RunError: if it is not.
    """
    if importlib.util.find_spec("tensorboardX") is None:
        raise RunError(f"writing TensorBoard's files needs tensorboardX: {extra('tensorboard')}")


@contextmanager
def tensorboard(folder: Path, in_shape: tuple[int, ...] = ()) -> Iterator[Callable[[Report], None]]:
    """Gives the consumer that writes event files, to be seen with ``tensorboard --logdir runs``.

    Scalars have the names and values of ``metrics.jsonl``, those of a layer as
    ``weight_norm/1 dense`` and so on. At the end of each epoch there is a histogram of every
    array of parameters, and, where the examples are images, the weights of the first dense layer
    as images, mid-grey for zero.

    Args:
        folder: where to write; made if need be.
        in_shape: the shape of an example.

    Raises:
        RunError: if the extra ``tensorboard`` is not installed, or files cannot be written.
    """
    check_tensorboard()
    from tensorboardX import SummaryWriter

    with writing(folder):
        writer = SummaryWriter(str(folder))

    def consume(report: Report) -> None:
        with writing(folder):
            for key, value in record(report).items():
                if key == "statistics":
                    for layer, numbers in value.items():
                        for name, number in numbers.items():
                            writer.add_scalar(f"{name}/{layer}", number, report.step)
                elif key == "warnings":
                    writer.add_text("warnings", "\n\n".join(value), report.step)
                elif key not in ("step", "steps"):
                    writer.add_scalar(key, value, report.step)
            if report.epoch.is_integer():
                arrays = named_leaves(jax.device_get(report.train_state.params))
                for name, array in arrays.items():
                    writer.add_histogram(name, np.asarray(array, np.float32), report.step)
                for name, array in arrays.items():
                    if len(in_shape) == 3 and array.ndim == 2:
                        if array.shape[0] == np.prod(in_shape):
                            images = _images(np.asarray(array, np.float32), in_shape)
                            writer.add_images(name, images, report.step, dataformats="NHWC")
                        break
            writer.flush()

    try:
        yield consume
    finally:
        writer.close()


def _images(weight: np.ndarray, in_shape: tuple[int, ...]) -> np.ndarray:
    """Weights (features, units) as images (units, H, W, 3) between 0 and 1."""
    images = weight.T.reshape(-1, *in_shape)[:_IMAGES]
    grey = 0.5 + images / (2 * np.abs(images).max() or 1)
    return np.repeat(grey, 3, axis=-1) if in_shape[-1] == 1 else grey
