"""The rules of the kinds that are steps of their own: products, and what goes by an index."""

import functools
from collections.abc import Callable, Mapping, Sequence

from jaxnn.program.program import Operation
from jaxnn.program.wasm import along, indexing, random
from jaxnn.program.wasm.elementwise import Library
from jaxnn.program.wasm.encoding import Function, const
from jaxnn.program.wasm.loops import Number
from jaxnn.program.wasm.lowering import Lowering, Rule, in_module, padded
from jaxnn.program.wasm.memory import View, new_view
from jaxnn.program.wasm.product import Axis, Product, write_product
from jaxnn.program.wasm.schedule import Array, Same, Schedule

# Products.


def _dot(lowering: Lowering, operation: Operation, *inputs: Array) -> Array:
    a, b = (_forward(lowering.schedule, x) for x in inputs)
    if operation.attributes["transpose_a"]:
        a = _turned(a)
    if operation.attributes["transpose_b"]:
        b = _turned(b)
    output = new_view("float32", operation.output.shape)
    *_, rows, columns = output.shape
    batch = [
        Axis(n, *steps)
        for n, *steps in zip(output.shape, a.strides, b.strides, output.strides, strict=True)
    ][:-2]
    product = Product(
        rows=(Axis(rows, a=a.strides[-2], c=columns),),
        terms=(Axis(a.shape[-1], a=a.strides[-1], b=b.strides[-2]),),
        columns=Axis(columns, b=b.strides[-1], c=1),
        batch=tuple(batch),
    )
    return _multiplied(lowering.schedule, product, a, b, output)


def _turned(x: View) -> View:
    axes = list(range(len(x.shape)))
    return x.transpose([*axes[:-2], axes[-1], axes[-2]])


def _forward(schedule: Schedule, x: Array) -> View:
    """Returns an array in memory, where no axis runs backwards."""
    view = schedule.in_memory(x)
    return view if min(view.strides, default=0) >= 0 else schedule.contiguous(view)


def _multiplied(schedule: Schedule, product: Product, a: View, b: View, output: View) -> Array:
    if not product.operations:
        return Same(Number("float32", 0.0), output.shape)
    scratch = new_view("uint8", (product.scratch,))

    def write(library: Library) -> Function:
        function = library.get(
            product, lambda: write_product(library.module, product, library.relaxed)
        )
        f = library.module.function()
        f.call(function, *(const("i32", x.address) for x in (a, b, output, scratch)))
        return f

    schedule.step(write, [a, b], [output, scratch])
    return output


def _convolution(lowering: Lowering, operation: Operation, x: Array, kernel: Array) -> Array:
    """Returns a product: rows are positions of the kernel, terms its elements, columns its units.

    Patches are not laid out: where a row and a term meet, the image has the sum of two places.
    """
    names = ("strides", "padding", "dilation", "kernel_dilation", "groups")
    strides, padding, dilation, spread, groups = (operation.attributes[k] for k in names)
    schedule, shape = lowering.schedule, operation.output.shape
    low, high = ((0, *(pair[side] for pair in padding), 0) for side in (0, 1))
    interior = (0, *(n - 1 for n in dilation), 0)
    if any((*low, *high, *interior)):
        x = padded(schedule, x, Same(Number("float32", 0.0), ()), low, high, interior)
    a, b = _forward(schedule, x), schedule.in_memory(kernel)
    if b.strides[-1] < 0:  # only along the terms may a product run backwards
        b = schedule.contiguous(b)
    *sizes, channels, units = b.shape
    rows = [Axis(shape[0], a=a.strides[0])]
    rows += [
        Axis(n, a=step * stride)
        for n, step, stride in zip(shape[1:-1], a.strides[1:-1], strides, strict=True)
    ]
    terms = [
        Axis(n, a=step * gap, b=own)
        for n, step, gap, own in zip(sizes, a.strides[1:-1], spread, b.strides, strict=False)
    ]
    terms.append(Axis(channels, a=a.strides[-1], b=b.strides[-2]))
    # In the order in which the image lies in memory; so does the output.
    order = sorted(range(len(rows)), key=lambda axis: -rows[axis].a)
    output = new_view("float32", shape, [*order, len(rows)])
    terms.sort(key=lambda axis: -axis.a)
    each = units // groups
    product = Product(
        rows=tuple(rows[axis]._replace(c=output.strides[axis]) for axis in order),
        terms=tuple(terms),
        columns=Axis(each, b=b.strides[-1], c=1),
        batch=(Axis(groups, channels * a.strides[-1], each * b.strides[-1], each),),
    )
    return _multiplied(schedule, product, a, b, output)


# What reads and writes whole arrays.


def _step(
    lowering: Lowering,
    operation: Operation,
    inputs: Sequence[View],
    write: Callable[..., Function],
    scratch: Sequence[View] = (),
) -> list[View]:
    """Adds a step from views to new arrays.

    ``write`` takes the library, the inputs and the outputs.
    """
    outputs = [new_view(in_module(value.dtype), value.shape) for value in operation.outputs]
    lowering.schedule.step(
        lambda library: write(library, *inputs, *outputs), inputs, [*outputs, *scratch]
    )
    return outputs


def _change(
    lowering: Lowering, x: Array, inputs: Sequence[View], write: Callable[..., Function]
) -> View:
    """Adds a step that changes a copy of x.

    ``write`` takes the library, the copy and the inputs.
    """
    whole = new_view(x.dtype, x.shape)
    lowering.schedule.copy(x, whole)
    if all(view.size for view in inputs):
        lowering.schedule.step(lambda library: write(library, whole, *inputs), inputs, [whole])
    return whole


def _take(lowering: Lowering, operation: Operation, x: Array, indices: Array) -> list[View]:
    schedule = lowering.schedule
    view = _forward(schedule, x)
    if not View(view.storage, view.dtype, view.shape[1:], view.strides[1:]).is_contiguous:
        view = schedule.contiguous(view)
    return _step(lowering, operation, [view, schedule.contiguous(indices)], indexing.write_take)


def _put(lowering: Lowering, operation: Operation, x: Array, *others: Array) -> View:
    write = functools.partial(indexing.write_put, how=operation.attributes["how"])
    return _change(lowering, x, [lowering.schedule.contiguous(y) for y in others], write)


def _dynamic_slice(
    lowering: Lowering, operation: Operation, x: Array, *starts: Array
) -> list[View]:
    places = [lowering.schedule.in_memory(i) for i in starts]
    inputs = [lowering.schedule.contiguous(x), *places]

    def write(library: Library, whole: View, *others: View) -> Function:
        *starts, part = others
        return indexing.write_dynamic(library, whole, part, starts, update=False)

    return _step(lowering, operation, inputs, write)


def _dynamic_update_slice(
    lowering: Lowering, operation: Operation, x: Array, part: Array, *starts: Array
) -> View:
    places = [lowering.schedule.in_memory(i) for i in starts]
    inputs = [lowering.schedule.contiguous(part), *places]

    def write(library: Library, whole: View, part: View, *starts: View) -> Function:
        return indexing.write_dynamic(library, whole, part, starts, update=True)

    return _change(lowering, x, inputs, write)


def _arg(lowering: Lowering, operation: Operation, x: Array) -> list[View]:
    axis, least = operation.attributes["axis"], operation.kind == "argmin"
    write = functools.partial(along.write_argmax, axis=axis, least=least)
    return _step(lowering, operation, [lowering.schedule.contiguous(x)], write)


def _cumulative(lowering: Lowering, operation: Operation, x: Array) -> list[View]:
    write = functools.partial(along.write_cumulative, kind=operation.kind, **operation.attributes)
    return _step(lowering, operation, [lowering.schedule.contiguous(x)], write)


def _sort(lowering: Lowering, operation: Operation, *inputs: Array) -> list[View]:
    axis, keys = operation.attributes["axis"], operation.attributes["keys"]
    views = [lowering.schedule.contiguous(x) for x in inputs]
    scratch = new_view("int32", (2 * views[0].shape[axis],))

    def write(library: Library, *views: View) -> Function:
        count = len(views) // 2
        return along.write_sort(library, views[:count], views[count:], scratch, axis, keys)

    return _step(lowering, operation, views, write, [scratch])


def _random(write: Callable[..., Function]) -> Rule:
    def rule(lowering: Lowering, operation: Operation, *inputs: Array) -> list[View]:
        views = [lowering.schedule.contiguous(x) for x in inputs]
        return _step(lowering, operation, views, write)

    return rule


STEPS: Mapping[str, Rule] = {
    "argmax": _arg,
    "argmin": _arg,
    "convolution": _convolution,
    "cummax": _cumulative,
    "cummin": _cumulative,
    "cumprod": _cumulative,
    "cumsum": _cumulative,
    "dot": _dot,
    "dynamic_slice": _dynamic_slice,
    "dynamic_update_slice": _dynamic_update_slice,
    "fold_in": _random(random.write_fold_in),
    "put": _put,
    "random_bits": _random(random.write_random_bits),
    "sort": _sort,
    "split": _random(random.write_split),
    "take": _take,
}
"""The kinds that read and write whole arrays."""
