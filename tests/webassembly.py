"""Runs compiled programs, in wasmtime or in a page of a browser."""

import base64
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
        self.arrays = {array["name"]: array for array in self.layout["arrays"]}
        self._start(module.bytes)

    def write(self, array: dict[str, Any], x: Any) -> None:
        """Puts an array where the layout says."""
        x = np.ascontiguousarray(x, array["dtype"])
        assert list(x.shape) == array["shape"] or x.size == 1
        self._put(x.tobytes(), array["address"])

    def read(self, array: dict[str, Any]) -> np.ndarray:
        """Returns the array that lies where the layout says."""
        dtype = np.dtype(array["dtype"])
        size = dtype.itemsize * int(np.prod(array["shape"]))
        return np.frombuffer(self._get(array["address"], size), dtype).reshape(array["shape"])

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
        self._call(entry)
        return [self.read(array) for array in described["outputs"]]

    def memory(self) -> bytes:
        """Returns all that its memory holds."""
        return self._get(0, self.layout["pages"] << 16)

    def _start(self, code: bytes) -> None:
        self._store = wasmtime.Store(ENGINE)
        instance = wasmtime.Instance(self._store, wasmtime.Module(ENGINE, code), [])
        self._exports = instance.exports(self._store)

    def _put(self, content: bytes, address: int) -> None:
        self._exports["memory"].write(self._store, content, address)

    def _get(self, address: int, size: int) -> bytes:
        return bytes(self._exports["memory"].read(self._store, address, address + size))

    def _call(self, entry: str) -> None:
        self._exports[entry](self._store)


class BrowserMachine(Machine):
    """The same in a page."""

    def __init__(self, module: WasmModule, page: Any) -> None:
        self._page = page
        super().__init__(module)

    def _start(self, code: bytes) -> None:
        script = """async text => {
            const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
            window.exported = (await WebAssembly.instantiate(bytes)).instance.exports;
        }"""
        self._page.evaluate(script, base64.b64encode(code).decode())

    def _put(self, content: bytes, address: int) -> None:
        script = """([text, address]) => {
            const bytes = Uint8Array.from(atob(text), c => c.charCodeAt(0));
            new Uint8Array(exported.memory.buffer).set(bytes, address);
        }"""
        self._page.evaluate(script, [base64.b64encode(content).decode(), address])

    def _get(self, address: int, size: int) -> bytes:
        script = """([address, size]) => {
            const bytes = new Uint8Array(exported.memory.buffer, address, size);
            const parts = [];
            for (let i = 0; i < size; i += 8192)
                parts.push(String.fromCharCode(...bytes.subarray(i, i + 8192)));
            return btoa(parts.join(""));
        }"""
        return base64.b64decode(self._page.evaluate(script, [address, size]))

    def _call(self, entry: str) -> None:
        self._page.evaluate("entry => exported[entry]()", entry)
