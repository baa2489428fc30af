"""Watches a run's health: plain sentences, with the evidence, about what is going wrong.

The bounds are wide, so that a sentence is worth reading: a healthy run has none. Of what is found,
the sentence that explains the others is said, and those that follow from it are left out.
"""

import math
import statistics
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jaxnn.data import Dataset
from jaxnn.losses import Loss
from jaxnn.observe.metrics import record
from jaxnn.tasks import classification, regression
from jaxnn.training import INACTIVE, Report

TOO_HIGH = 4.0  # a chunk's loss over that of the untrained network …
RISEN = 1.05  # … or, where units have died since, this one
LEARNED = 0.5  # … which is forgiven where it has come below this share of it
SPENT = 1e-4  # the learning rate over its largest, for an epoch or more without a change
TOO_LOW = 1e-5  # the largest ratio of a layer's update to its weights
VANISHING = 1e-3  # gradient at the first layer's output over that at the last one's
EXPLODING = 1e3
SPIKE = 4.0  # a chunk's loss over the median of the recent ones …
SPIKE_SHARE = 0.25  # … and above it by this share of the first loss
RECENT = 10  # reports
PLATEAU_EPOCHS = 3  # without learning anything: the loss is still this share of the first
PLATEAU_SHARE = 0.95
PLATEAU_UNTRAINED = 0.7  # … and this one of the untrained network's
STRANGE = 1.5  # training accuracy over chance, while that on validation, after some epochs, …
STRANGE_EPOCHS = 3
STRANGE_DEVIATIONS = 3.0  # … is not this many standard deviations above it
STRANGE_LOSS = 0.8  # of numbers: training loss over that of their mean, while that on validation …
MEAN = 0.97  # the least recent loss over that of predicting the mean of the numbers
MEAN_EXAMPLES = 10_000
OVERFIT_LOSS = 1.5  # validation loss over its least …
OVERFIT_ACCURACY = 0.005  # … while validation accuracy is this much below its best, …
OVERFIT_LOOKS = 3  # … so many times running

_EXPLAINS: dict[str, set[str]] = {
    "rate": {
        *("dead", "explode", "vanish", "spike", "slow", "plateau", "mean", "strange", "overfit"),
    },
    "spent": {"slow", "plateau", "mean"},
    "explode": {"spike", "slow", "plateau", "mean"},
    "dead": {"vanish", "slow", "plateau", "mean"},
    "vanish": {"slow", "plateau", "mean"},
    "slow": {"plateau", "mean"},
    "plateau": {"mean"},
    "strange": {"overfit"},
}


class _Trouble(NamedTuple):
    kind: str
    where: str
    text: str


class Chance(NamedTuple):
    """What is to be had without learning from the inputs.

    Attributes:
        classes: the number of classes, each as likely; None if targets are others.
        mean_loss: the loss of predicting the mean of the target numbers; None if they are others.
    """

    classes: int | None = None
    mean_loss: float | None = None


_UNKNOWN = Chance()


def chance(dataset: Dataset, loss: Loss) -> Chance:
    """Returns what a data set's targets give away by themselves."""
    if dataset.task is classification:
        return Chance(classes=len(dataset.classes))
    targets = dataset.train.targets[:MEAN_EXAMPLES]
    if dataset.task is not regression or not len(targets):
        return _UNKNOWN
    mean = np.broadcast_to(np.float32(dataset.target_center), targets.shape)
    return Chance(mean_loss=float(loss(jnp.asarray(mean), jnp.asarray(targets), None)[0]))


def health(
    records: Iterable[Mapping[str, Any]] = (), known: Chance = _UNKNOWN
) -> Callable[[Report], tuple[str, ...]]:
    """Makes the function that looks at each report and returns sentences on what is new.

    Each kind of trouble is reported once a run, for each layer where it is a layer's.

    Args:
        records: the reports that the run had before, as in ``metrics.jsonl``, if it goes on.
        known: what is to be had by chance; by default, this is not known.
    """
    run = _Run(known)
    told: set[tuple[str, str]] = set()

    def look(row: Mapping[str, Any]) -> tuple[str, ...]:
        run.add(row)
        found = list(run.troubles())
        causes = {trouble.kind for trouble in found} | {kind for kind, _ in told - {("rate", "")}}
        explained = set().union(*(_EXPLAINS.get(kind, set()) for kind in causes))
        new = [
            trouble
            for trouble in found
            if trouble.kind not in explained and trouble[:2] not in told
        ]
        told.update(trouble[:2] for trouble in new)
        return tuple(trouble.text for trouble in new)

    for row in records:
        look(row)
    return lambda report: look(record(report))


class _Run:
    """What is remembered of a run's reports."""

    def __init__(self, known: Chance) -> None:
        self.classes, self.mean_loss = known
        self.row: Mapping[str, Any] = {}
        self.untrained: float | None = None  # loss
        self.first: float | None = None  # loss, where the run's beginning was seen
        self.highest = -math.inf  # loss
        self.recent: deque[float] = deque(maxlen=RECENT)  # losses
        self.usual = math.inf  # loss, before the last report
        self.rate: tuple[float, float] | None = None  # learning rate, and since which epoch
        self.peak = 0.0  # learning rate
        self.layers: Mapping[str, Mapping[str, float]] = {}
        self.validations: list[tuple[float, float, float, float]] = []  # those that are finite
        self.validated = False  # by the last report

    def add(self, row: Mapping[str, Any]) -> None:
        """Takes note of a report."""
        loss, epoch = row["loss"], row["epoch"]
        self.untrained = row.get("start_loss", self.untrained)
        if not self.row and (self.untrained is not None or epoch <= 1):
            self.first = min(loss, self.untrained or math.inf)
        self.row = row
        self.usual = statistics.median(self.recent) if len(self.recent) == RECENT else math.inf
        self.recent.append(loss)
        self.highest = max(self.highest, loss)
        rate = row.get("learning_rate")
        if rate is not None and (self.rate is None or rate != self.rate[0]):
            self.rate = rate, epoch
            self.peak = max(self.peak, rate)
        self.layers = row.get("statistics", self.layers)
        found = row.get("validation_loss")  # None from a file, if it was not finite
        self.validated = found is not None and math.isfinite(found)
        if found is not None and self.validated:
            accuracy = row.get("validation_accuracy", math.nan)
            self.validations.append((found, accuracy, epoch, loss))

    def troubles(self) -> Iterator[_Trouble]:
        """Yields what is wrong, causes before what follows from them."""
        yield from self._rate_too_high()
        yield from self._rate_spent()
        yield from self._dead()
        yield from self._gradients()
        yield from self._spike()
        yield from self._not_learning()
        yield from self._nothing_but_the_mean()
        yield from self._strange_labels()
        yield from self._strange_numbers()
        yield from self._over_fitting()

    def _rate_too_high(self) -> Iterator[_Trouble]:
        untrained, bound = self.untrained, RISEN if any(self._dead()) else TOO_HIGH
        if untrained is None or self.highest <= bound * untrained:
            return
        if self.row["loss"] >= LEARNED * untrained:
            rate = f" ({self.rate[0]:.3g})" if self.rate else ""
            yield _Trouble(
                "rate",
                "",
                f"the learning rate{rate} is too high: the loss rose to {self.highest:.3g}, and "
                f"that of the untrained network was {untrained:.3g}. Try a tenth of it",
            )

    def _rate_spent(self) -> Iterator[_Trouble]:
        if self.rate is None or not 0 <= self.rate[0] <= SPENT * self.peak or not self.peak:
            return
        rate, since = self.rate
        if self.row["epoch"] - since >= 1:
            yield _Trouble(
                "spent",
                "",
                f"hardly anything is learned any more: the learning rate has been {rate:.2g} "
                f"since epoch {since:.3g}, where its schedule has ended (its largest was "
                f"{self.peak:.2g}). A longer schedule would go on learning",
            )

    def _dead(self) -> Iterator[_Trouble]:
        # The network's own outputs near their limits are sure answers.
        for label, layer in list(self.layers.items())[:-1]:
            share = layer.get("inactive")
            if share is not None and share > INACTIVE:
                what = "dead: 0" if label.endswith("relu") else "saturated: within 1 % of a limit"
                text = f"{share:.0%} of the units of layer {label} are {what} for every example"
                yield _Trouble("dead", label, f"{text} of the batch")

    def _gradients(self) -> Iterator[_Trouble]:
        trained = [
            (label, layer.get("d_output_norm"))
            for label, layer in self.layers.items()
            if layer.get("weight_norm") is not None
        ]
        if len(trained) < 2:
            return
        (first, at_first), (last, at_last) = trained[0], trained[-1]
        if at_first is None or not at_last:
            return
        ratio = at_first / at_last
        kind = "vanish" if ratio < VANISHING else "explode" if ratio > EXPLODING else None
        if kind is not None:
            yield _Trouble(
                kind,
                "",
                f"gradients {kind}: their norm is {at_last:.2g} at the output of layer {last} and "
                f"{at_first:.2g} at that of layer {first}, a factor of {ratio:.1g}. Another "
                "initializer, activation, normalization or a shortcut would help",
            )

    def _spike(self) -> Iterator[_Trouble]:
        loss, usual = self.row["loss"], self.usual
        if loss > SPIKE * usual and loss - usual > SPIKE_SHARE * (self.first or 0):
            yield _Trouble(
                "spike",
                "",
                f"the loss jumped to {loss:.3g}; it had been around {usual:.3g}. "
                "A lower learning rate or clip_by_global_norm would steady it",
            )

    def _not_learning(self) -> Iterator[_Trouble]:
        epoch, loss, first = self.row["epoch"], self.row["loss"], self.first
        if first is None or epoch < PLATEAU_EPOCHS:
            return
        if min(self.recent) <= max(
            PLATEAU_SHARE * first, PLATEAU_UNTRAINED * (self.untrained or 0)
        ):
            return
        course = f"after {epoch:.3g} epochs the loss is {loss:.4g}; it began at {first:.4g}"
        ratios = [layer.get("update_ratio") for layer in self.layers.values()]
        largest = max((ratio for ratio in ratios if ratio is not None), default=math.inf)
        if largest < TOO_LOW:
            yield _Trouble(
                "slow",
                "",
                f"the learning rate is too low: {course}, and a step changes no layer by more than "
                f"{largest:.1g} of its weights, where 0.001 is usual",
            )
        yield _Trouble("plateau", "", f"the network is not learning: {course}")

    def _strange_labels(self) -> Iterator[_Trouble]:
        if self.classes is None or len(self.validations) < STRANGE_EPOCHS:
            return
        if not self.validated or self.row["accuracy"] <= STRANGE / self.classes:
            return
        chance, best = 1 / self.classes, max(row[1] for row in self.validations)
        deviation = math.sqrt(chance * (1 - chance) / self.row["validation_examples"])
        if best < chance + STRANGE_DEVIATIONS * deviation:
            yield _Trouble(
                "strange",
                "",
                "what is learned does not hold for the validation split: "
                f"{self.row['accuracy']:.0%} of the training examples are classified correctly, "
                f"and of the others never more than {best:.0%}, which is chance. Do the labels "
                "belong to their inputs, in both splits?",
            )

    def _nothing_but_the_mean(self) -> Iterator[_Trouble]:
        if self.mean_loss is None or self.row["epoch"] < PLATEAU_EPOCHS:
            return
        if min(self.recent) > MEAN * self.mean_loss:
            yield _Trouble(
                "mean",
                "",
                f"the network knows hardly more than the mean of the targets: its loss is "
                f"{self.row['loss']:.4g} after {self.row['epoch']:.3g} epochs, and predicting the "
                f"mean costs {self.mean_loss:.4g}",
            )

    def _strange_numbers(self) -> Iterator[_Trouble]:
        if self.mean_loss is None or len(self.validations) < STRANGE_EPOCHS:
            return
        if not self.validated or self.row["loss"] > STRANGE_LOSS * self.mean_loss:
            return
        least = min(row[0] for row in self.validations)
        if least >= self.mean_loss:
            yield _Trouble(
                "strange",
                "",
                "what is learned does not hold for the validation split: the training loss is "
                f"{self.row['loss']:.3g}, and that of the others was never below {least:.3g}, "
                f"where predicting the mean costs {self.mean_loss:.3g}. Do the targets belong to "
                "their inputs, in both splits?",
            )

    def _over_fitting(self) -> Iterator[_Trouble]:
        if not self.validated:
            return
        loss, _, _, train_loss = self.validations[-1]
        least, _, when, train_then = min(self.validations, key=lambda row: row[0])
        best = max(row[1] for row in self.validations)
        worse = all(
            loss > OVERFIT_LOSS * least and not accuracy >= best - OVERFIT_ACCURACY
            for loss, accuracy, *_ in self.validations[-OVERFIT_LOOKS:]
        )
        if worse and train_loss < train_then:
            yield _Trouble(
                "overfit",
                "",
                f"over-fitting: since epoch {when:.3g} the validation loss has risen from "
                f"{least:.3g} to {loss:.3g}, while the training loss fell from "
                f"{train_then:.3g} to {train_loss:.3g}",
            )
