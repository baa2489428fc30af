"""``make_program``: a function, traced by JAX, as a program."""

import functools
import inspect
import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
from jax.extend import source_info_util
from jax.extend.core import Literal

from jaxnn.errors import ProgramError
from jaxnn.program.builder import Builder, Source, Type
from jaxnn.program.decompositions import qr
from jaxnn.program.primitives import OF_KEYS, RULES
from jaxnn.program.program import Program, Value
from jaxnn.program.types import NotCovered, Rule, array_type, is_key


def make_program(function: Callable[..., Any], *example_arrays: Any) -> Program:
    """Traces a function, jitted or not, and returns it as a program.

    Calls within it are inlined; of what depends on the platform, the default is taken; what is
    known is computed, what is repeated done once, what nothing needs left out.

    Args:
        function: a function of arrays, in any pytrees, that returns the same.
        example_arrays: its arguments; of the arrays, or ``jax.ShapeDtypeStruct``, only shapes and
            types matter.

    Raises:
        ProgramError: if it does what programs cannot; the operation is named and where it stands.
    """
    closed, out = jax.make_jaxpr(function, return_shape=True)(*example_arrays)
    b = Builder()
    inputs = [b.value(*array_type(x.aval)) for x in closed.jaxpr.invars]
    outputs = _inline(b, closed, inputs)
    names = [
        name
        for argument, tree in _arguments(function, example_arrays)
        for name in _paths(tree, argument)
    ]
    return b.program(inputs, outputs, names, _paths(out))


def _arguments(function: Callable[..., Any], arguments: Sequence[Any]) -> list[tuple[str, Any]]:
    """The names of a function's arguments, and these."""
    bound = inspect.signature(function).bind(*arguments)
    return list(bound.arguments.items())


def _paths(tree: Any, prefix: str = "") -> list[str]:
    """The paths of a tree's leaves, such as ``params.1.weight``."""
    paths = [
        jax.tree_util.keystr(path, simple=True, separator=".")
        for path, _ in jax.tree_util.tree_leaves_with_path(tree)
    ]
    return [".".join(part for part in (prefix, path) if part) or "output" for path in paths]


def _inline(b: Builder, closed: Any, inputs: Sequence[Value]) -> list[Value]:
    """Writes what a jaxpr does. Returns its outputs."""
    jaxpr = getattr(closed, "jaxpr", closed)
    values = dict(zip(jaxpr.invars, inputs, strict=True))
    for variable, array in zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True):
        values[variable] = b.constant(
            jax.random.key_data(array) if is_key(variable.aval) else array
        )

    def read(atom: Any) -> Value:
        if isinstance(atom, Literal):
            return b.constant(atom.val, array_type(atom.aval)[1])
        return values[atom]

    outer = b.source
    for eqn in jaxpr.eqns:
        b.source = _source(eqn, outer)
        try:
            made = _rule(eqn)(b, eqn, *map(read, eqn.invars))
        except NotCovered as error:
            detail = f"{eqn.primitive.name} {error}".strip()
            raise ProgramError(
                f"{detail} cannot be written as a program; it comes from {b.source}"
            ) from error
        outputs = [made] if isinstance(made, Value) else made
        values.update(zip(eqn.outvars, outputs, strict=True))
    b.source = outer
    return [read(atom) for atom in jaxpr.outvars]


def _source(eqn: Any, outer: Source) -> Source:
    """Where an equation comes from; if JAX does not say, where the call is that it is within."""
    info = eqn.source_info
    named = (part for part in str(info.name_stack).split("/") if not part.endswith("()"))
    scopes = "/".join(part for part in (outer.scopes, *named) if part)
    found = re.fullmatch(r"(.+?):(\d+).*? \((.+)\)", source_info_util.summarize(info))
    if found is None or Path(found[1]).parent == Path(__file__).parent:
        return Source(scopes, outer.place)
    function = found[3].replace(".<locals>", "")
    return Source(scopes, f"{function} ({Path(found[1]).name}:{found[2]})")


def _rule(eqn: Any) -> Rule:
    name = eqn.primitive.name
    if name in _NESTING:
        return _NESTING[name]
    if name not in RULES:
        raise NotCovered
    keys = any(is_key(x.aval) for x in (*eqn.invars, *eqn.outvars))
    return _on_words if keys and name not in OF_KEYS else RULES[name]


def _on_words(b: Builder, eqn: Any, *inputs: Value) -> list[Value]:
    """What moves keys about moves their words, along one more axis."""

    def moved(*arrays: Any) -> Any:
        axes = [-1 if is_key(x.aval) else None for x in eqn.invars]
        bound = functools.partial(eqn.primitive.bind, **eqn.params)
        return jax.vmap(bound, axes, -1)(*arrays)

    arrays = [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs]
    return _inline(b, jax.make_jaxpr(moved)(*arrays), inputs)


def _random_seed(b: Builder, eqn: Any, seeds: Value) -> list[Value]:
    array_type(eqn.outvars[0].aval)  # refuses other generators
    seed = eqn.params["impl"].seed
    for _ in seeds.shape:
        seed = jax.vmap(seed)
    array = jax.ShapeDtypeStruct(seeds.shape, seeds.dtype)
    return _inline(b, jax.make_jaxpr(seed)(array), [seeds])


def _by_definition(b: Builder, eqn: Any, *inputs: Value) -> list[Value]:
    """What JAX itself writes in other primitives."""

    def define(*arrays: Any) -> Any:
        if (whole := eqn.params.get("_prim")) is not None:
            return whole.expand(*jax.tree.unflatten(whole.in_tree, arrays))
        return eqn.primitive.impl(*arrays, **eqn.params)

    arrays = [jax.ShapeDtypeStruct(x.aval.shape, x.aval.dtype) for x in eqn.invars]
    return _inline(b, jax.make_jaxpr(define)(*arrays), inputs)


def _qr(b: Builder, eqn: Any, x: Value) -> list[Value]:
    for name in ("pivoting", "full_matrices"):
        if eqn.params[name]:
            raise NotCovered(f"with {name}")
    return _inline(b, jax.make_jaxpr(qr)(jax.ShapeDtypeStruct(x.shape, x.dtype)), [x])


# Programs within programs.


def _call(b: Builder, eqn: Any, *inputs: Value) -> list[Value]:
    names = ("jaxpr", "call_jaxpr")
    return _inline(b, next(eqn.params[name] for name in names if name in eqn.params), inputs)


def _platform_index(b: Builder, eqn: Any) -> Value:
    platforms = list(eqn.params["platforms"])
    if None not in platforms:
        raise NotCovered("without a default")
    return b.constant(platforms.index(None), "int32")


class _Inner:
    """A program within one that is being written.

    Args:
        b: the builder of the program around it.
        closed: what it does.
        arguments: what that is given: values of the program around it, or types.

    Attributes:
        fresh: the inputs for which there was a type.
        outputs: its outputs.
    """

    def __init__(self, b: Builder, closed: Any, arguments: Sequence[Value | Type]) -> None:
        self._builder = Builder(b)
        self._captured: dict[Value, Value] = {}
        self.fresh: list[Value] = []
        inputs = []
        for argument in arguments:
            if not isinstance(argument, Value):
                self.fresh.append(self._builder.value(*argument))
                inputs.append(self.fresh[-1])
            elif (known := self._builder.adopt(b, argument)) is not None:
                inputs.append(known)
            else:
                inputs.append(self._capture(argument))
        self.outputs = _inline(self._builder, closed, inputs)

    def _capture(self, value: Value) -> Value:
        if value not in self._captured:
            self._captured[value] = self._builder.value(value.shape, value.dtype)
        return self._captured[value]

    def needs(self) -> list[Value]:
        """Returns the values of the program around it that it needs."""
        needed = self._builder.needed(self.outputs)
        return [outer for outer, inner in self._captured.items() if inner.id in needed]

    def program(self, captured: Sequence[Value]) -> Program:
        """Returns it with these values of the one around it as inputs, and then ``fresh``."""
        inputs = [*map(self._capture, captured), *self.fresh]
        return self._builder.program(inputs, self.outputs)


def _finished(*inner: _Inner) -> tuple[list[Value], list[Program]]:
    """Returns what some programs need of the one around them, and the programs."""
    captured = list(dict.fromkeys(value for x in inner for value in x.needs()))
    return captured, [x.program(captured) for x in inner]


def _cond(b: Builder, eqn: Any, index: Value, *inputs: Value) -> Sequence[Value]:
    branches = eqn.params["branches"]
    known = b.known(index)
    if known is not None:
        return _inline(b, branches[min(max(int(known), 0), len(branches) - 1)], inputs)
    captured, programs = _finished(*(_Inner(b, branch, inputs) for branch in branches))
    types = [array_type(x.aval) for x in eqn.outvars]
    return b.write_all("cond", [index, *captured], types, branches=tuple(programs))


def _settled(
    carries: Sequence[Value], trace: Callable[[Sequence[Value | Type]], _Inner]
) -> tuple[_Inner, list[Value | Type]]:
    """Finds the carries that a loop's body never changes.

    Returns the body, traced with these as constants, and what each carry is to the body: a value
    of the program around it if it does not change, else a type.
    """
    arguments: list[Value | Type] = [(x.shape, x.dtype) for x in carries]
    while True:
        body = trace(arguments)
        changing = [i for i, x in enumerate(arguments) if not isinstance(x, Value)]
        constant = [i for i, x in zip(changing, body.fresh, strict=False) if body.outputs[i] == x]
        for i in constant:
            arguments[i] = carries[i]
        if not constant:
            body.outputs = [
                x
                for x, argument in itertools.zip_longest(body.outputs, arguments)
                if not isinstance(argument, Value)
            ]
            return body, arguments


def _while(b: Builder, eqn: Any, *inputs: Value) -> list[Value]:
    p = eqn.params
    ends = p["cond_nconsts"], p["cond_nconsts"] + p["body_nconsts"]
    of_condition, of_body, carries = inputs[: ends[0]], inputs[ends[0] : ends[1]], inputs[ends[1] :]
    body, arguments = _settled(carries, lambda x: _Inner(b, p["body_jaxpr"], [*of_body, *x]))
    condition = _Inner(b, p["cond_jaxpr"], [*of_condition, *arguments])
    captured, (condition_program, body_program) = _finished(condition, body)
    changing = [x for x, a in zip(carries, arguments, strict=True) if not isinstance(a, Value)]
    made = iter(
        b.write_all(
            "while",
            [*captured, *changing],
            [(x.shape, x.dtype) for x in changing],
            condition=condition_program,
            body=body_program,
            constants=len(captured),
        )
    )
    return [a if isinstance(a, Value) else next(made) for a in arguments]


def _scan(b: Builder, eqn: Any, *inputs: Value) -> list[Value]:
    p = eqn.params
    if "ft_in" in p:  # JAX 0.12
        counts = [len(part) for part in p["ft_in"].unpack()]
    else:
        counts = [p["num_consts"], p["num_carry"]]
    ends = counts[0], counts[0] + counts[1]
    constants, carries, arrays = inputs[: ends[0]], inputs[ends[0] : ends[1]], inputs[ends[1] :]
    slices = [(x.shape[1:], x.dtype) for x in arrays]
    body, arguments = _settled(carries, lambda x: _Inner(b, p["jaxpr"], [*constants, *x, *slices]))
    captured, (program,) = _finished(body)
    changing = [x for x, a in zip(carries, arguments, strict=True) if not isinstance(a, Value)]
    types = [(x.shape, x.dtype) for x in changing]
    types += [array_type(x.aval) for x in eqn.outvars[len(carries) :]]
    made = iter(
        b.write_all(
            "scan",
            [*captured, *changing, *arrays],
            types,
            body=program,
            length=int(p["length"]),
            reverse=bool(p["reverse"]),
            constants=len(captured),
            carries=len(changing),
        )
    )
    return [*(a if isinstance(a, Value) else next(made) for a in arguments), *made]


_NESTING: dict[str, Rule] = {
    "call_hi_primitive": _by_definition,
    "closed_call": _call,
    "cond": _cond,
    "custom_jvp_call": _call,
    "custom_vjp_call": _call,
    "jit": _call,
    "platform_index": _platform_index,
    "qr": _qr,
    "random_gamma": _by_definition,
    "random_seed": _random_seed,
    "remat2": _call,
    "scan": _scan,
    "while": _while,
}
