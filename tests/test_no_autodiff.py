"""That no derivative comes from anywhere but this library's own hands."""

import ast
from collections.abc import Collection, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# What differentiates, or serves nothing but differentiation. These names are forbidden wherever
# they are looked up, so that no other name for JAX hides them.
FORBIDDEN = {
    "custom_gradient",
    "custom_jvp",
    "custom_vjp",
    "defjvp",
    "defjvps",
    "defvjp",
    "fwd_and_bwd",
    "grad",
    "hessian",
    "jacfwd",
    "jacobian",
    "jacrev",
    "jvp",
    "linear_call",
    "linear_transpose",
    "linearize",
    "value_and_grad",
    "vjp",
    "vjp3",
}
# These mean something else elsewhere (a checkpoint is also a file), so they are forbidden in JAX.
FORBIDDEN_IN_JAX = {
    "*",
    "_src",
    "ad",
    "ad_checkpoint",
    "ad_util",
    "checkpoint",
    "example_libraries",
    "jet",
    "remat",
    "saved_residuals",
    "test_util",
}
LIBRARIES = {
    "autograd",
    "chainer",
    "dm_haiku",
    "equinox",
    "flax",
    "functorch",
    "haiku",
    "jaxopt",
    "keras",
    "mxnet",
    "objax",
    "optax",
    "optimistix",
    "paddle",
    "penzai",
    "tensorflow",
    "tinygrad",
    "torch",
    "trax",
}
# The one exception: what hands the derivatives written by hand to other people's autodiff.
EXCEPTIONS = {"jaxnn/interop.py": {"custom_vjp", "defvjp"}}
LOOK_UP_BY_NAME = {"attrgetter", "getattr", "methodcaller"}
IMPORT_BY_NAME = {"__import__", "import_module", "resolve_name"}


def root(node: ast.AST) -> str | None:
    """The name that a chain of attributes begins with."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else None


def names_of_jax(tree: ast.AST) -> set[str]:
    """What a module calls JAX, or a part of it."""
    names = set()
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                names |= {
                    alias.asname or "jax" for alias in aliases if alias.name.split(".")[0] == "jax"
                }
            case ast.ImportFrom(module=str(module), names=aliases) if module.split(".")[0] == "jax":
                names |= {alias.asname or alias.name for alias in aliases}
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if root(value) in names:
                names.add(name)
    return names


def paths(node: ast.AST, jax: set[str]) -> Iterator[str]:
    """What a node looks up, as dotted paths that begin with "jax", "import" or "?"."""

    def begin(value: ast.AST) -> str:
        return "jax" if root(value) in jax else "?"

    match node:
        case ast.Import(names=aliases):
            for alias in aliases:
                yield from (alias.name, f"import.{alias.name}")
        case ast.ImportFrom(module=module, names=aliases, level=level):
            for alias in aliases:
                path = f"{module}.{alias.name}" if module else alias.name
                yield from (f"?.{path}",) if level else (path, f"import.{path}")
        case ast.Name(id=name):
            yield f"?.{name}"
        case ast.Attribute(value=value, attr=name):
            yield f"{begin(value)}.{name}"
        case ast.Subscript(value=value, slice=ast.Constant(value=str(name))):
            yield f"?.{name}"
        case ast.Call(func=ast.Name(id=function) | ast.Attribute(attr=function), args=arguments):
            for argument in arguments:
                match argument:
                    case ast.Constant(value=str(name)) if function in LOOK_UP_BY_NAME:
                        yield f"{begin(arguments[0])}.{name}"
                    case ast.Constant(value=str(name)) if function in IMPORT_BY_NAME:
                        yield from (name, f"import.{name}")


def autodiff_in(source: str, allowed: Collection[str] = ()) -> list[str]:
    """What a module has to do with automatic differentiation: lines and dotted paths."""
    tree = ast.parse(source)
    jax = names_of_jax(tree)
    found = []
    for node in ast.walk(tree):
        for path in paths(node, jax):
            first, *rest = path.split(".")
            if (
                FORBIDDEN.difference(allowed).intersection(rest)
                or (first == "jax" and FORBIDDEN_IN_JAX.intersection(rest))
                or (first == "import" and rest[0] in LIBRARIES)
                or (path in ("?.eval", "?.exec") and isinstance(node, ast.Name))
            ):
                found.append(f"line {node.lineno}: {path}")
    return found


def modules() -> list[Path]:
    found = [*ROOT.glob("jaxnn/**/*.py"), *ROOT.glob("experiments/**/*.py")]
    peers = ROOT / "experiments" / "peers"
    return sorted(path for path in found if peers not in path.parents)


@pytest.mark.parametrize("name", [path.relative_to(ROOT).as_posix() for path in modules()])
def test_no_autodiff(name):
    source = (ROOT / name).read_text(encoding="utf-8")
    assert autodiff_in(source, EXCEPTIONS.get(name, ())) == []


def test_the_exception_is_custom_vjp_and_nothing_else():
    source = (ROOT / "jaxnn" / "interop.py").read_text(encoding="utf-8")
    assert {found.split(".")[-1] for found in autodiff_in(source)} == {"custom_vjp", "defvjp"}
    assert autodiff_in(f"{source}\njax.vjp(f)", EXCEPTIONS["jaxnn/interop.py"])


def test_all_of_the_library_is_looked_at():
    names = {str(path.relative_to(ROOT)) for path in modules()}
    assert {
        "experiments/benchmarks/mlp.py",
        "experiments/train.py",
        "jaxnn/layers/dense.py",
        "jaxnn/network.py",
        "jaxnn/program/trace.py",
        "jaxnn/training/step.py",
    } <= names
    assert not any("peers" in name for name in names)


@pytest.mark.parametrize(
    "source",
    [
        "import jax\njax.grad(f)",
        "import jax as j\ng = j.value_and_grad",
        "from jax import grad as g",
        "from jax import numpy, vjp",
        "import jax\nf = jax\nf.jvp",
        "import jax\n[jax][0].hessian(f)",
        "import jax\ngetattr(jax, 'linearize')",
        "import jax\nvars(jax)['jacfwd']",
        "import jax, operator\noperator.attrgetter('jacrev')(jax)",
        "import jax\n@jax.custom_vjp\ndef f(x): return x",
        "f.defvjp(forward, backward)",
        "import jax\njax.checkpoint(f)",
        "import jax\n@jax.remat\ndef f(x): return x",
        "import jax\nj = jax\nj.checkpoint(f)",
        "import jax\ngetattr(jax, 'checkpoint')",
        "from jax import checkpoint as keep",
        "import jax.ad_checkpoint",
        "from jax.ad_checkpoint import checkpoint_name",
        "from jax.interpreters import ad",
        "import jax.interpreters.ad as d",
        "from jax._src import api",
        "import jax\njax._src.api",
        "from jax.experimental import jet",
        "from jax.example_libraries import stax",
        "from jax import *",
        "from jax import lax\nlax.linear_transpose",
        "import optax",
        "import numpy, torch.nn as nn",
        "from flax import linen as nn",
        "def f():\n    import equinox",
        "import importlib\nimportlib.import_module('haiku')",
        "__import__('torch.func')",
        "__import__('jax').grad",
        "import importlib\nimportlib.import_module('jax.interpreters.ad')",
        "exec('import jax')",
    ],
)
def test_the_detector_detects(source):
    assert autodiff_in(source)


@pytest.mark.parametrize(
    "source",
    [
        '"""Unlike jax.grad, this is written by hand."""',
        "peers = {'torch': 1, 'jax.grad': 2}",
        "def loss_and_gradients(gradients): return gradients.sum()",
        "from jaxnn.training import checkpoint\ncheckpoint.save(1)",
        "from jaxnn.network import rematerialize",
        "from . import checkpoint",
        "import jax\njax.lax.optimization_barrier(jax.vmap(f))",
        "network.eval()",
    ],
)
def test_the_detector_lets_other_things_be(source):
    assert autodiff_in(source) == []
