"""Watches a run's health: plain sentences, with the evidence, about what is going wrong.

The bounds are wide, so that a sentence is worth reading: a healthy run has none.
"""

import math
import statistics
from collections import deque
from collections.abc import Callable

from jaxnn.training import LayerStatistics, Report

VANISHING = 1e-3  # gradient at the first layer's output over that at the last one's
EXPLODING = 1e3
DEAD = 0.95  # fraction of a relu layer's units
SATURATED = 0.99  # fraction of a sigmoid or tanh layer's outputs: trained ones often pass 0.9
SPIKE = 4.0  # a chunk's loss over the median of the recent ones …
SPIKE_SHARE = 0.25  # … and above it by this share of the first loss
RECENT = 10  # reports
PLATEAU_EPOCHS = 3  # without learning anything: the loss is still this share of the first
PLATEAU_SHARE = 0.95
OVERFIT_LOSS = 1.5  # validation loss over its least …
OVERFIT_ACCURACY = 0.005  # … while validation accuracy is this much below its best


def health() -> Callable[[Report], tuple[str, ...]]:
    """Makes the function that looks at each report and returns sentences on what is new.

    Each kind of trouble is reported once a run, for each layer where it is a layer's.
    """
    told: set[tuple[str, str]] = set()
    recent: deque[float] = deque(maxlen=RECENT)
    validations: list[tuple[float, float, float, float]] = []
    first_loss: float | None = None

    def watch(report: Report) -> tuple[str, ...]:
        nonlocal first_loss
        if first_loss is None:
            first_loss = report.loss
        found = [*_gradients(report.statistics or ()), *_inactive(report.statistics or ())]

        usual = statistics.median(recent) if len(recent) == RECENT else math.inf
        if report.loss > SPIKE * usual and report.loss - usual > SPIKE_SHARE * first_loss:
            found.append(
                (
                    "spike",
                    "",
                    f"the loss jumped to {report.loss:.3g}; it had been around {usual:.3g}. "
                    "A lower learning rate or clip_by_global_norm would steady it",
                )
            )
        recent.append(report.loss)

        epochs = report.epoch
        if epochs >= PLATEAU_EPOCHS and min(recent) > PLATEAU_SHARE * first_loss:
            found.append(
                (
                    "plateau",
                    "",
                    f"the network is not learning: after {epochs:.3g} epochs the loss is "
                    f"{report.loss:.4g}; it began at {first_loss:.4g}",
                )
            )

        if report.validation is not None:
            loss, accuracy = report.validation.loss, report.validation.accuracy
            validations.append((loss, accuracy, report.epoch, report.loss))
            least, _, when, train_then = min(validations)
            best = max(row[1] for row in validations)
            worse = loss > OVERFIT_LOSS * least and accuracy < best - OVERFIT_ACCURACY
            if worse and report.loss < train_then:
                found.append(
                    (
                        "overfit",
                        "",
                        f"over-fitting: since epoch {when:.3g} the validation loss has risen from "
                        f"{least:.3g} to {loss:.3g}, while the training loss fell from "
                        f"{train_then:.3g} to {report.loss:.3g}",
                    )
                )

        new = [(kind, where, text) for kind, where, text in found if (kind, where) not in told]
        told.update((kind, where) for kind, where, _ in new)
        return tuple(text for _, _, text in new)

    return watch


def _gradients(layers: tuple[LayerStatistics, ...]) -> list[tuple[str, str, str]]:
    trained = [layer for layer in layers if layer.weight_norm is not None]
    if len(trained) < 2 or not trained[-1].d_output_norm:
        return []
    first, last = trained[0], trained[-1]
    ratio = float(first.d_output_norm / last.d_output_norm)
    kind = "vanish" if ratio < VANISHING else "explode" if ratio > EXPLODING else None
    if kind is None:
        return []
    text = (
        f"gradients {kind}: their norm is {last.d_output_norm:.2g} at the output of layer "
        f"{last.label} and {first.d_output_norm:.2g} at that of layer {first.label}, a factor of "
        f"{ratio:.1g}. Another initializer, activation, normalization or a shortcut would help"
    )
    return [(kind, "", text)]


def _inactive(layers: tuple[LayerStatistics, ...]) -> list[tuple[str, str, str]]:
    found = []
    for layer in layers[:-1]:  # the network's own outputs near their limits are sure answers
        bound = DEAD if layer.name == "relu" else SATURATED
        if layer.inactive is not None and layer.inactive > bound:
            what = (
                "units are dead: 0 for every example of the batch"
                if layer.name == "relu"
                else "outputs are saturated: within 1 % of their limits"
            )
            text = f"{layer.inactive:.0%} of the {what}, in layer {layer.label}"
            found.append(("inactive", layer.label, text))
    return found
