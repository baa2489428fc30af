"""The benchmarks, one module each: what it measures is said by its ``measure``.

To add one, write a module with ``measure(pairs)``, which yields a row for each figure (see
``measuring``), and enter it below.
"""

from benchmarks import (
    browse,
    conv,
    fast,
    interop,
    lab,
    memory,
    mlp,
    observe,
    processes,
    products,
    stream,
    web,
)

BENCHMARKS = {
    "browse": browse.measure,
    "conv": conv.measure,
    "fast": fast.measure,
    "interop": interop.measure,
    "lab": lab.measure,
    "memory": memory.measure,
    "mlp": mlp.measure,
    "observe": observe.measure,
    "processes": processes.measure,
    "products": products.measure,
    "stream": stream.measure,
    "web": web.measure,
}
