"""What the lab computes with a network besides training it: traces and predictions."""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.arrays import at_path, named_leaves
from jaxnn.config import Experiment, cost
from jaxnn.network import describe, leaves
from jaxnn.prediction import look, verdicts
from jaxnn.training import TrainState
from jaxnn.web.messages import Example, Stored, pack, stored_input


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
        self._look = jax.jit(functools.partial(look, network, loss))
        self._predict = jax.jit(functools.partial(verdicts, network, loss))

    def trace(self, train_state: TrainState, example: Example, kind: str) -> bytes:
        """Returns what the network does with an example; see ``jaxnn.web.server``.

        Raises:
            MessageError: if there is no such example.
        """
        inputs, target = stored_input(example, self._dataset)
        params, state = train_state.params, train_state.state
        given = jnp.asarray([-1 if target is None else target], jnp.int32)
        arrays = jax.device_get(self._look(params, state, inputs[None], given))
        self.looked = True
        header = {
            "type": kind,
            "step": int(train_state.step),
            "example": example.model_dump() if isinstance(example, Stored) else None,
            "target": int(arrays.pop("target")),
            "given": target is not None,
            "predicted": int(arrays["probabilities"].argmax()),
        }
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
        columns = columns or [np.zeros(0, dtype) for dtype in ("int32", "float32", "float32")]
        names = ("predicted", "confidence", "loss")
        yield pack(header, dict(zip(names, columns, strict=True)))
