"""From a config to the library's objects."""

from typing import NamedTuple

import jax
from jax.sharding import Mesh

from jaxnn import losses
from jaxnn.arrays import Tree
from jaxnn.config.config import Config
from jaxnn.data import Dataset, augmentation
from jaxnn.data.augmentation import Augmentation
from jaxnn.errors import ConfigError, warn
from jaxnn.layers import Layer, average_views, in_precision
from jaxnn.layers.views import count_views
from jaxnn.network import describe
from jaxnn.optimizers import Optimizer, averaged_params
from jaxnn.training import make_mesh, prepared, steps_per_epoch
from jaxnn.training.devices import check_mesh

_MOST_STEPS = 2**31 - 1


class Experiment(NamedTuple):
    """What a config describes.

    Attributes:
        config: the config, schedules' horizons and the number of classes filled in.
        dataset: the data.
        network: the network, from examples as the data set stores them to outputs.
        loss: the loss.
        optimizer: the optimizer.
    """

    config: Config
    dataset: Dataset
    network: Layer
    loss: losses.Loss
    optimizer: Optimizer

    @property
    def views(self) -> int:
        """How many views of an image the trained network's answer is the mean of."""
        return count_views(self.config.evaluation.mirror, self.config.evaluation.shift)

    @property
    def answering(self) -> Layer:
        """The network as it is used after training: with the config's views of an image."""
        if self.views == 1:
            return self.network
        mirror, shift = self.config.evaluation.mirror, self.config.evaluation.shift
        return average_views(self.network, mirror=mirror, shift=shift)

    @property
    def augment(self) -> Augmentation | None:
        """What the config applies to training batches, if anything."""
        calls = self.config.augmentation
        made = [call.build(f"augmentation.{i}") for i, call in enumerate(calls)]
        return augmentation.compose(made) if made else None

    @property
    def mesh(self) -> Mesh | None:
        """The mesh of the devices that the config trains on; None for a single one.

        Raises:
            ConfigError: if there are too few, or the training cannot be divided over them.
        """
        config, _, network, loss, optimizer = self
        devices, batch_size = config.devices, config.training.batch_size
        try:
            mesh = make_mesh(devices.data, devices.parameters, batch_size=batch_size)
            if mesh is not None:
                check_mesh(mesh, network, loss, optimizer, batch_size)
        except ValueError as error:
            raise ConfigError(f"devices: {error} (devices.data=…)") from error
        return mesh


def build(
    config: Config, dataset: Dataset | None = None, network: Layer | None = None
) -> Experiment:
    """Makes the objects that a config describes; loads the data.

    Sets JAX's 64-bit mode, which is one for the whole process, as the precision needs it.

    Args:
        config: the experiment.
        dataset: the config's data, if they have been loaded already; with a config that is
            complete, its examples may be missing.
        network: in place of what the config's ``model`` makes.

    Raises:
        ConfigError: if a part refuses its arguments, or the parts do not fit each other.
        DataError: if the data are missing or damaged.
    """
    jax.config.update("jax_enable_x64", config.training.precision == "float64")
    net = config.model.build("model") if network is None else network
    if config.training.precision == "bfloat16":
        net = in_precision(net, "bfloat16")
    loss = config.loss.build("loss")
    config.with_steps(_MOST_STEPS).optimizer.build("optimizer")  # wrong values before loading data
    if dataset is None:
        dataset = config.data.build("data")
    steps = _MOST_STEPS
    if not dataset.missing:
        try:
            steps = config.training.epochs * steps_per_epoch(dataset, config.training.batch_size)
        except ValueError as error:
            raise ConfigError(f"training: {error}") from error
    if steps > _MOST_STEPS:
        raise ConfigError(
            f"training: {steps} steps are too many; at most {_MOST_STEPS} are counted"
        )
    config = config.with_steps(steps).with_classes(len(dataset.classes))
    targets = dataset.train.targets
    target = jax.ShapeDtypeStruct((1, *targets.shape[1:]), targets.dtype)
    try:
        losses.check_task(loss, dataset.task, dataset.asked_for)
    except ValueError as error:
        raise ConfigError(f"loss: {dataset.name}: {error}") from error
    try:
        rows = describe(net, dataset.in_shape)
    except ValueError as error:
        raise ConfigError(f"model: {error}") from error
    if rows[0].out_shape != dataset.out_shape:
        last = rows[-1].name
        if rows[-1].path:
            last = f"layer {'.'.join(map(str, rows[-1].path))} ({last})"
        raise ConfigError(
            f"model: the output of {last} has shape {rows[0].out_shape}, but {dataset.name} has "
            f"{dataset.asked_for}: {dataset.out_shape} is needed"
        )
    try:
        outputs = jax.ShapeDtypeStruct((1, *rows[0].out_shape), "float32")
        jax.eval_shape(loss, outputs, target)
    except ValueError as error:
        raise ConfigError(f"loss.{config.loss.name}: {error}") from error
    net = prepared(net, dataset)
    experiment = Experiment(config, dataset, net, loss, config.optimizer.build("optimizer"))
    _check_evaluation(experiment)
    if experiment.augment is not None:
        keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), 1))
        inputs = jax.ShapeDtypeStruct((1, *dataset.in_shape), "float32")
        try:
            jax.eval_shape(experiment.augment, keys, inputs, target)
        except ValueError as error:
            raise ConfigError(f"augmentation: {error}") from error
    return experiment


def _check_evaluation(experiment: Experiment) -> None:
    """Raises ConfigError if images cannot be seen so, or no average of the weights is kept."""

    def averaged() -> Tree:
        key, in_shape = jax.random.key(0), experiment.dataset.in_shape
        params, _, _ = experiment.answering.init(key, in_shape)
        if not experiment.config.evaluation.weights:
            return params
        average = averaged_params(experiment.optimizer.init(params))
        if jax.tree.structure(average) != jax.tree.structure(params):  # type: ignore[operator]
            raise ValueError("exponential_moving_average sees only some of the weights")
        return average

    try:
        jax.eval_shape(averaged)
    except ValueError as error:
        raise ConfigError(f"evaluation: {error}") from error


def chosen_mesh(experiment: Experiment) -> Mesh | None:
    """Returns the mesh that an experiment is trained on; says so if there are devices for more."""
    mesh, config = experiment.mesh, experiment.config
    used, parts = 1 if mesh is None else mesh.size, config.devices.parameters
    most = max(1, len(jax.devices()) // parts) * parts
    if config.devices.data == "all" and used < most:
        warn(
            f"training uses {used} of {len(jax.devices())} devices, as a batch of "
            f"{config.training.batch_size} cannot be divided over more; a multiple of {most} can "
            f"(training.batch_size). With devices.data={used // parts} this is not said"
        )
    return mesh
