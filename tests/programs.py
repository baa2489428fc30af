"""Programs beside JAX: one case of everything that the library's catalogue lists."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from webassembly import Machine

from jaxnn import layers, losses, models, network, optimizers, schedules
from jaxnn.config import (
    AUGMENTATIONS,
    INITIALIZERS,
    LAYERS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    load_config,
)
from jaxnn.program import Program, make_program, run
from jaxnn.program.wasm import compile_module
from jaxnn.tasks import is_correct
from jaxnn.training.step import (
    Examples,
    TrainState,
    example_keys,
    init_train_state,
    make_chunk,
    make_step,
)

CONFIGS = Path(__file__).parents[1] / "configs"
QUICKLY = {"xla_backend_optimization_level": 0}  # what is compiled here runs but once
BATCH, SHAPE, CLASSES = 3, (4, 6, 4), 5


def arrays(tree: Any) -> list[np.ndarray]:
    """The leaves of a tree as programs see them: keys are words."""

    def words(leaf: Any) -> Any:
        is_key = jnp.issubdtype(jnp.result_type(leaf), jax.dtypes.prng_key)
        return jax.random.key_data(leaf) if is_key else leaf

    return [np.asarray(words(leaf)) for leaf in jax.tree.leaves(jax.tree.map(jnp.asarray, tree))]


class Case(NamedTuple):
    """A function, and arguments for it."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...]

    def program(self) -> Program:
        return make_program(self.function, *self.arguments)

    def result(self) -> Any:
        """What JAX says."""
        compiled = jax.jit(self.function).lower(*self.arguments).compile(QUICKLY)
        return compiled(*self.arguments)


def in_webassembly(program: Program, *inputs: Any) -> list[np.ndarray]:
    """What a program's module returns."""
    return Machine(compile_module({"main": program})).run("main", *inputs)


def assert_same(
    case: Case,
    tolerance: float = 2e-6,
    runs: Sequence[Callable[..., list[np.ndarray]]] = (run, in_webassembly),
) -> Program:
    """Checks what a case's program computes, in each of some ways, against JAX.

    Whole numbers, keys and random bits are equal, floats within a tolerance relative to the
    largest of their array.
    """
    program = case.program()
    expected = arrays(case.result())
    assert [(x.shape, x.dtype) for x in program.outputs] == [
        (x.shape, x.dtype.name) for x in expected
    ]
    for run_program in runs:
        found = run_program(program, *arrays(case.arguments))
        for name, a, b in zip(program.output_names, found, expected, strict=True):
            if jnp.issubdtype(b.dtype, jnp.floating):
                a, b = a.astype(np.float64), b.astype(np.float64)
                scale = np.max(np.abs(b), initial=0, where=np.isfinite(b))
                atol = tolerance * scale
                np.testing.assert_allclose(a, b, rtol=0, atol=atol, err_msg=name, strict=True)
            else:
                np.testing.assert_array_equal(a, b, err_msg=name, strict=True)
    return program


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def initialized(layer: layers.Layer, shape: tuple[int, ...]) -> tuple[Any, Any, Any]:
    """Parameters, state (positive, as variances are) and output shape, without any compiling."""
    out_shape = ()

    def init(key: Any) -> Any:
        nonlocal out_shape
        *arrays, out_shape = layer.init(key, shape)
        return arrays

    params, state = jax.eval_shape(init, jax.random.key(0))
    params = jax.tree.map(lambda p: 0.5 * normal(*p.shape, seed=5), params)
    state = jax.tree.map(lambda p: 0.5 + np.abs(normal(*p.shape, seed=6)), state)
    return params, state, out_shape


# Arguments for what needs some. What is new in the catalogue and needs none is covered at once.
BLOCK = layers.serial(layers.dense(4), layers.tanh())
OF_LAYERS: dict[str, tuple[Any, ...]] = {
    "conv2d": (3,),
    "dense": (3,),
    "dropout": (0.3,),
    "group_norm": (2,),
    "parallel": (BLOCK, layers.relu()),
    "rematerialize": (layers.serial(layers.dense(3), layers.dropout(0.5)),),
    "sharded": (layers.dense(3),),
    "reshape": ((8, 12),),
    "serial": (BLOCK, layers.softmax()),
    "shortcut": (BLOCK,),
    "standardize": (0.5, 2.0),
}
UNTRAINED = {"airbench", "whiten"}
"""Programs know no eigenvectors, which the first batch of training is whitened by."""

FURTHER_LAYERS = {
    "avg_pool overlapping": layers.avg_pool(3, stride=2, padding="SAME"),
    "before": layers.before(BLOCK, layers.standardize(0.5, 2.0)),
    "conv2d dilated": layers.conv2d(3, (2, 3), dilation=2, padding="VALID", bias=False),
    "conv2d strided in groups": layers.conv2d(4, (3, 2), stride=2, groups=2),
    "dropout spatial": layers.dropout(0.5, spatial=True),
    "gelu approximate": layers.gelu(approximate=True),
    "max_pool overlapping": layers.max_pool(3, stride=2, padding="SAME"),
    "parallel concatenate": layers.parallel(BLOCK, layers.relu(), how="concatenate"),
}
OF_AUGMENTATIONS: dict[str, tuple[Any, ...]] = {
    "affine": (15.0, 0.1, 0.1, 0.5),
    "cutout": (3,),
    "elastic": (2.0, 1.0),
    "mixup": (0.4,),
    "shift": (1,),
}
OF_INITIALIZERS = {"constant": {"value": 0.5}}
OF_OPTIMIZERS: dict[str, tuple[Any, ...]] = {
    "accumulate": (optimizers.adam(0.01), 2),
    "add_decayed_weights": (0.1,),
    "chain": (optimizers.clip_by_global_norm(1.0), optimizers.sgd(0.1)),
    "clip_by_global_norm": (0.5,),
    "exponential_moving_average": (0.9,),
    "partition": ("weights", optimizers.muon(0.1, normalize=True), optimizers.sgd(0.1)),
}
FURTHER_OPTIMIZERS = {
    "adam nesterov": optimizers.adam(0.01, nesterov=True),
    "sgd momentum": optimizers.sgd(0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
    "sgd scheduled": optimizers.sgd(schedules.warmup_cosine(1.0, 10, warmup=3)),
}
OF_SCHEDULES: dict[str, dict[str, Any]] = {
    "constant": {"value": 0.1},
    "piecewise": {"values": (1.0, 0.1), "boundaries": (5,)},
    "warmup_cosine": {"peak": 0.1, "steps": 10, "warmup": 3},
}

MODELS = [name for name in LAYERS if LAYERS[name].__module__ == models.__name__]


def layer_names() -> list[str]:
    return [*(name for name in LAYERS if name not in MODELS), *FURTHER_LAYERS]


def layer_case(name: str) -> Case:
    """A layer in both modes, forward and backward."""
    layer = FURTHER_LAYERS.get(name) or LAYERS[name](*OF_LAYERS.get(name, ()))
    params, state, out_shape = initialized(layer, SHAPE)

    def both(params: Any, state: Any, x: Any, keys: Any, dy: Any) -> Any:
        def in_mode(train: bool) -> Any:
            y, new_state, residuals = layer.forward(params, state, x, train=train, key=keys)
            return y, new_state, layer.backward(params, residuals, dy)

        return in_mode(False), None if name in UNTRAINED else in_mode(True)

    keys = jax.random.split(jax.random.key(1), BATCH)
    x, dy = normal(BATCH, *SHAPE, seed=1), normal(BATCH, *out_shape, seed=2)
    return Case(both, (params, state, x, keys, dy))


def model_case(name: str) -> Case:
    """A whole model's loss and gradients, of shapes only."""
    model = LAYERS[name]()
    shape = (32, 32, 3) if name in ("bird_cnn", "resnet20") else (28, 28, 1)
    params, state, _ = initialized(model, shape)

    def gradients(params: Any, state: Any, inputs: Any, targets: Any, keys: Any) -> Any:
        loss = losses.softmax_cross_entropy
        arrays, train = (params, state, inputs, targets), name not in UNTRAINED
        return network.loss_and_gradients(model, loss, *arrays, key=keys, train=train)

    keys = jax.random.split(jax.random.key(1), 2)
    inputs = jax.ShapeDtypeStruct((2, *shape), "float32")
    return Case(gradients, (params, state, inputs, jnp.zeros(2, "int32"), keys))


def loss_case(name: str) -> Case:
    """A loss of class numbers and of rows of numbers, with and without weights."""
    loss = LOSSES[name]

    def all_of_them(outputs: Any, classes: Any, rows: Any, weights: Any) -> Any:
        return [loss(outputs, targets, w) for targets in (classes, rows) for w in (None, weights)]

    rows = np.abs(normal(BATCH, CLASSES, seed=2))
    rows /= rows.sum(-1, keepdims=True)
    outputs, weights = normal(BATCH, CLASSES), np.array([1, 0, 0.5], np.float32)
    return Case(all_of_them, (outputs, np.array([4, 0, 2], np.int32), rows, weights))


def initializer_case(name: str) -> Case:
    options = OF_INITIALIZERS.get(name, {})
    return Case(lambda key: INITIALIZERS[name](key, (3, 2, 4), **options), (jax.random.key(7),))


def optimizer_names() -> list[str]:
    return [*OPTIMIZERS, *FURTHER_OPTIMIZERS]


def optimizer_case(name: str) -> Case:
    """Three steps from the start."""
    optimizer = FURTHER_OPTIMIZERS.get(name) or OPTIMIZERS[name](*OF_OPTIMIZERS.get(name, (0.01,)))

    def steps(params: Any, gradients: Any) -> Any:
        state = optimizer.init(params)
        for scale in (1.0, -0.5, 2.0):
            scaled = jax.tree.map(lambda g, scale=scale: scale * g, gradients)
            updates, state = optimizer.update(scaled, state, params)
            params = optimizers.apply_updates(params, updates)
        return params, state

    params = {"bias": normal(4), "weight": normal(3, 4, seed=1)}
    return Case(steps, (params, {"bias": normal(4, seed=2), "weight": normal(3, 4, seed=3)}))


def schedule_case(name: str) -> Case:
    schedule = SCHEDULES[name](**OF_SCHEDULES.get(name, {"peak": 0.1, "steps": 10}))
    return Case(jax.vmap(schedule), (jnp.arange(13),))


def augmentation_case(name: str) -> Case:
    options = {"classes": CLASSES} if name == "mixup" else {}
    augment = AUGMENTATIONS[name](*OF_AUGMENTATIONS.get(name, ()), **options)
    keys = jax.random.split(jax.random.key(3), BATCH)
    return Case(augment, (keys, normal(BATCH, *SHAPE), np.array([4, 0, 2], np.int32)))


class Parts(NamedTuple):
    """What an experiment trains, without its data."""

    network: layers.Layer
    loss: losses.Loss
    optimizer: optimizers.Optimizer
    in_shape: tuple[int, ...]


def from_config(name: str, in_shape: tuple[int, ...], *overrides: str) -> Parts:
    config = load_config(CONFIGS / f"{name}.yaml", overrides).with_steps(1000)
    net = layers.before(config.model.build("model"), layers.standardize(33.0, 78.0))
    return Parts(net, config.loss.build("loss"), config.optimizer.build("optimizer"), in_shape)


def convolutional() -> Parts:
    """A small network of convolutions; no bias before batch_norm, as its gradient is rounding."""
    net = layers.serial(
        layers.conv2d(4, bias=False),
        layers.batch_norm(),
        layers.relu(),
        layers.max_pool(),
        layers.flatten(),
        layers.dropout(0.2),
        layers.dense(10),
    )
    net = layers.before(net, layers.standardize(33.0, 78.0))
    return Parts(net, losses.softmax_cross_entropy, optimizers.adamw(0.002), (8, 8, 1))


NETWORKS: dict[str, Callable[[], Parts]] = {
    "digits_mlp": lambda: from_config("digits_mlp", (8, 8, 1)),
    "mnist_mlp": lambda: from_config(
        "mnist_mlp", (8, 8, 1), "model.2.dense=16", "model.5.dense=16"
    ),
    "three_blue_one_brown": lambda: from_config("three_blue_one_brown", (8, 8, 1)),
    "convolutional": convolutional,
}


def batch(parts: Parts, size: int = 4) -> Examples:
    random = np.random.default_rng(1)
    inputs = random.integers(0, 256, (size, *parts.in_shape), np.uint8)
    return Examples(inputs, random.integers(0, 10, size).astype(np.int32))


def start(parts: Parts) -> TrainState:
    """A state to train from, without any compiling."""
    params, state, _ = initialized(parts.network, parts.in_shape)
    return TrainState(jnp.int32(3), params, state, parts.optimizer.init(params), jax.random.key(4))


def init_case(parts: Parts) -> Case:
    """Everything from a seed."""

    def init(seed: Any) -> Any:
        return init_train_state(parts.network, parts.optimizer, parts.in_shape, seed)

    return Case(init, (jnp.uint32(4_000_000_000),))


def step_case(parts: Parts, train_state: TrainState) -> Case:
    """A training step, of which the learning rate is an input too."""
    step = make_step(parts.network, parts.loss, parts.optimizer)

    def with_rate(train_state: Any, batch: Any, learning_rate: Any) -> Any:
        state = optimizers.set_hyperparameters(
            train_state.optimizer_state, learning_rate=learning_rate
        )
        return step(train_state._replace(optimizer_state=state), batch)

    return Case(with_rate, (train_state, batch(parts), np.float32(0.003)))


def trace_case(parts: Parts, train_state: TrainState) -> Case:
    """What passes through every layer of a network in training mode, forward and backward."""

    def trace(params: Any, state: Any, key: Any, step: Any, batch: Any) -> Any:
        keys = example_keys(key, step, len(batch.targets)) if parts.network.draws else None
        return network.trace(parts.network, parts.loss, params, state, *batch, train=True, key=keys)

    _, params, state, _, key = train_state
    return Case(trace, (params, state, key, train_state.step, batch(parts)))


def evaluate_case(parts: Parts, train_state: TrainState) -> Case:
    """Outputs, loss and the number of correct answers in inference mode."""

    def evaluate(params: Any, state: Any, batch: Any, weights: Any) -> Any:
        outputs, _, _ = parts.network.forward(params, state, batch.inputs)
        value, _ = parts.loss(outputs, batch.targets, weights)
        return outputs, value, jnp.sum(is_correct(outputs, batch.targets) * weights)

    weights = np.array([1, 1, 0.5, 0], np.float32)
    return Case(evaluate, (train_state.params, train_state.state, batch(parts), weights))


def chunk_case(parts: Parts, train_state: TrainState) -> Case:
    """Two of the steps that some batches give, in a loop."""
    examples = batch(parts, 9)
    batches = np.array([[0, 1, 2], [6, 5, 8], [3, 4, 7]], np.int32)
    chunk = make_chunk(parts.network, parts.loss, parts.optimizer)
    return Case(chunk, (train_state, examples, batches, np.int32(1), np.int32(2)))
