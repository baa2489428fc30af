"""How tests compile, which takes most of their time: each program once, and quickly."""

import gc
import importlib.metadata
import os
import shutil
import tempfile

import pytest

# For this process and for those it starts, workers too, before JAX is imported.
WORKER = "PYTEST_XDIST_WORKER" in os.environ
if not WORKER:
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxnn-tests-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
os.environ["JAX_TRACEBACK_IN_LOCATIONS_LIMIT"] = "0"  # no program says where each operation is from

gc.set_threshold(50_000, 20, 100)  # compiling makes many objects, hardly any of them circular


def pytest_configure(config: pytest.Config) -> None:
    """Leaves LLVM's optimizations out; not where slow tests train for long, nor on demand.

    With them, as experiments compile: ``XLA_FLAGS= python -m pytest``.
    """
    quick = {"not slow and not browser and not long", "not slow and not browser", "long"}
    if config.option.markexpr in quick:
        flags = "--xla_backend_optimization_level=0"
        if importlib.metadata.version("jaxlib").startswith("0.10."):  # newer ones end at these
            flags += " --xla_cpu_use_fusion_emitters=false"  # MLIR takes half the time of compiling
            flags += " --xla_cpu_parallel_codegen_split_count=1"  # in parts, it takes a tenth more
        os.environ.setdefault("XLA_FLAGS", flags)


def pytest_unconfigure() -> None:
    """Removes the compiled programs, which are this session's alone."""
    if not WORKER:
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)
