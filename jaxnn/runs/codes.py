"""The pictures of a run that learns its own inputs."""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np

from jaxnn.config import Call
from jaxnn.data import Dataset, Split, statistics
from jaxnn.network import trace
from jaxnn.plots.codes import code_plane
from jaxnn.plots.evaluation import is_image, reconstructions
from jaxnn.plots.style import spaced
from jaxnn.runs.data import source_of
from jaxnn.runs.picture import Picture
from jaxnn.runs.run import Run
from jaxnn.tasks import classification

_SHOWN, _PLACES = 32, 14
"""Examples whose reconstructions are drawn; codes along each axis that are decoded."""


def learns_itself(run: Run) -> bool:
    """Returns whether a run is one of an autoencoder."""
    return isinstance(run.config.data.arguments.get("data"), Call)


def code_pictures(run: Run, split: str) -> Iterator[Picture]:
    """Draws what an autoencoder does.

    First "images-test", its inputs and what it makes of them, if they are images; then, where a
    code is two numbers, their plane, "codes-test".

    Args:
        run: one of an autoencoder.
        split: "train", "validation" or "test".
    """
    dataset = run.dataset
    source: Split = getattr(dataset, split)
    count = len(source.targets)
    if is_image(dataset.in_shape):
        chosen = spaced(count, _SHOWN)
        predicted = np.zeros((count, *dataset.in_shape))
        predicted[chosen] = run.predict(source.inputs[chosen], stored=True)
        heading = f"{dataset.name}, {split} split: examples, and what is put out for them"
        figure = reconstructions(dataset, split, chosen, predicted, heading)
        caption = "Examples, each beside what the network puts out for it."
        yield Picture(f"images-{split}", "learned", caption, figure)
    parts = (run.network, run.known.loss, run.params, run.state)
    record = trace(*parts, jnp.asarray(source.inputs), jnp.asarray(source.targets))
    outputs = [layer.output for layer in record.layers if len(layer.path) == 1]
    sizes = [int(np.prod(output.shape[1:])) for output in outputs]
    place = int(np.argmin(sizes)) if sizes else 0
    if run.network.name != "serial" or sizes[place] != 2 or sizes[-1] == 2:
        return
    codes = np.asarray(outputs[place], np.float32).reshape(-1, 2)
    x, y = (np.linspace(a.min(), a.max(), _PLACES, dtype=np.float32) for a in codes.T)
    decoded = None
    if is_image(dataset.in_shape):
        given = jnp.asarray(np.stack(np.meshgrid(x, y), -1).reshape(-1, *outputs[place].shape[1:]))
        parts_of = zip(run.network.layers, run.params, run.state, strict=True)
        for layer, params, state in list(parts_of)[place + 1 :]:
            given, _, _ = layer.forward(params, state, given)
        images = dataset.target_values(np.asarray(given, np.float32))
        decoded = images.reshape(_PLACES, _PLACES, *dataset.in_shape)
    values = statistics(dataset.target_values(dataset.train.targets))
    targets, classes = classes_of(run, split)
    figure = code_plane(
        codes,
        targets,
        classes,
        x,
        y,
        decoded,
        limits=(values.lowest, values.highest),
        heading=f"{dataset.name}, {split} split: codes of two numbers, of which all else is made",
    )
    told = " coloured by classes that the network was not told of" if classes else ""
    caption = f"The codes of {count:,} examples{told}, and what becomes of codes in between."
    yield Picture(f"codes-{split}", "learned", caption, figure)


def classes_of(run: Run, split: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """Returns the classes of a split's examples, which their data set knows, if it knows any."""
    known: Dataset = source_of(run.path, run.config, run.kept).arguments["data"].build("data")
    if known.task is not classification:
        return np.zeros(0), ()
    return getattr(known, split).targets, known.classes
