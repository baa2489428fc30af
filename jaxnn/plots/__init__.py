"""Pictures: matplotlib figures, each a function from arrays to a ``Figure``, in one style."""

from jaxnn.plots.contact_sheet import COLUMNS, contact_sheet
from jaxnn.plots.curves import compared_curves, training_curves
from jaxnn.plots.evaluation import evaluation_pictures
from jaxnn.plots.flow import activation_flow, gradient_flow
from jaxnn.plots.learning_rate import rising_loss
from jaxnn.plots.network import Column, columns, network_drawing
from jaxnn.plots.numbers import (
    label_picture,
    predicted_against_true,
    residuals,
    worst_predictions,
)
from jaxnn.plots.plane import decision_map, learned_curves, surface_maps, unit_maps
from jaxnn.plots.representations import (
    principal_components,
    representation_maps,
    representations,
)
from jaxnn.plots.style import save
from jaxnn.plots.surface import loss_map
from jaxnn.plots.weights import weight_images, weight_table

__all__ = [
    "COLUMNS",
    "Column",
    "activation_flow",
    "columns",
    "compared_curves",
    "contact_sheet",
    "decision_map",
    "evaluation_pictures",
    "gradient_flow",
    "label_picture",
    "learned_curves",
    "loss_map",
    "network_drawing",
    "predicted_against_true",
    "principal_components",
    "representation_maps",
    "representations",
    "residuals",
    "rising_loss",
    "save",
    "surface_maps",
    "training_curves",
    "unit_maps",
    "weight_images",
    "weight_table",
    "worst_predictions",
]
