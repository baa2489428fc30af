"""How tests compile, which takes most of their time: each program once, and quickly."""

import os
import tempfile

import pytest

# For this process and for those it starts, before JAX is imported.
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxnn-tests-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"


def pytest_configure(config: pytest.Config) -> None:
    """Leaves LLVM's optimizations out; not where slow tests train for long, nor on demand.

    With them, as experiments compile: ``XLA_FLAGS= python -m pytest``.
    """
    if config.option.markexpr == "not slow and not browser":
        os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
