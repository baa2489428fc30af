"""The lab's page without a server: one file, or a folder for any web server.

What thinks and trains in it is a WebAssembly module (``jaxnn.runs.export``), run by a worker
(``page/export/worker.js``); beside that, it is the lab's own page. The page, its worker, the
modules, the network and the examples are all that it needs: it asks for nothing else, and a content
security policy keeps it so.
"""

import base64
import functools
import re
import shutil
import zlib
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from jaxnn.arrays import Tree
from jaxnn.config import Experiment
from jaxnn.data.preparation import PREPARATIONS
from jaxnn.errors import RunError, writing
from jaxnn.files import write_whole
from jaxnn.network import describe, leaves
from jaxnn.runs.export import ExportedModule
from jaxnn.web.assets import PAGE, stylesheet
from jaxnn.web.description import describe_given, describe_training, step_flops
from jaxnn.web.messages import pack

_FILE_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval'; worker-src blob:; "
    "style-src 'unsafe-inline'; img-src data: blob:"
)
_FOLDER_POLICY = (
    "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' blob:; connect-src 'self'"
)

_START = '<script type="module" src="main.js"></script>'
_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\.\.?/[\w./]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function\*?|class|const) (\w+))", re.MULTILINE)


def check_page(path: Path) -> None:
    """Checks that nothing is in the way of a page.

    Raises:
        RunError: if a folder is where a file is to be, or a file or a folder with something in it
            where a folder is to be; or if that cannot be found out.
    """
    with writing(path):
        if _is_file(path):
            if path.is_dir():
                raise RunError(f"{path}: is a folder; choose another name for the page")
        elif path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(
                f"{path}: exists and is not an empty folder; choose another, or a name that ends "
                "in .html for a single file"
            )


def export_page(path: Path, experiment: Experiment, params: Tree, module: ExportedModule) -> int:
    """Writes the page: one file if the path ends in ``.html``, else a folder for a web server.

    Args:
        path: the file, which is replaced if it is there; or the folder, new or empty.
        experiment: what the network belongs to.
        params: its parameters.
        module: what ``export_module`` has made of them.

    Returns:
        The size of what was written, in bytes.

    Raises:
        RunError: if it cannot be written; nothing is left of it then.
    """
    check_page(path)
    with writing(path):
        bundle = zlib.compress(_packed(experiment, params, module), 9)
        if _is_file(path):
            page = _one_file(bundle)
            with write_whole(path) as file:
                file.write(page)
            return len(page)
        files = _folder(bundle)
        path = path.absolute()
        partial = path.with_name(f".{path.name}.{uuid4().hex}.part")
        try:
            partial.mkdir(parents=True)
            for name, content in files.items():
                (partial / name).write_bytes(content)
            if path.exists():
                path.rmdir()
            partial.rename(path)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return sum(map(len, files.values()))


def _is_file(path: Path) -> bool:
    return path.suffix.lower() in (".html", ".htm")


def _one_file(bundle: bytes) -> bytes:
    """Returns the page with all that it needs in it."""
    icon = base64.b64encode((PAGE / "icon.svg").read_bytes()).decode()
    return _index(
        _FILE_POLICY,
        {
            'href="icon.svg"': f'href="data:image/svg+xml;base64,{icon}"',
            '<link rel="stylesheet" href="style.css">': f"<style>\n{stylesheet()}</style>",
            _START: (
                '<script id="bundle" type="application/octet-stream">'
                f"{base64.b64encode(bundle).decode()}</script>\n"
                f'<script id="worker" type="text/plain">\n{_script("worker.js")}</script>\n'
                f'<script type="module">\n{_script("main.js")}</script>'
            ),
        },
    )


def _folder(bundle: bytes) -> dict[str, bytes]:
    """Returns the files of a page for a web server, by name."""
    return {
        # A module, unlike a script, is not even loaded from a disk: who tries that is told why.
        "index.html": _index(_FOLDER_POLICY, {_START: '<script defer src="main.js"></script>'}),
        "style.css": stylesheet().encode(),
        "icon.svg": (PAGE / "icon.svg").read_bytes(),
        "main.js": _script("main.js").encode(),
        "worker.js": _script("worker.js").encode(),
        "bundle.bin": bundle,
    }


def _index(policy: str, replacements: dict[str, str]) -> bytes:
    """Returns ``index.html`` with a content security policy and other elements than the lab's."""
    page = (PAGE / "index.html").read_text(encoding="utf-8")
    charset = '<meta charset="utf-8">'
    meta = f'{charset}\n<meta http-equiv="Content-Security-Policy" content="{policy}">'
    for old, new in {charset: meta, **replacements}.items():
        if page.count(old) != 1:
            raise AssertionError(f"index.html: {old} is not there, or not once")
        page = page.replace(old, new)
    return page.encode()


def _packed(experiment: Experiment, params: Tree, module: ExportedModule) -> bytes:
    """Returns all that the page carries: what ``page/export/local.js`` takes."""
    config, dataset, network, _, _ = experiment
    plain = leaves(network)
    layers = [row for row in describe(network, dataset.in_shape) if row.path in plain]
    lab: dict[str, Any] = {
        "source": "page",
        "path": "",
        **describe_training(config, layers, params),
        **describe_given(dataset),
    }
    splits = module.description["splits"]
    preparation = next((n for n, f in PREPARATIONS.items() if f is dataset.prepare), None)
    known = dataset.prepare is None or preparation is not None
    lab["dataset"] |= {
        "splits": {name: split["count"] for name, split in splits.items()},
        "of": {name: split["of"] for name, split in splits.items()},
        "drawable": lab["dataset"]["drawable"] and known,
        "preparation": preparation,
    }
    header = {
        "lab": lab,
        "description": module.description,
        "flops": step_flops(layers, params),
    }
    arrays = {"plain": module.plain, "relaxed": module.relaxed}
    arrays |= {name: np.ascontiguousarray(a).tobytes() for name, a in module.arrays.items()}
    return pack(header, {name: np.frombuffer(a, np.uint8) for name, a in arrays.items()})


def _script(name: str) -> str:
    """Returns a module of ``page/export`` and all that it imports as one script.

    Each of them has a scope of its own: the body of a function that returns what it exports.
    """
    names: dict[Path, str] = {}
    parts = ['"use strict";\n']

    def taken(path: Path, found: re.Match[str]) -> str:
        other = add((path.parent / found[2]).resolve())
        return f"const {{{found[1].replace(' as ', ': ')}}} = {other};\n"

    def add(path: Path) -> str:
        if path not in names:
            text = _IMPORT.sub(functools.partial(taken, path), path.read_text(encoding="utf-8"))
            exported = ", ".join(found[2] for found in _EXPORT.finditer(text))
            text = _EXPORT.sub(r"\1", text)
            if re.search(r"^(import|export)\b|</script|<!--", text, re.MULTILINE):
                raise AssertionError(f"{path}: cannot be put into one script")
            names[path] = f"module{len(names)}"
            parts.append(
                f"const {names[path]} = (() => {{\n{text}return {{ {exported} }};\n}})();\n"
            )
        return names[path]

    add((PAGE / "export" / name).resolve())
    return "".join(parts)
