"""Any data set, with its own inputs to be learnt."""

import numpy as np

from jaxnn.data.centring import Centring
from jaxnn.data.dataset import Dataset, Split, standardize
from jaxnn.tasks import regression


def autoencode(data: Dataset) -> Dataset:
    """Makes a data set whose targets are its inputs, as a network sees them: normalized.

    A network that has to pass them on through a layer of few units, a code, learns what is
    characteristic of them. Errors are told in the units of the data. An augmentation changes the
    inputs and leaves the targets: a network learns to undo it.

    Source: Hinton & Salakhutdinov 2006, "Reducing the Dimensionality of Data with Neural Networks".

    Args:
        data: a data set of any task, whose own targets do not count.

    Returns:
        The data set, named after the other; targets (n, *in_shape) float32.
    """
    unit, offset = data.deviation.astype(np.float64), data.mean.astype(np.float64)
    if data.centring is not None:
        unit, offset = unit * data.centring.unit, data.centring.restore(offset)

    def own(split: Split) -> Split:
        return Split(split.inputs, standardize(split.inputs, data))

    return data._replace(
        name=f"{data.name} (autoencoder)",
        train=own(data.train),
        validation=own(data.validation),
        test=own(data.test),
        classes=(),
        task=regression,
        targets=data.features,
        target_scale=Centring(offset, unit),
        class_weights=None,
    )
