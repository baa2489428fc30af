"""Runs compiled programs in wasmtime."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import wasmtime

from jaxnn.program.wasm import WasmModule

_config = wasmtime.Config()
_config.wasm_relaxed_simd = True
_config.cranelift_opt_level = "none"
ENGINE = wasmtime.Engine(_config)


class Machine:
    """An instance of a module, and its memory."""

    def __init__(self, module: WasmModule) -> None:
        self.layout = module.layout
        self._store = wasmtime.Store(ENGINE)
        code = wasmtime.Module(ENGINE, module.bytes)
        self._exports = wasmtime.Instance(self._store, code, []).exports(self._store)
        self._memory = self._exports["memory"]
        self.arrays = {array["name"]: array for array in self.layout["arrays"]}

    def write(self, array: Mapping[str, Any], x: Any) -> None:
        """Puts an array where the layout says."""
        x = np.ascontiguousarray(x, array["dtype"])
        assert list(x.shape) == array["shape"] or x.size == 1
        self._memory.write(self._store, x.tobytes(), array["address"])

    def read(self, array: Mapping[str, Any]) -> np.ndarray:
        """Returns the array that lies where the layout says."""
        dtype = np.dtype(array["dtype"])
        start = array["address"]
        end = start + dtype.itemsize * int(np.prod(array["shape"]))
        content = self._memory.read(self._store, start, end)
        return np.frombuffer(bytes(content), dtype).reshape(array["shape"])

    def stay(self, **arrays: Any) -> None:
        """Puts arrays that stay."""
        for name, x in arrays.items():
            self.write(self.arrays[name], x)

    def run(self, entry: str, *inputs: Any) -> list[np.ndarray]:
        """Calls an entry with the inputs that do not stay; returns all its outputs."""
        described = self.layout["entries"][entry]
        given = [x for x in described["inputs"] if x["name"] not in self.arrays]
        for array, x in zip(given, inputs, strict=True):
            self.write(array, x)
        self._exports[entry](self._store)
        return [self.read(array) for array in described["outputs"]]
