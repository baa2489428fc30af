"""What the lab computes with a network besides training it: traces and predictions."""

import functools
import math
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import at_path, named_leaves
from jaxnn.config import Experiment, cost
from jaxnn.data import Dataset
from jaxnn.network import describe, leaves
from jaxnn.prediction import look, verdicts
from jaxnn.tasks import classification, regression
from jaxnn.training import TrainState
from jaxnn.web.messages import Example, Stored, pack, stored_input

MOST_SAID = 8
"""Numbers, or labels, of an example that clients get for whole splits: the first."""


def said(dataset: Dataset, stored: np.ndarray) -> np.ndarray:
    """Returns what a network answers, or what is true, as people read it: a row for each example.

    Numbers are in the units of the data; labels as they are. (examples, outputs).
    """
    values = dataset.target_values(stored) if dataset.task is regression else stored
    return values.reshape(len(values), math.prod(dataset.out_shape)).astype(np.float32)


class Programs:
    """The programs of an experiment's network, compiled once each; their answers come packed.

    Attributes:
        layers: the network's layers in the order of computation, combinators left out.
        looked: whether ``trace`` has been compiled.
    """

    def __init__(self, experiment: Experiment) -> None:
        _, self._dataset, network, loss, _ = experiment
        rows, plain = describe(network, self._dataset.in_shape), leaves(network)
        self.layers = [row for row in rows if row.path in plain]
        self.looked = False
        self._batch = cost.predicted_at_a_time(experiment)
        task = self._dataset.task
        self._look = jax.jit(functools.partial(look, network, loss, task=task))
        self._predict = jax.jit(functools.partial(verdicts, network, loss, task=task))

    def trace(self, train_state: TrainState, example: Example, kind: str) -> bytes:
        """Returns what the network does with an example; see ``jaxnn.web.server``.

        Raises:
            MessageError: if there is no such example.
        """
        inputs, target = stored_input(example, self._dataset)
        params, state = train_state.params, train_state.state
        classes = self._dataset.task is classification
        if target is None:
            target = np.int32(-1) if classes else np.full(self._dataset.out_shape, np.nan, "f4")
        given = bool(target >= 0) if classes else not np.isnan(target).any()
        arrays = jax.device_get(self._look(params, state, inputs[None], jnp.asarray(target)[None]))
        self.looked = True
        header = {
            "type": kind,
            "step": int(train_state.step),
            "example": example.model_dump() if isinstance(example, Stored) else None,
            "given": given,
        }
        target = arrays.pop("target")
        strongest = arrays["probabilities" if classes else "answers"].argmax()
        header["predicted"] = int(strongest)  # of another task, what is looked at first
        if classes:
            header["target"] = int(target)
        else:
            for name, values in (("answers", arrays["answers"]), ("true", target)):
                arrays[name] = said(self._dataset, values[None])[0]
        for i, row in enumerate(self.layers):
            for name, leaf in named_leaves(at_path(params, row.path)).items():
                arrays[f"{i}.{name}"] = np.asarray(leaf)
        return pack(header, arrays)

    def predict(self, train_state: TrainState, split: str) -> Iterator[bytes | None]:
        """Predicts a split a batch at a time; yields None after each and at last the answer."""
        params, state = train_state.params, train_state.state
        header = {"type": "predictions", "split": split, "step": int(train_state.step)}
        inputs, targets = getattr(self._dataset, split)
        size = min(self._batch, len(targets))
        parts = []
        for start in range(0, len(targets), max(size, 1)):
            rows = np.minimum(np.arange(start, start + size), len(targets) - 1)
            parts.append(jax.device_get(self._predict(params, state, inputs[rows], targets[rows])))
            yield None
        columns = [np.concatenate(column)[: len(targets)] for column in zip(*parts, strict=True)]
        names: tuple[str, ...] = ("predicted", "confidence", "loss")
        if self._dataset.task is not classification:
            names = ("answers", "loss")
            columns[:1] = [said(self._dataset, found)[:, :MOST_SAID] for found in columns[:1]]
        columns = columns or [np.zeros(0, "f4" if n != "predicted" else "i4") for n in names]
        yield pack(header, dict(zip(names, columns, strict=True)))
