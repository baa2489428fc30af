"""The page's modules: what may import what, so that they fit into one script, and any client in."""

import re
from functools import cache
from pathlib import Path

from jaxnn.config import LAYERS, LOSSES, OPTIMIZERS, SCHEDULES
from jaxnn.web.assets import PAGE

MODULES = sorted(path.relative_to(PAGE) for path in PAGE.rglob("*.js"))
IMPORT = re.compile(r'^import \{[^}]*\} from "(\.\.?/[\w./]+)";$', re.MULTILINE)
MAIN, PANELS, SERVER = map(Path, ("main.js", "panels.js", "server.js"))
PAGES = {MAIN, Path("export/main.js")}
STARTS = {*PAGES, Path("export/worker.js")}
"""Modules that nothing imports."""
CLIENTS = {SERVER, Path("export/local.js"), Path("export/main.js")}
"""What speaks with the outside."""


@cache
def text(module: Path) -> str:
    return (PAGE / module).read_text(encoding="utf-8")


def imports(module: Path) -> list[Path]:
    """What a module imports, each of which there must be."""
    base = (PAGE / module).parent
    found = [(base / name).resolve().relative_to(PAGE) for name in IMPORT.findall(text(module))]
    assert set(found) <= set(MODULES), module
    return found


def code(module: Path) -> str:
    """A module without what is said about it."""
    return re.sub(r"//.*$|^\s*/?\*.*$", "", text(module), flags=re.MULTILINE)


def test_modules_can_be_put_into_one_script() -> None:
    for module in MODULES:
        words = re.findall(r"\bimport\b", code(module))
        assert len(IMPORT.findall(code(module))) == len(words), module
        assert not re.search(r"^(await|export (default|\*|\{))", code(module), re.MULTILINE), module
        assert len(text(module).splitlines()) <= 500, module


def test_no_module_imports_itself() -> None:
    def below(module: Path, path: tuple[Path, ...]) -> None:
        assert module not in path, path
        for other in imports(module):
            below(other, (*path, module))

    for module in STARTS:
        below(module, ())


def test_every_module_is_used() -> None:
    used = {other for module in MODULES for other in imports(module)}
    assert set(MODULES) - used == STARTS


def test_nothing_but_a_client_speaks_with_the_outside() -> None:
    speaking = r"\bfetch\b|WebSocket|XMLHttpRequest|EventSource|\bWorker\b|baseURI|\bapi/|https?:"
    for module in MODULES:
        assert bool(re.search(speaking, code(module))) == (module in CLIENTS), module
        assert not CLIENTS & set(imports(module)) or module in PAGES, module


def test_panels_do_not_know_each_other() -> None:
    for module in MODULES:
        for other in imports(module):
            own_folder = other.parent in (Path(), module.parent)
            assert own_folder or module == PANELS, f"{module} imports {other}"


def test_facts_about_layers_come_from_the_library() -> None:
    """No script knows the name of a layer, a loss, an optimizer or a schedule."""
    words = {
        "constant",
        "dense",
        "linear",
        "quantile",
        "serial",
        "trace",
    }  # said of other things too
    names = set().union(LAYERS, LOSSES, OPTIMIZERS, SCHEDULES) - words
    for module in MODULES:
        assert not names & set(re.findall(r"\w+", code(module))), module


def test_addresses_are_relative() -> None:
    for name in ("index.html", "style.css"):
        assert not re.search(r"""(href|src)=["']/|url\(["']?/""", text(Path(name)))
