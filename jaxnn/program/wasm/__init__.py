"""Programs as WebAssembly."""

from jaxnn.program.wasm.compile import WasmModule, compile_module

__all__ = ["WasmModule", "compile_module"]
