"""What is public is a name that configs may use, but for what is said here."""

import inspect
from types import ModuleType

import pytest

from jaxnn import data, layers, losses, models, optimizers, schedules
from jaxnn.config.catalogue import (
    AUGMENTATIONS,
    DATASETS,
    LAYERS,
    LOSSES,
    OPTIMIZERS,
    SCHEDULES,
    Family,
)
from jaxnn.data import augmentation

OTHERS = {
    layers: {"average_views", "before", "in_precision", "stateless"},
    losses: {"check_targets", "check_task", "example_weights", "weighted"},
    optimizers: {
        *("apply_updates", "averaged_params", "filters_only", "global_norm", "hyperparameters"),
        *("matrices_only", "normalize_weights", "set_hyperparameters", "trace", "weights_only"),
        "scale_by_adam",
        *("scale_by_learning_rate", "scale_by_lion", "scale_by_muon", "scale_by_rms"),
        "scale_by_rss",
    },
    data: {
        *("cache_folder", "data_folder", "divide", "fetch", "find_ink", "from_arrays", "hold_out"),
        *("normalization", "prepare", "read_idx", "read_image", "spread", "standardize"),
        *("statistics", "summary"),
    },
    augmentation: {"compose"},
}


def public(module: ModuleType) -> set[str]:
    own = [n for n, f in vars(module).items() if getattr(f, "__module__", "") == module.__name__]
    names = getattr(module, "__all__", own)
    functions = {name for name in names if inspect.isfunction(getattr(module, name))}
    return {name for name in functions if not name.startswith("_")}


@pytest.mark.parametrize(
    ("module", "family"),
    [
        (layers, LAYERS),
        (models, LAYERS),
        (losses, LOSSES),
        (optimizers, OPTIMIZERS),
        (schedules, SCHEDULES),
        (data, DATASETS),
        (augmentation, AUGMENTATIONS),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_what_is_public_is_a_name_of_configs(module: ModuleType, family: Family) -> None:
    assert public(module) - set(family) == OTHERS.get(module, set())
