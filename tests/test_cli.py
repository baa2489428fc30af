"""How scripts end: one message and a status, or a traceback where it is our mistake."""

import sys

import jax
import pytest

from jaxnn import cli
from jaxnn.errors import ConfigError


def status(error: BaseException) -> object:
    def main() -> None:
        raise error

    with pytest.raises(SystemExit) as caught:
        cli.run(main)
    return caught.value.code


def test_a_mistake_of_input_is_one_message_and_status_2(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert status(ConfigError("model.1: no")) == 2
    assert capsys.readouterr() == ("", "error: model.1: no\n")


def test_running_out_of_memory_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    message = "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 256000000000 bytes."
    assert status(jax.errors.JaxRuntimeError(message)) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}\n")
    assert "batch_size" in error


def test_ctrl_c_is_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == ("", "interrupted\n")


@pytest.mark.parametrize("error", [ZeroDivisionError("ours"), jax.errors.JaxRuntimeError("ours")])
def test_our_own_mistakes_are_not_hidden(error: Exception) -> None:
    def main() -> None:
        raise error

    with pytest.raises(type(error), match="ours"):
        cli.run(main)


def test_success_is_no_exit(capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(lambda: print("done", file=sys.stdout))
    assert capsys.readouterr() == ("done\n", "")
