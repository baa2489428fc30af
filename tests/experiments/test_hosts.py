"""Two hosts train together, and the link between them is cut.

They are network namespaces of this machine, with a name each; where those may not be made, as
without the rights of root, this is skipped.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

TRAIN = Path(__file__).parents[2] / "experiments" / "train.py"
CONFIG = """
data: digits
model: [flatten, {dense: 16}, relu, {dense: 10}]
optimizer: {sgd: {learning_rate: 0.05, momentum: 0.9}}
training: {epochs: 20, batch_size: 48, statistics_steps: 0, checkpoint_seconds: 0, chunk_steps: 10}
"""


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True, timeout=20)


class Hosts:
    """Two hosts with a link between them: ``.1`` and ``.2`` of a network of their own."""

    def __init__(self) -> None:
        self.names = [f"jaxnn-{os.getpid()}-{i}" for i in range(2)]
        self.started: list[subprocess.Popen[str]] = []

    def make(self) -> None:
        """Makes what may not be allowed."""
        first, second = self.names
        ip("netns", "add", first)
        ip("netns", "add", second)
        ip(*f"link add eth0 netns {first} type veth peer name eth0 netns {second}".split())
        subprocess.run(["unshare", "--uts", "true"], check=True, capture_output=True, text=True)
        for i, name in enumerate(self.names):
            folder = Path("/etc/netns") / name  # what is there covers /etc, for this host alone
            folder.mkdir(parents=True)
            (folder / "hosts").write_text(f"127.0.0.1 localhost\n10.77.0.{i + 1} {name}\n")

    def set_up(self) -> None:
        for i, name in enumerate(self.names):
            ip("-n", name, "addr", "add", f"10.77.0.{i + 1}/24", "dev", "eth0")
            ip("-n", name, "link", "set", "lo", "up")
            ip("-n", name, "link", "set", "eth0", "up")

    def start(self, host: int, *command: str | Path) -> "subprocess.Popen[str]":
        name = self.names[host]
        inside = ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c"]
        inside += [f'echo {name} > /proc/sys/kernel/hostname && exec "$@"', "sh"]
        one = subprocess.Popen(
            [*inside, *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"JAX_PLATFORMS": "cpu"},
        )
        self.started.append(one)
        return one

    def link(self, state: str) -> None:
        ip("-n", self.names[0], "link", "set", "eth0", state)

    def remove(self) -> None:
        for one in self.started:
            one.kill()
            one.communicate()
        for name in self.names:
            with contextlib.suppress(subprocess.CalledProcessError):
                ip("netns", "del", name)
            shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)
        with contextlib.suppress(OSError):  # it was there before, or is not empty
            Path("/etc/netns").rmdir()


@pytest.fixture
def hosts() -> Iterator[Hosts]:
    both = Hosts()
    try:
        try:
            both.make()
        except (OSError, subprocess.SubprocessError) as error:
            said = getattr(error, "stderr", None) or error
            pytest.skip(f"network namespaces cannot be made here: {said}")
        both.set_up()
        yield both
    finally:
        both.remove()


def train(hosts: Hosts, *arguments: str | Path) -> "list[subprocess.Popen[str]]":
    where = ("--coordinator", "10.77.0.1:12345", "--processes", "2", "--process")
    return [hosts.start(i, sys.executable, TRAIN, *arguments, *where, str(i)) for i in range(2)]


def finish(processes: "list[subprocess.Popen[str]]", seconds: float = 300) -> list[str]:
    end = time.monotonic() + seconds
    return [one.communicate(timeout=max(1, end - time.monotonic()))[1] for one in processes]


def arrays(run: Path) -> dict[str, np.ndarray]:
    return safetensors.numpy.load((run / "model.safetensors").read_bytes())


@pytest.mark.long
def test_hosts_whose_link_is_cut_end_and_go_on(hosts: Hosts, tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    undisturbed, run = tmp_path / "undisturbed", tmp_path / "run"
    both = train(hosts, config, "--run-dir", undisturbed)
    errors = finish(both)
    assert not any(one.returncode for one in both), errors

    both = train(hosts, config, "--run-dir", run)
    end = time.monotonic() + 120
    while not ((run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_size):
        assert all(one.poll() is None for one in both), finish(both)
        assert time.monotonic() < end
        time.sleep(0.02)
    hosts.link("down")
    began = time.monotonic()
    errors = finish(both, 30)
    print(f"both have ended {time.monotonic() - began:.1f} s after the link was cut")
    for i, other in enumerate((f"process 1 on {hosts.names[1]}", "process 0 at 10.77.0.1:12345")):
        last = errors[i].splitlines()[-1]
        assert f"error: {other} cannot be reached any more" in last
        assert f"so process {i} ends, too" in last
        assert both[i].returncode
    assert not (run / "summary.json").exists()

    hosts.link("up")
    both = train(hosts, "--resume", run)
    errors = finish(both)
    assert not any(one.returncode for one in both), errors
    for name, array in arrays(undisturbed).items():
        np.testing.assert_array_equal(arrays(run)[name], array)


@pytest.mark.long
def test_hosts_that_could_not_find_each_other_by_name_say_so(hosts: Hosts, tmp_path: Path) -> None:
    config = tmp_path / "small.yaml"
    config.write_text(CONFIG)
    for name in hosts.names:  # as Debian's installer leaves it
        (Path("/etc/netns") / name / "hosts").write_text(f"127.0.1.1 {name}\n127.0.0.1 localhost\n")
    both = train(hosts, config, "--run-dir", tmp_path / "run")
    errors = finish(both, 60)
    for i, name in enumerate(hosts.names):
        assert f"the name of this machine, {name}, stands for 127.0.1.1" in errors[i]
        assert f"have /etc/hosts say that it is 10.77.0.{i + 1}" in errors[i]
        assert both[i].returncode == 2
