"""Points in the plane: classes and numbers whose truth is known, made on the spot."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter

from jaxnn.data.centring import Splits
from jaxnn.data.dataset import Dataset, Split, normalization
from jaxnn.data.division import cuts
from jaxnn.data.targets import store_targets
from jaxnn.tasks import regression

_CELL = 0.01
"""The width of the cells of the plane in which ``best_possible`` counts points."""

_LATTICE = 1200
"""Points along each of two directions that it counts of a class."""


class _Classes(NamedTuple):
    """Classes of points, which are placed on a clean shape; noise moves them in both coordinates.

    Attributes:
        place: ``(u, v, k, classes) -> x + iy``: points of class k, of u and v uniform in [0, 1).
        noise: the usual deviation.
        classes: the usual number of classes.
        any_number: whether there may be another number of them.
    """

    place: Callable[[np.ndarray, np.ndarray, int, int], np.ndarray]
    noise: float
    classes: int = 2
    any_number: bool = False


class _Heights(NamedTuple):
    """Numbers over points that are uniform in [-1, 1] in each coordinate; noise is added to them.

    Attributes:
        height: of the coordinates, the number.
        noise: the usual deviation.
        coordinates: how many there are.
    """

    height: Callable[..., np.ndarray]
    noise: float
    coordinates: int = 2


def _around(radius: np.ndarray | float, turns: np.ndarray | float) -> np.ndarray:
    return radius * np.exp(2j * np.pi * np.asarray(turns))


def _disc_and_ring(u: np.ndarray, v: np.ndarray, k: int, classes: int) -> np.ndarray:
    inner, outer = ((0.0, 0.5), (0.7, 1.0))[k]
    return _around(np.sqrt(inner**2 + u * (outer**2 - inner**2)), v)


def _cells(u: np.ndarray, v: np.ndarray, k: int, cells: int) -> np.ndarray:
    """Every second cell of a board over [-1, 1]², from the column's first or second on."""
    column, across = np.divmod(cells * u, 1)
    row, along = np.divmod(cells // 2 * v, 1)
    row = 2 * row + (column + k) % 2
    return (column + across + 1j * (row + along)) * 2 / cells - (1 + 1j)


_SHAPES: dict[str, _Classes | _Heights] = {
    "circles": _Classes(_disc_and_ring, 0.1),
    "spiral": _Classes(
        lambda u, v, k, n: _around(0.1 + 0.9 * v, 0.15 + 1.35 * v + k / n), 0.05, any_number=True
    ),
    "xor": _Classes(lambda u, v, k, n: _cells(u, v, k, 2), 0.1),
    "gaussians": _Classes(lambda u, v, k, n: _around(0.6, 0 * v + k / n), 0.3, any_number=True),
    "moons": _Classes(lambda u, v, k, n: (_around(0.6, v / 2) - 0.3 - 0.15j) * (-1) ** k, 0.1),
    "checkerboard": _Classes(lambda u, v, k, n: _cells(u, v, k, 4), 0.02),
    "rings": _Classes(lambda u, v, k, n: _around((k + 0.5) / (n - 0.5), v), 0.08, 3, True),
    "hill": _Heights(lambda x, y: np.exp(-4 * (x**2 + y**2)), 0.05),
    "saddle": _Heights(lambda x, y: x**2 - y**2, 0.1),
    "waves": _Heights(lambda x, y: np.cos(2.5 * np.pi * np.hypot(x, y)), 0.1),
    "sine": _Heights(lambda x: np.sin(2 * np.pi * x), 0.1, coordinates=1),
}


def plane(
    shape: Literal[
        "circles",
        "spiral",
        "xor",
        "gaussians",
        "moons",
        "checkerboard",
        "rings",
        "hill",
        "saddle",
        "waves",
        "sine",
    ] = "spiral",
    *,
    points: int = 1000,
    noise: float | None = None,
    classes: int | None = None,
    validation: float | int = 0.1,
    test: float | int = 0.2,
    seed: int = 0,
    normalize: Literal["standard", "none"] = "standard",
) -> Dataset:
    """Makes points in the plane, of classes or with numbers, that are different for each seed.

    Of two classes: ``circles``, a disc within a ring; ``moons``, two half circles that reach into
    each other; ``xor``, the four quarters of a square, those that touch at a corner alike;
    ``checkerboard``, the same with 4 × 4 cells. Of any number: ``spiral``, its arms; ``gaussians``,
    heaps around a circle; ``rings``, 3 unless told otherwise, one within the other. Classes have
    equally many points, but for one.

    Of numbers: ``hill``, exp(-4(x² + y²)); ``saddle``, x² - y²; ``waves``, cos(2.5π √(x² + y²));
    and over one coordinate alone ``sine``, sin(2πx). Points are uniform between -1 and 1.

    How well a network can do at best is known: see ``best_possible``.

    Args:
        shape: one of these.
        points: how many there are, those for validation and test among them.
        noise: the standard deviation of what is added to both coordinates or, where numbers are
            learnt, to them; by default, as much as leaves the shape well visible.
        classes: how many there are, of shapes that have any number.
        validation: how many points to hold out for validation: a whole number of them, or a
            fraction of all.
        test: how many to hold out for test, likewise; at least one point.
        seed: of the points and their noise.
        normalize: "standard" (each coordinate has mean 0 and deviation 1 in the training split) or
            "none"; so have numbers that are learnt.

    Returns:
        The data set, named after its shape; inputs (n, 2) float32, called x and y, and classes 0,
        1, …, or a number called z. Of ``sine`` (n, 1), x, and the number is y.

    Raises:
        ValueError: an argument is not one that it can be.
    """
    made, noise, classes = _chosen(shape, noise, classes)
    bounds = cuts(points, validation=validation, test=test)
    if bounds[1] == points:
        raise ValueError(f"test = {test}: at least one example is needed for test")
    # The legacy generator: its numbers are the same in every version of NumPy.
    random = np.random.RandomState(seed)
    if isinstance(made, _Heights):
        inputs = random.uniform(-1, 1, (points, made.coordinates))
        heights = made.height(*inputs.T) + noise * random.standard_normal(points)
        splits = _cut(inputs, heights[:, None], bounds)
        names = ("x", "y", "z")[: made.coordinates + 1]
        splits, scale = store_targets(shape, splits, names[-1:], scaled=normalize == "standard")
        mean, deviation = normalization(splits[0].inputs, normalize)
        return Dataset(
            shape,
            *splits,
            (),
            mean,
            deviation,
            features=names[:-1],
            task=regression,
            targets=names[-1:],
            target_scale=scale,
        )
    # One after the other in turn, which spreads the classes evenly over the splits.
    targets = np.arange(points, dtype=np.int32) % classes
    u, v = random.random_sample((2, points))
    clean = np.empty(points, complex)
    for k in range(classes):
        clean[k::classes] = made.place(u[k::classes], v[k::classes], k, classes)
    noisy = np.stack([clean.real, clean.imag], -1) + noise * random.standard_normal((points, 2))
    splits = _cut(noisy, targets, bounds)
    mean, deviation = normalization(splits[0].inputs, normalize)
    called = tuple(map(str, range(classes)))
    return Dataset(shape, *splits, called, mean, deviation, features=("x", "y"))


def _cut(inputs: np.ndarray, targets: np.ndarray, bounds: list[int]) -> Splits:
    """Cuts points into training, validation and test split."""
    parts = zip(np.split(np.float32(inputs), bounds), np.split(targets, bounds), strict=True)
    train, validation, test = (Split(*part) for part in parts)
    return train, validation, test


def best_possible(shape: str, *, noise: float | None = None, classes: int | None = None) -> float:
    """Returns what the best of all predictions of a shape reaches on new points, in the mean.

    Of classes, the accuracy of taking each point for the class that is most probable there, found
    by counting: a lattice of clean points of each class in small cells of the plane, smoothed as
    noise does it (to about 0.001, if noise is not below 0.01). Of numbers, the R² of the height
    without noise: 1 - noise² / (noise² + the variance of the heights).

    Args:
        shape: as for ``plane``.
        noise: likewise.
        classes: likewise.
    """
    made, noise, classes = _chosen(shape, noise, classes)
    if isinstance(made, _Heights):
        axis = (np.arange(_LATTICE) + 0.5) / _LATTICE * 2 - 1
        heights = made.height(*np.meshgrid(*[axis] * made.coordinates))
        return float(1 - noise**2 / (noise**2 + heights.var()))
    steps = (np.arange(_LATTICE) + 0.5) / _LATTICE
    u, v = map(np.ravel, np.meshgrid(steps, steps))
    half = round((1 + 5 * noise) / _CELL) + 1
    edges = _CELL * np.arange(-half, half + 1)
    densities = []
    for k in range(classes):
        clean = made.place(u, v, k, classes)
        counts, _, _ = np.histogram2d(clean.real, clean.imag, (edges, edges))
        densities.append(gaussian_filter(counts / counts.sum(), noise / _CELL, mode="constant"))
    return float(np.max(densities, 0).sum() / classes)


def _chosen(
    shape: str, noise: float | None, classes: int | None
) -> tuple[_Classes | _Heights, float, int]:
    """Returns a shape, its noise and its number of classes, 0 of numbers; checks them."""
    if shape not in _SHAPES:
        raise ValueError(f"shape must be one of {', '.join(_SHAPES)}, not {shape!r}")
    made = _SHAPES[shape]
    noise = made.noise if noise is None else noise
    if not 0 <= noise <= 10:
        raise ValueError(f"noise = {noise}: it must be between 0 and 10")
    if classes is None:
        return made, noise, made.classes if isinstance(made, _Classes) else 0
    if isinstance(made, _Heights) or (not made.any_number and classes != made.classes):
        found = "numbers" if isinstance(made, _Heights) else f"{made.classes} classes, always"
        able = [name for name, s in _SHAPES.items() if isinstance(s, _Classes) and s.any_number]
        raise ValueError(
            f"classes = {classes}: {shape} has {found}. Leave it out, or take one of "
            f"{', '.join(able)}"
        )
    if classes < 2:
        raise ValueError(f"classes = {classes}: at least two are needed")
    return made, noise, classes
