"""What an experiment costs, found out before any of it is compiled: from its config and its shapes.

Each kind of finding is cheap once the ones before it are known to be small: ``written`` needs the
config alone, ``shaped`` the shapes, and ``traced`` traces the programs. ``LIMITS`` says how much of
each can be had without thinking: what the lab's page may ask for, and what others are told of.
"""

import functools
import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jaxnn.config.build import Experiment
from jaxnn.config.calls import Call, calls
from jaxnn.config.catalogue import LAYERS, OPTIMIZERS, Family
from jaxnn.config.config import Config
from jaxnn.errors import ConfigError, warn
from jaxnn.network import describe, leaves
from jaxnn.prediction import look, verdicts
from jaxnn.training import Examples, TrainState, make_step

LIMITS = {
    "layers, those within layers too": 600,
    "layers within each other": 10,
    "optimizers": 32,
    "optimizers within each other": 6,
    "places of windows": 4096,
    "rows of padding": 256,
    "steps of muon": 100,
    "layers": 200,
    "parameters": 20_000_000,
    "numbers of the optimizer's state": 100_000_000,
    "numbers computed a step": 100_000_000,
    "operations of the program": 20_000,
    "bytes at a time": 4 << 30,
    "bytes of a trace": 512 << 20,
    "additions and products a step": 10**12,
}
"""The most of each; of layers, combinators are left out in "layers"."""

PREDICTED, PREDICTED_BYTES = 500, 256 << 20
"""Examples, and bytes alive besides the parameters, at most at a time in the lab's predictions."""


def over(costs: Mapping[str, int], allowed: Mapping[str, int] = LIMITS) -> Iterator[str]:
    """Yields what is beyond the limits, "4,097 places of windows are more than 4,096" each."""
    for name, cost in costs.items():
        if cost > (most := max(LIMITS[name], allowed[name])):
            yield f"{cost:,} {name} are more than {most:,}"


def is_small(costs: Mapping[str, int]) -> bool:
    """Returns whether ``traced`` can find nothing beyond the limits, by what the others found."""
    return all(costs[name] <= LIMITS[name] // 10 for name in _LARGE)


_LARGE = (
    "optimizers",
    "places of windows",
    "rows of padding",
    "steps of muon",
    "parameters",
    "numbers of the optimizer's state",
    "numbers computed a step",
)


def warn_of_large(source: Config | Experiment) -> None:
    """Prints a warning on each cost that is beyond the limits."""
    costs: Mapping[str, int] = {}
    with suppress(ConfigError):  # training will say it itself
        costs = written(source) if isinstance(source, Config) else measured(source)
    for sentence in over(costs):
        warn(f"{sentence}: this may take very long, or more memory than there is")


def written(config: Config) -> dict[str, int]:
    """Returns what a config lets be made, by the names in ``LIMITS``."""
    layers = [call for call in calls(config.model) if call.family is LAYERS]
    optimizers = [call for call in calls(config.optimizer) if call.family is OPTIMIZERS]
    sizes = [call.arguments.get("size", 1) for call in layers]
    places = [math.prod(size) if isinstance(size, list) else size**2 for size in sizes]
    pads = [_largest(call.arguments.get("padding", 0)) for call in layers]
    muon = [call.arguments["steps"] for call in optimizers if call.name == "muon"]
    return {
        "layers, those within layers too": len(layers),
        "layers within each other": _depth(config.model, LAYERS),
        "optimizers": len(optimizers),
        "optimizers within each other": _depth(config.optimizer, OPTIMIZERS),
        "places of windows": sum(places),
        "rows of padding": max(pads, default=0),
        "steps of muon": max(muon, default=0),
    }


def shaped(experiment: Experiment) -> dict[str, int]:
    """Returns what the shapes say, by the names in ``LIMITS``."""
    rows = describe(experiment.network, experiment.dataset.in_shape)
    params, _ = _params(experiment)
    return {
        "layers": len(leaves(experiment.network)),
        "parameters": rows[0].parameters,
        "numbers of the optimizer's state": sum(
            leaf.size for leaf in jax.tree.leaves(jax.eval_shape(experiment.optimizer.init, params))
        ),
        "numbers computed a step": sum(math.prod(row.out_shape) for row in rows)
        * experiment.config.training.batch_size,
    }


def measured(experiment: Experiment) -> dict[str, int]:
    """Returns what the shapes say and, unless that is small, the programs."""
    costs = shaped(experiment)
    if is_small(written(experiment.config) | costs):
        return costs
    try:
        return costs | traced(experiment)
    except ValueError as error:
        raise ConfigError(f"model: {error}") from error


def traced(experiment: Experiment) -> dict[str, int]:
    """Returns what the programs say, a training step and a trace, by the names in ``LIMITS``.

    Bytes are those that are alive at once if each operation is carried out by itself: a compiler
    that fuses some needs fewer.

    Raises:
        ValueError: if an array would be larger than can be.
    """
    _, _, network, loss, optimizer = experiment
    params, state = _params(experiment)
    optimizer_state = jax.eval_shape(optimizer.init, params)
    step, key = jax.eval_shape(lambda: (jnp.zeros((), jnp.int32), jax.random.key(0)))

    try:
        train = jax.make_jaxpr(make_step(network, loss, optimizer))(
            TrainState(step, params, state, optimizer_state, key),
            Examples(*_batch(experiment, experiment.config.training.batch_size)),
        )
        seen, shapes = jax.make_jaxpr(
            lambda *arguments: look(network, loss, *arguments), return_shape=True
        )(params, state, *_batch(experiment, 1))
    except (TypeError, OverflowError) as error:  # from shapes that no array can have
        raise ValueError(str(error)) from error
    return {
        "operations of the program": max(_operations(train.jaxpr), _operations(seen.jaxpr)),
        "bytes at a time": max(_bytes_at_a_time(train.jaxpr), _bytes_at_a_time(seen.jaxpr)),
        "bytes of a trace": sum(map(_bytes, jax.tree.leaves(shapes))),
        "additions and products a step": _total(work(train.jaxpr)),
    }


def predicted_at_a_time(experiment: Experiment) -> int:
    """Returns how many examples the lab predicts at a time, by the bytes that are alive then."""
    predict = functools.partial(verdicts, experiment.network, experiment.loss)
    params = _params(experiment)
    most = PREDICTED_BYTES + sum(map(_bytes, jax.tree.leaves(params)))
    size = PREDICTED
    while size > 1:
        program = jax.make_jaxpr(predict)(*params, *_batch(experiment, size))
        if _bytes_at_a_time(program.jaxpr) <= most:
            break
        size //= 2
    return size


def _batch(experiment: Experiment, size: int) -> Any:
    train = experiment.dataset.train
    return tuple(jax.ShapeDtypeStruct((size, *part.shape[1:]), part.dtype) for part in train)


def _params(experiment: Experiment) -> tuple[Any, Any]:
    shape = experiment.dataset.in_shape
    return jax.eval_shape(lambda key: experiment.network.init(key, shape)[:2], jax.random.key(0))


def _largest(padding: Any) -> int:
    if isinstance(padding, list):
        return max(map(_largest, padding), default=0)
    return padding if isinstance(padding, int) else 0


def _depth(argument: Any, family: Family) -> int:
    """Returns how many calls of a family lie within each other at most."""
    if isinstance(argument, Call):
        below = max((_depth(a, family) for a in argument.arguments.values()), default=0)
        return below + (argument.family is family)
    if isinstance(argument, list):
        return max((_depth(a, family) for a in argument), default=0)
    return 0


# Of a jaxpr: https://docs.jax.dev/en/latest/jaxpr.html.


def _inner(equation: Any) -> list[Any]:
    """Returns the programs within an operation: of a loop its body, of a choice all branches."""
    found = []
    for value in equation.params.values():
        for one in value if isinstance(value, tuple | list) else (value,):
            one = getattr(one, "jaxpr", one)
            if hasattr(one, "eqns"):
                found.append(one)
    return found


def _operations(jaxpr: Any) -> int:
    return sum(1 + sum(map(_operations, _inner(equation))) for equation in jaxpr.eqns)


class Work(NamedTuple):
    """Operations of a program.

    Attributes:
        product: whether they are matrix products or convolutions.
        size: additions and products that each takes.
        times: how many there are.
    """

    product: bool
    size: int
    times: int


def work(jaxpr: Any) -> list[Work]:
    """Returns the operations of a program whose results are used.

    Loops without length count one turn, and of a choice the branch that takes most.
    """
    found: list[Work] = []
    used = set(_variables(jaxpr.outvars))
    for equation in reversed(jaxpr.eqns):
        if used.isdisjoint(equation.outvars) and not equation.effects:
            continue
        used.update(_variables(equation.invars))
        made = sum(math.prod(v.aval.shape) for v in equation.outvars)
        if inner := _inner(equation):
            turns = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
            most = max(map(work, inner), key=_total)
            found += [one._replace(times=turns * one.times) for one in most]
        elif equation.primitive.name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            terms = math.prod(equation.invars[0].aval.shape[i] for i in contracted)
            found.append(Work(True, 2 * made * terms, 1))
        elif equation.primitive.name == "conv_general_dilated":
            kernel = equation.invars[1].aval.shape
            features = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
            found.append(Work(True, 2 * made * (math.prod(kernel) // features), 1))
        else:
            found.append(Work(False, made, 1))
    return found


def _total(found: Iterable[Work]) -> int:
    return sum(one.size * one.times for one in found)


def _bytes_at_a_time(jaxpr: Any) -> int:
    """Returns the most bytes that are alive at one time, the program's inputs included."""
    last: dict[Any, int] = {}
    for i, equation in enumerate(jaxpr.eqns):
        last |= dict.fromkeys(_variables(equation.invars), i)
    last |= dict.fromkeys(_variables(jaxpr.outvars), len(jaxpr.eqns))
    inputs = {*jaxpr.invars, *jaxpr.constvars}
    alive = most = sum(_bytes(v.aval) for v in inputs)
    for i, equation in enumerate(jaxpr.eqns):
        within = max(
            (
                _bytes_at_a_time(inner) - sum(_bytes(v.aval) for v in inner.invars)
                for inner in _inner(equation)
            ),
            default=0,
        )
        alive += sum(_bytes(v.aval) for v in equation.outvars)
        most = max(most, alive + within)
        seen = {*_variables(equation.invars), *equation.outvars} - inputs
        alive -= sum(_bytes(v.aval) for v in seen if last.get(v, i) <= i)
    return most


def _variables(atoms: Iterable[Any]) -> list[Any]:
    return [atom for atom in atoms if not hasattr(atom, "val")]  # that is a literal's


def _bytes(array: Any) -> int:
    return math.prod(array.shape) * getattr(array.dtype, "itemsize", 8)  # keys have no size
