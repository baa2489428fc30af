"""How scripts end: one message and a status, or a traceback where it is our mistake."""

import io
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


def test_names_in_a_mistake_do_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert status(ConfigError("\x1b[2Jfile\x9b31m\r:\n\tno \u202e é")) == 2
    expected = "error: \\x1b[2Jfile\\x9b31m\\r:\n\tno \\u202e é\n"
    assert capsys.readouterr() == ("", expected)


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


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "café 8 × 8 ± 1 … ▁▄█ 日本 \\udcff"),
        ("cp1252", "café 8 × 8 ± 1 … _-# \\u65e5\\u672c \\udcff"),
        ("latin-1", "café 8 × 8 ± 1 ... _-# \\u65e5\\u672c \\udcff"),
        ("ascii", "cafe 8 x 8 +- 1 ... _-# \\u65e5\\u672c \\udcff"),
    ],
)
def test_plainer_signs_take_the_place_of_those_that_the_output_lacks(
    encoding: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    out, err = io.BytesIO(), io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, encoding))
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(err, encoding, errors="backslashreplace"))
    said = "café 8 × 8 ± 1 … ▁▄█ 日本 \udcff"

    def main() -> None:
        print(said)
        raise ConfigError(said)

    with pytest.raises(SystemExit):
        cli.run(main)
    sys.stdout.flush()
    sys.stderr.flush()
    assert out.getvalue().decode(encoding) == f"{expected}\n"
    assert err.getvalue().decode(encoding) == f"error: {expected}\n"


def test_a_choice_of_what_to_do_about_such_signs_is_respected(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "ascii", errors="ignore"))
    cli.run(lambda: print("8 × 8"))
    assert out.getvalue() == b"8  8\n"
