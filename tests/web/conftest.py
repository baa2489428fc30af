"""The page in a browser: of a real lab on a free port, or exported; and Chromium to look at it.

Whatever a browser would complain about fails the test: errors and warnings in the console,
exceptions, answers of 400 and above, and requests to anywhere but the page's own place.
"""

import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from chromium import chromium
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
)

ROOT = Path(__file__).parents[2]
STARTING, STOPPING = 120, 30  # seconds, on a machine that is busy with other things
expect.set_options(timeout=60_000)

Lab = Callable[..., str]
Visit = Callable[..., Page]


class _Server:
    """One lab in a process of its own; what it prints goes to a file."""

    def __init__(self, log: Path, config: Path, overrides: tuple[str, ...]) -> None:
        self.log = log
        script = ROOT / "experiments" / "lab.py"
        with log.open("w") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-u", str(script), str(config), *overrides, "--no-browser"],
                stdout=out,
                stderr=subprocess.STDOUT,
                cwd=config.parent,
            )

    def address(self) -> str:
        deadline = time.monotonic() + STARTING
        while time.monotonic() < deadline:
            if found := re.search(r"http://127\.0\.0\.1:\d+", self.log.read_text()):
                return found[0]
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        raise AssertionError(f"the lab did not start:\n{self.log.read_text()}")

    def interrupt(self) -> None:
        """What Ctrl-C does."""
        self.process.send_signal(signal.SIGINT)

    def ended(self) -> None:
        """Waits for its end, which must leave no traceback."""
        try:
            self.process.wait(STOPPING)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"Ctrl-C did not end the lab:\n{self.log.read_text()}") from None
        assert "Traceback" not in self.log.read_text(), self.log.read_text()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Starts a lab: ``lab(yaml, *overrides)`` returns its address; the same one for the same call.

    Instead of a config, a run directory may be given.

    A lab lives as long as the tests of a file: a test that trains asks for one of its
    own, by another seed.
    """
    servers: dict[tuple[str, ...], _Server] = {}

    def start(source: str | Path, *overrides: str) -> str:
        key = (str(source), *overrides)
        if key not in servers:
            folder = tmp_path_factory.mktemp("lab")
            if isinstance(source, str):
                (folder / "config.yaml").write_text(source)
                source = folder / "config.yaml"
            servers[key] = _Server(folder / "log.txt", source, overrides)
        return servers[key].address()

    yield start
    for server in servers.values():
        server.interrupt()
    for server in servers.values():
        server.ended()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # One a file: while it lives, an event loop counts as running, and others cannot start theirs.
    with chromium() as opened:
        yield opened


@pytest.fixture
def problems() -> list[str]:
    """What the browser complained about; a test that provokes something removes it from here."""
    return []


@pytest.fixture
def visit(browser: Browser, problems: list[str]) -> Iterator[Visit]:
    """Opens a page: ``visit(address, view="network", width=1440, height=900, dark=False)``.

    The address is a lab's, or of a file that ends in .html; requests are to go nowhere but there,
    or to what begins with ``within``.
    """
    contexts: list[BrowserContext] = []

    def visit_page(
        address: str,
        view: str = "network",
        *,
        width: int = 1440,
        height: int = 900,
        dark: bool = False,
        touch: bool = False,
        within: str | None = None,
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if dark else "light",
            has_touch=touch,
        )
        contexts.append(context)
        context.set_default_timeout(60_000)
        page: Page = context.new_page()
        _watch(page, within or address, problems)
        page.goto(f"{address}{'' if address.endswith('.html') else '/'}#{view}")
        return page

    yield visit_page
    for context in contexts:
        context.close()
    assert not problems, "\n".join(problems)


def _watch(page: Page, address: str, problems: list[str]) -> None:
    def console(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            problems.append(f"console {message.type}: {message.text} {message.location}")

    def request(sent: Request) -> None:
        if not sent.url.startswith((address, "data:", "blob:")):
            problems.append(f"request to elsewhere: {sent.url}")

    def response(got: Response) -> None:
        if got.status >= 400:
            problems.append(f"{got.status}: {got.request.method} {got.url}")

    def failed(sent: Request) -> None:
        if sent.failure != "net::ERR_ABORTED":  # that is the page's own doing
            problems.append(f"{sent.failure}: {sent.url}")

    page.on("console", console)
    page.on("pageerror", lambda error: problems.append(f"exception: {error}"))
    page.on("request", request)
    page.on("response", response)
    page.on("requestfailed", failed)
