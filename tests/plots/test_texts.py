"""No picture cuts a text off, or writes one over another one, whatever it is drawn of."""

from collections.abc import Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pytest
from matplotlib.figure import Figure
from pictures import flaws

from jaxnn.data import Dataset, Split
from jaxnn.landscape import Plane
from jaxnn.metrics import label_scores
from jaxnn.plots import (
    COLUMNS,
    Column,
    activation_flow,
    compared_curves,
    contact_sheet,
    decision_map,
    evaluation_pictures,
    gradient_flow,
    label_picture,
    learned_curves,
    loss_map,
    network_drawing,
    predicted_against_true,
    representation_maps,
    residuals,
    rising_loss,
    surface_maps,
    training_curves,
    unit_maps,
    weight_images,
    weight_table,
    worst_predictions,
)
from jaxnn.plots.style import figure
from jaxnn.training import RisingRate, suggest_rate

DIGITS = tuple("0123456789")
THINGS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
LONG = tuple(f"the handwritten digit {k} as it is written in the United States" for k in DIGITS)


class Kind(NamedTuple):
    """What a network is trained with, and how many units its layers have."""

    shape: tuple[int, ...]
    classes: tuple[str, ...]
    hidden: tuple[int, ...]
    features: tuple[str, ...] = ()


KINDS = {
    "MNIST": Kind((28, 28, 1), DIGITS, (512, 512)),
    "table": Kind((2,), ("inner", "outer"), (8,), ("the distance to the centre", "b")),
    "colour": Kind((8, 8, 3), THINGS, (64, 30)),
    "long names": Kind((8, 8, 1), LONG, (32,), ()),
}


SECONDS = ("MNIST", "colour", "long names")


@pytest.fixture(
    params=[pytest.param(k, marks=[pytest.mark.long] * (k in SECONDS)) for k in KINDS],
    scope="module",
)
def kind(request: pytest.FixtureRequest) -> Kind:
    return KINDS[request.param]


def dataset(kind: Kind, rng: np.random.Generator) -> Dataset:
    inputs = rng.integers(0, 256, (60, *kind.shape)).astype(np.uint8)
    split = Split(inputs, np.arange(60, dtype=np.int32) % len(kind.classes))
    moments = np.float32(0), np.float32(1)
    return Dataset("a data set", split, split, split, kind.classes, *moments)


def pictures(kind: Kind) -> Iterator[tuple[str, Figure]]:
    """Draws what depends on the data."""
    rng = np.random.default_rng(0)
    data = dataset(kind, rng)
    x, targets = data.test
    probabilities = rng.dirichlet(np.full(len(kind.classes), 0.3), len(targets))
    yield from evaluation_pictures(data, "test", probabilities).items()

    sizes = (int(np.prod(kind.shape)), *kind.hidden, len(kind.classes))
    outputs = [rng.normal(size=(60, size)) for size in sizes]
    weights = [rng.normal(size=pair) for pair in pairwise(sizes)]
    columns = [Column("input", outputs[0][0])]
    for weight, output in zip(weights, outputs[1:], strict=True):
        columns.append(Column(f"dense {output.shape[1]}, relu", output[0], weight))
    image = len(kind.shape) == 3
    yield (
        "network",
        network_drawing(
            columns,
            probabilities[0],
            kind.classes,
            target=0,
            image=x[0] if image else None,
            heading=f"a data set: {kind.classes[1]}, predicted {kind.classes[0]}",
        ),
    )
    if image:
        yield "weights", weight_images(weights[0], kind.shape)  # type: ignore[arg-type]
        captions = [(name, "100.0 %") for name in kind.classes]
        yield "one example", contact_sheet(x[:1], captions[:1], heading="what there is to be seen")
        yield "examples", contact_sheet(x[:COLUMNS], [captions[0]] * COLUMNS)
    else:
        yield "weights", weight_table(weights[0], kind.features)
    yield (
        "representations",
        representation_maps(
            {f"{i} conv2d, batch_norm, relu": values for i, values in enumerate(outputs)},
            targets,
            kind.classes,
            features=kind.features,
            heading="what each layer makes of them",
        ),
    )


def test_pictures_of_data(kind: Kind) -> None:
    found = {name: wrong for name, picture in pictures(kind) if (wrong := flaws(picture))}
    assert not found


def reports(layers: int) -> list[dict[str, Any]]:
    rng = np.random.default_rng(0)
    keys = ("weight_norm", "update_ratio", "activation_mean", "activation_deviation")
    names = ("conv2d", "batch_norm", "relu", "max_pool")
    statistics = {
        f"{4 * i + k} {name}": {key: 3 * float(rng.uniform()) for key in (*keys[2 * (k > 0) :],)}
        | {"d_output_norm": float(rng.uniform())}
        | ({"inactive": float(rng.uniform())} if name == "relu" else {})
        for i in range(layers)
        for k, name in enumerate(names)
    }
    numbers = {"loss": 0.3, "accuracy": 0.9, "validation_loss": 0.2, "validation_accuracy": 0.95}
    return [{"epoch": e, "statistics": statistics, **numbers} for e in (1.0, 2.0, 3.0)]


@pytest.mark.parametrize("layers", [1, 5, pytest.param(33, marks=pytest.mark.long)])
def test_pictures_of_training(layers: int) -> None:
    metrics = reports(layers)
    assert flaws(activation_flow(metrics)) == []
    assert flaws(gradient_flow(metrics)) == []
    assert flaws(training_curves(metrics)) == []


STEPS = np.linspace(-1, 1, 21)
BOWL = np.square(STEPS)[:, None] + 3 * np.square(STEPS - 0.2)


@pytest.mark.parametrize("losses", [0.04 + BOWL, np.exp(8 * BOWL), BOWL - 2])
def test_the_map_of_the_loss(losses: np.ndarray) -> None:
    assert flaws(loss_map(Plane(STEPS, losses), heading="Loss on 512 training examples")) == []


@pytest.mark.parametrize(
    "names",
    [
        ("price",),
        pytest.param(
            tuple(f"a name that is very long {k}" for k in range(7)), marks=pytest.mark.long
        ),
    ],
)
def test_pictures_of_numbers(names: tuple[str, ...]) -> None:
    rng = np.random.default_rng(0)
    true = 1e5 * rng.normal(size=(20, len(names)))
    predicted = true + 1e4 * rng.normal(size=true.shape)
    place = np.linspace(-1, 1, 11)
    plane = rng.normal(size=(11, 11, len(names)))
    points = rng.uniform(-1, 1, (20, 2))
    examples = [f"{k}: a column {k}, another column with a long name 1.2345" for k in range(20)]
    features = {"features": ("the distance to the centre", "b"), "heading": "what it has learned"}
    for picture in (
        predicted_against_true(predicted, true, names, heading="numbers"),
        residuals(predicted, true, names, heading="numbers"),
        worst_predictions(predicted, true, examples, names, heading="numbers"),
        surface_maps(place, place, plane, points, true, names, **features),
        surface_maps(place, place, 0 * plane, points, 0 * true, names, shares=True, **features),
        unit_maps(plane, heading="layer"),
        learned_curves(place, plane[0], points[:, 0], true, names, feature="the distance"),
        learned_curves(place, plane[0], points[:, 0], true, names, shares=True),
        representation_maps({"input": points}, true[:, 0], (), number=names[0]),
    ):
        assert flaws(picture) == []


def test_pictures_of_labels_and_of_decisions() -> None:
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(10), (11, 11))
    place = np.linspace(-1, 1, 11)
    points, targets = rng.uniform(-1, 1, (30, 2)), np.arange(30) % 10
    for classes in (DIGITS, THINGS, LONG):
        drawn = decision_map(place, place, probabilities, points, targets, targets[::-1], classes)
        assert flaws(drawn) == []
        scores = label_scores(rng.uniform(size=(30, 10)), rng.integers(0, 2, (30, 10)))
        assert flaws(label_picture(scores, classes, heading="labels")) == []


NUMBERS = {"loss": 0.3, "rmse": 12345.6, "mae": 1e4, "r2": -0.5}


@pytest.mark.parametrize("now", [NUMBERS, {"loss": 0.3, "accuracy": 0.9, "macro_f1": 0.8}])
def test_curves_of_other_tasks(now: dict[str, float]) -> None:
    now = now | {f"validation_{key}": 0.9 * value for key, value in now.items()}
    reports = [{"epoch": e} | {k: v * f for k, v in now.items()} for e, f in ((1, 1), (2, 0.7))]
    assert flaws(training_curves(reports)) == []
    assert flaws(compared_curves({"A  one": [reports], "B  other": [reports, reports]})) == []


RATES = np.geomspace(1e-6, 10, 50)


@pytest.mark.parametrize(
    "losses",
    [
        2.3 + np.maximum(np.log10(RATES), -2) ** 3 / 4,
        np.where(RATES > 0.5, np.nan, 0.1 + np.abs(np.log10(RATES) + 2)),
        np.full(50, 0.7),
        -RATES,
        1e-5 * (2 + np.cos(np.log10(RATES))),
    ],
    ids=["falling", "diverging", "flat", "negative", "small"],
)
def test_the_loss_under_a_rising_rate(losses: np.ndarray) -> None:
    found = RisingRate(RATES, np.stack([losses, 1.1 * losses]))
    assert flaws(rising_loss(found, suggest_rate(found), heading="digits, adam")) == []


def test_compared_curves() -> None:
    kinds = {
        "A  " + "a run with a very long name" * 4: ("a data set " * 9, "softmax_cross_entropy"),
        "B  run": ("a data set " * 9, "quadratic"),
        "C  another": ("iris", "quadratic"),
    }
    groups: Mapping[str, Any] = {name: [reports(1)] for name in kinds}
    assert flaws(compared_curves(groups, kinds)) == []


def test_flaws_are_found() -> None:
    picture = figure(2, 2)
    picture.set_layout_engine("none")
    picture.text(0.1, 0.5, "one")
    picture.text(0.12, 0.52, "other")
    picture.text(0.1, 0.2, "aslant", rotation=45)
    picture.text(0.1, 0.4, "beside")  # the boxes meet, what they are around does not
    picture.text(0.8, 0.9, "too far right")
    assert flaws(picture) == ["cut: 'too far right'", "overlap: 'one', 'other'"]
