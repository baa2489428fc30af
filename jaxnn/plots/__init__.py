"""Pictures: matplotlib figures, each a function from arrays to a ``Figure``, in one style."""

from jaxnn.plots.contact_sheet import COLUMNS, contact_sheet
from jaxnn.plots.curves import compared_curves, training_curves
from jaxnn.plots.evaluation import evaluation_pictures
from jaxnn.plots.network import Column, columns, network_drawing
from jaxnn.plots.run import read_metrics, run_pictures
from jaxnn.plots.style import save
from jaxnn.plots.weights import weight_images

__all__ = [
    "COLUMNS",
    "Column",
    "columns",
    "compared_curves",
    "contact_sheet",
    "evaluation_pictures",
    "network_drawing",
    "read_metrics",
    "run_pictures",
    "save",
    "training_curves",
    "weight_images",
]
