"""Looking into the layers while training."""

from collections.abc import Iterator

from benchmarks.measuring import Row, compared
from jaxnn.data import mnist
from jaxnn.layers import dense, flatten, relu, serial
from jaxnn.losses import softmax_cross_entropy
from jaxnn.optimizers import sgd
from jaxnn.training import fit


def measure(pairs: int) -> Iterator[Row]:
    """What it costs to look into the layers every 100 steps: ours with, the peer without."""
    network = serial(flatten(), dense(128), relu(), dense(10))
    dataset = mnist(validation=0)

    def seconds(statistics_steps: int) -> float:
        reports = fit(
            network,
            softmax_cross_entropy,
            sgd(0.01, momentum=0.9),
            dataset,
            batch_size=64,
            epochs=3,
            statistics_steps=statistics_steps,
        )
        times = {report.epoch: report.train_seconds for report in reports}
        return times[3.0] - times[1.0]  # the first epoch warms up

    times = [(seconds(100), seconds(0)) for _ in range(pairs)]
    yield compared("observe", "784-128-10, batch 64", "without statistics", times)
