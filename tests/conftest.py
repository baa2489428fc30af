"""How tests compile, which takes most of their time: each program once, and quickly."""

import os
import tempfile

# For this process and for those it starts, before JAX is imported.
os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="jaxnn-tests-")
os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
# Without LLVM's optimizations. With them, as experiments are: XLA_FLAGS= python -m pytest
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
