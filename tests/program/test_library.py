"""Everything that the library has, as programs: NumPy and WebAssembly compute what JAX does."""

import functools

import pytest
from programs import (
    MODELS,
    NETWORKS,
    assert_same,
    augmentation_case,
    chunk_case,
    evaluate_case,
    init_case,
    initializer_case,
    layer_case,
    layer_names,
    loss_case,
    model_case,
    optimizer_case,
    optimizer_names,
    schedule_case,
    start,
    step_case,
    trace_case,
)

from jaxnn.config import AUGMENTATIONS, INITIALIZERS, LOSSES, SCHEDULES
from jaxnn.program import KINDS


@pytest.mark.parametrize("name", layer_names())
def test_layers(name):
    assert_same(layer_case(name), 3e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_losses(name):
    assert_same(loss_case(name))


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers(name):
    assert_same(initializer_case(name), 1e-5)


@pytest.mark.parametrize("name", optimizer_names())
def test_optimizers(name):
    assert_same(optimizer_case(name))


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules(name):
    assert_same(schedule_case(name))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_augmentations(name):
    assert_same(augmentation_case(name), 1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_models_are_covered(name):
    assert set(model_case(name).program().kinds()) <= set(KINDS)


def test_everything_from_a_seed():
    assert_same(init_case(NETWORKS["convolutional"]()), 1e-5)


@functools.cache
def parts_and_state(name):
    parts = NETWORKS[name]()
    return parts, start(parts)


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_steps(name):
    program = assert_same(step_case(*parts_and_state(name)), 1e-5)
    assert not {"cond", "scan", "while"} & set(program.kinds())


@pytest.mark.parametrize("case", [trace_case, evaluate_case])
def test_traces_and_evaluations(case):
    assert_same(case(*parts_and_state("convolutional")), 1e-5)
    for name in NETWORKS:
        assert set(case(*parts_and_state(name)).program().kinds()) <= set(KINDS)


def test_a_chunk_of_steps_is_a_loop():
    program = assert_same(chunk_case(*parts_and_state("convolutional")), 1e-5)
    assert [x.kind for x in program.operations] == ["while"]


def test_inputs_and_outputs_have_the_names_of_what_the_function_takes_and_returns():
    program = step_case(*parts_and_state("digits_mlp")).program()
    weight = program.input_names.index("train_state.params.1.weight")
    assert program.inputs[weight].shape == (64, 128)
    assert {"train_state.key", "batch.inputs", "learning_rate"} < set(program.input_names)
    assert {"0.params.1.weight", "0.key", "1.loss"} < set(program.output_names)
