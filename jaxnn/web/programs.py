"""What the lab computes with a network besides training it: traces and predictions."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxnn.arrays import Tree, at_path, cast, named_leaves
from jaxnn.config import Experiment
from jaxnn.network import describe, trace, walk
from jaxnn.prediction import probabilities
from jaxnn.training import TrainState
from jaxnn.web.messages import Example, Stored, pack, stored_input

_Look: TypeAlias = Callable[..., dict[str, Array]]
_Predict: TypeAlias = Callable[..., tuple[Array, Array, Array]]


class Programs:
    """The programs of an experiment's network, compiled once each; their answers come packed.

    Attributes:
        layers: the network's layers in the order of computation, combinators left out.
        looked: whether ``trace`` has been compiled.
    """

    def __init__(self, experiment: Experiment) -> None:
        _, self._dataset, network, _, _ = experiment
        leaves = {path for path, layer in walk(network) if not layer.layers}
        rows = describe(network, self._dataset.in_shape)
        self.layers = [row for row in rows if row.path in leaves]
        self.looked = False
        self._look, self._predict = _compiled(experiment, [row.path for row in self.layers])

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
        size = min(500, len(targets))
        parts = []
        for start in range(0, len(targets), max(size, 1)):
            rows = np.minimum(np.arange(start, start + size), len(targets) - 1)
            parts.append(jax.device_get(self._predict(params, state, inputs[rows], targets[rows])))
            yield None
        columns = [np.concatenate(column)[: len(targets)] for column in zip(*parts, strict=True)]
        columns = columns or [np.zeros(0, dtype) for dtype in ("int32", "float32", "float32")]
        names = ("predicted", "confidence", "loss")
        yield pack(header, dict(zip(names, columns, strict=True)))


def _compiled(experiment: Experiment, leaves: Sequence[tuple[int, ...]]) -> tuple[_Look, _Predict]:
    network, loss = experiment.network, experiment.loss

    @jax.jit
    def look(params: Tree, state: Tree, inputs: Array, target: Array) -> dict[str, Array]:
        outputs, _, _ = network.forward(params, state, inputs)
        target = jnp.where(target < 0, outputs.argmax(-1), target)
        traced = trace(network, loss, params, state, inputs, target)
        at = {layer.path: layer for layer in traced.layers}
        arrays = {
            "target": target[0],
            "probabilities": probabilities(outputs, loss)[0],
            "loss": traced.loss,
        }
        for i, path in enumerate(leaves):
            layer = at[path]
            arrays[f"{i}.input"], arrays[f"{i}.output"] = layer.input[0], layer.output[0]
            arrays[f"{i}.d_output"] = layer.d_output[0]
            if layer.d_input is not None:
                arrays[f"{i}.d_input"] = layer.d_input[0]
            for name, gradient in named_leaves(layer.gradients).items():
                arrays[f"{i}.d_{name}"] = gradient
        return cast(arrays, jnp.float32)

    @jax.jit
    def predict(
        params: Tree, state: Tree, inputs: Array, targets: Array
    ) -> tuple[Array, Array, Array]:
        outputs, _, _ = network.forward(params, state, inputs)
        chances = probabilities(outputs, loss).astype(jnp.float32)
        losses = jax.vmap(lambda output, target: loss(output[None], target[None], None)[0])(
            outputs, targets
        )
        predicted = outputs.argmax(-1).astype(jnp.int32)
        return predicted, chances.max(-1), losses.astype(jnp.float32)

    return look, predict
