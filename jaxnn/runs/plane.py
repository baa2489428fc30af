"""The pictures of a run whose examples are points: what it makes of all of their plane, or line."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from jaxnn.data import Split
from jaxnn.network import trace
from jaxnn.plots.plane import decision_map, learned_curves, surface_maps, unit_maps
from jaxnn.plots.representations import representations
from jaxnn.plots.style import spaced
from jaxnn.runs.picture import Picture
from jaxnn.runs.run import Run
from jaxnn.tasks import classification, regression

_PLACES, _FEW_PLACES, _LINE_PLACES = 201, 61, 501
"""Along each axis: of what is put out in the end, of what each unit does, and of a line."""

_MARGIN = 0.06
"""How far beyond the examples a picture reaches, in parts of their extent."""

_MOST_LAYERS = 4
"""Of which the units are drawn."""


def has_plane(run: Run) -> bool:
    """Returns whether a run's examples are points of a plane, or of a line."""
    return run.known.dataset.in_shape in ((1,), (2,))


def plane_pictures(run: Run, split: str, source: Split) -> Iterator[Picture]:
    """Draws what a network makes of all the points of a plane, or of a line.

    First "plane-test", the decisions, or the numbers that it puts out; then, in the plane,
    "units-1-test" and so on: what each unit of a layer does, of four layers at most.

    Args:
        run: one whose examples have two inputs, or one.
        split: "train", "validation" or "test".
        source: the examples of it to draw.
    """
    dataset = run.dataset
    all_inputs = np.concatenate([dataset.train.inputs, source.inputs])
    places = [_places(column, _PLACES) for column in all_inputs.T]
    what = f"{dataset.name}, {split} split"
    points = dataset.values(source.inputs)
    names = dataset.output_names
    if dataset.task is regression:
        targets = dataset.target_values(source.targets)
    elif dataset.task is classification:
        targets = np.eye(len(names))[source.targets]
    else:
        targets = source.targets
    shares = dataset.task is not regression
    if len(places) == 1:
        x = _places(all_inputs[:, 0], _LINE_PLACES)[:, None]
        figure = learned_curves(
            dataset.values(x)[:, 0],
            run.predict(x, stored=True),
            points[:, 0],
            targets,
            names,
            shares=shares,
            feature=" ".join(dataset.features),
            heading=f"What the network has learned: {what}",
        )
        caption = "What the network puts out for every input (line), and the examples (points)."
        yield Picture(f"plane-{split}", "learned", caption, figure)
        return

    grid = _grid(places)
    x, y = (dataset.values(np.stack(places, -1))[:, k] for k in (0, 1))
    values = run.predict(grid, stored=True).reshape(len(y), len(x), -1)
    if dataset.task is classification:
        figure = decision_map(
            x,
            y,
            values,
            points,
            source.targets,
            run.predict(source.inputs, stored=True).argmax(-1),
            dataset.classes,
            features=dataset.features,
            heading=f"What the network takes each point for: {what}",
        )
        caption = (
            "What the network takes each point of the plane for, the paler the less sure; lines "
            "where it is undecided. Of the examples, those taken for another class have a ring."
        )
    else:
        figure = surface_maps(
            x,
            y,
            values,
            points,
            targets,
            names,
            shares=shares,
            features=dataset.features,
            heading=f"What the network has learned: {what}",
        )
        caption = (
            "What the network puts out for each point of the plane, and the examples in the colour "
            "of what is true: where they are hard to see, it is right."
        )
    yield Picture(f"plane-{split}", "learned", caption, figure)
    yield from _units(run, [_places(column, _FEW_PLACES) for column in all_inputs.T])


def _units(run: Run, places: list[np.ndarray]) -> Iterator[Picture]:
    dataset, loss = run.dataset, run.known.loss
    grid = _grid(places)
    targets = np.repeat(dataset.train.targets[:1], len(grid), 0)
    record = trace(
        run.network, loss, run.params, run.state, jnp.asarray(grid), jnp.asarray(targets)
    )
    found = list(representations(run.network, run.params, record).items())[1:-1]
    for i in spaced(len(found), _MOST_LAYERS):
        name, values = found[i]
        if values.ndim != 2:
            continue
        units = np.asarray(values, np.float32).reshape(len(places[1]), len(places[0]), -1)
        across, up = dataset.features or ("input 0", "input 1")
        figure = unit_maps(units, heading=f"Layer {name}: what each unit puts out over the plane")
        caption = (
            f"What each unit of layer {name} puts out over the plane ({across} to the right, {up} "
            "upward): orange where it is positive, blue where it is negative."
        )
        yield Picture(f"units-{i + 1}", "learned", caption, figure)


def _places(values: np.ndarray, count: int) -> np.ndarray:
    """Returns places along an axis, from below the lowest of values to above the highest."""
    low, high = float(values.min()), float(values.max())
    room = _MARGIN * (high - low) or 1.0
    return np.linspace(low - room, high + room, count).astype(values.dtype)


def _grid(places: list[np.ndarray]) -> np.ndarray:
    """Returns the points at all places along two axes, (points, 2), row by row."""
    return np.stack(np.meshgrid(*places), -1).reshape(-1, 2)
