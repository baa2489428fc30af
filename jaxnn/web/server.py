"""The lab's server: one page, what it asks for, and a live connection; for this machine alone.

Over HTTP, GET unless stated; arrays come packed (``jaxnn.web.messages.pack``); what is wrong is
said as JSON, ``{"error": …}``:

``/``, ``/main.js`` and so on
    The page and its files; ``/style.css`` has the styles of all panels.
``/api/lab``
    JSON: the data set, the layers in the order of computation with shapes and formulas, the config,
    and what optimizers and layers there are; see ``jaxnn.web.description``. Where the examples of
    a run are missing, ``dataset.missing`` says so, and what asks for them is refused.
``/api/data/{split}/inputs?start=…&count=…``
    Inputs as the data set stores them, little-endian, at most 16 MiB at a time.
``/api/data/{split}/targets``
    Their classes, int32; of another task the first eight numbers of each, in the units of the
    data, or labels, float32.
``/api/data/{split}/predictions``
    Packed: ``predicted`` (int32), ``confidence`` and ``loss`` (float32) of each example, at the
    ``step`` of the header. While training runs, it is the step at which the first of those
    began who wait for the same. Of another task, ``answers``, of the form of its targets, take the
    place of the first two.
POST ``/api/trace``, ``{"split": …, "index": …}`` or ``{"pixels": …, "target": … or null}``
    Packed: what ``jaxnn.trace`` gives for one example, without the axis of the batch: for layer i
    of ``/api/lab`` ``i.input``, ``i.output``, ``i.d_input``, ``i.d_output``, and ``i.weight``,
    ``i.d_weight`` and so on; ``probabilities`` and ``loss``. In the header are the ``step``, the
    ``predicted`` class, the ``target``, and in ``given`` whether that was given: without one, the
    predicted class is taken for it. Of another task, ``answers`` and ``true`` (outputs,) are in
    the place of probabilities and classes: numbers in the units of the data, or labels.
POST ``/api/prepare``, ``{"width": …, "height": …, "ink": base64 of a byte a pixel}``
    Packed: ``pixels``, the example that a drawing becomes, as ``predict.py`` prepares it.

The live connection is a WebSocket at ``/api/live``. The page sends JSON: ``{"type": …}`` with
"start", "pause", "step", "epoch", "reset"; "set" with a ``learning_rate``, at once; "configure"
with any of ``batch_size``, ``optimizer``, ``model`` and ``seed``, which starts training anew;
"watch" with an ``example`` as for a trace, or null; "ready" when it has drawn a snapshot and wants
another. It gets JSON, "status", "history" (all reports), "report", "lab" (as ``/api/lab``, when
that has changed) and "error"; and bytes, the snapshots: as a trace, of the watched example.

A page from elsewhere can do nothing: the host must be this machine under the server's port, an
origin that is sent must be the page's own, and the live connection does not do without one. What
clients send is limited in size and in time, and so is their number; nothing that they send, or fail
to read, holds training up.
"""

import asyncio
import contextlib
import mimetypes
import os
import socket
import threading
import traceback
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from jaxnn.data.dataset import SPLITS
from jaxnn.errors import JaxnnError
from jaxnn.observe import to_json
from jaxnn.tasks import classification
from jaxnn.web import messages
from jaxnn.web.assets import PAGE, stylesheet
from jaxnn.web.mailbox import Mailbox
from jaxnn.web.patience import PatientProtocol
from jaxnn.web.programs import MOST_SAID, said
from jaxnn.web.session import Session

CLIENTS = 32
"""Live connections at a time."""
CONNECTIONS = 128
"""Connections of any kind at a time."""
UNDER_WAY, COMMAND = 1024 * 1024, 1024
"""Bytes of one live connection's commands that are read before the first of them is done; and what
a command counts besides its own, so that there are never too many."""
LARGEST_ANSWER = 16 * 1024 * 1024
"""Bytes of inputs in one answer."""

_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; connect-src 'self' {live}; object-src 'none'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def listen(port: int | None = None) -> socket.socket:
    """Returns a socket that listens on this machine's loopback address, by default on a free port.

    Raises:
        JaxnnError: if the port is taken or not allowed.
    """
    # Named, for asyncio sends small packets at once (TCP_NODELAY) where it knows that this is TCP.
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":  # elsewhere it would let two servers share a port
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port or 0))
        listener.listen()
    except (OSError, OverflowError) as error:
        listener.close()
        raise JaxnnError(
            f"--port {port}: cannot be used: {getattr(error, 'strerror', None) or error}; "
            "choose another, or leave it out for a free one"
        ) from error
    return listener


@contextlib.contextmanager
def serve(session: Session, listener: socket.socket) -> Iterator[str]:
    """Serves the lab in a thread of its own; yields its address."""
    host, port = listener.getsockname()
    server = uvicorn.Server(
        uvicorn.Config(
            make_app(session, port),
            log_level="critical",  # what goes wrong in the application is told by itself
            access_log=False,
            lifespan="off",
            proxy_headers=False,
            server_header=False,
            http=PatientProtocol,
            ws="websockets-sansio",
            ws_max_size=16 * messages.LARGEST_MESSAGE,
            ws_per_message_deflate=False,
            limit_concurrency=CONNECTIONS,
            timeout_graceful_shutdown=1,
        )
    )
    thread = threading.Thread(target=server.run, args=([listener],), name="server")
    thread.start()
    try:
        yield f"http://{host}:{port}/"
    finally:
        server.should_exit = True
        thread.join()


def make_app(session: Session, port: int) -> ASGIApp:
    """Returns the ASGI application that serves a session at a port."""
    mimetypes.add_type("text/javascript", ".js")  # some systems' tables have another type

    async def style(request: Request) -> Response:
        return Response(stylesheet(), media_type="text/css")

    async def lab(request: Request) -> Response:
        return _json(session.lab)

    async def inputs(request: Request) -> Response:
        examples = _split(session, request)
        start = _number(request, "start", 0, len(examples.targets))
        size = int(np.prod(examples.inputs.shape[1:])) * examples.inputs.itemsize
        most = LARGEST_ANSWER // size
        count = _number(request, "count", min(most, len(examples.targets)), 2**31)
        if count > most:
            raise HTTPException(413, f"count: at most {most} examples at a time, got {count}")
        return _bytes(examples.inputs[start : start + count])

    async def targets(request: Request) -> Response:
        targets, dataset = _split(session, request).targets, session.experiment.dataset
        if dataset.task is classification:
            return _bytes(targets.astype("<i4"))
        return _bytes(said(dataset, targets)[:, :MOST_SAID].astype("<f4"))

    async def predictions(request: Request) -> Response:
        _split(session, request)
        answer: Future[bytes] = Future()
        await _asked(session, session.predictions, request.path_params["split"], answer)
        return _bytes(await asyncio.wrap_future(answer))

    async def trace(request: Request) -> Response:
        example = messages.example(await _body(request))
        return _bytes(await _asked(session, session.trace, example))

    async def prepare(request: Request) -> Response:
        drawing = messages.drawing(await _body(request))
        return _bytes(await _asked(session, session.prepare, drawing))

    connected: set[WebSocket] = set()

    async def live(websocket: WebSocket) -> None:
        if len(connected) >= CLIENTS:
            await websocket.close(1013, "too many pages are open")
            return
        connected.add(websocket)
        try:
            try:
                await websocket.accept()
            except RuntimeError:
                return  # the client has left before it was let in
            await _converse(session, websocket)
        except (JaxnnError, WebSocketDisconnect):
            pass  # the lab ends, or the client has left
        except Exception:
            traceback.print_exc()
        finally:
            connected.discard(websocket)

    async def failed(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException):
            return _json({"error": error.detail}, error.status_code)
        return _json({"error": str(error)}, 422)

    async def left(request: Request, error: Exception) -> Response:
        return _json({"error": "the client has left"}, 400)  # nobody reads it

    async def crashed(request: Request, error: Exception) -> Response:
        traceback.print_exception(error)
        return _json({"error": f"the lab failed to answer: {error!r}"}, 500)

    answers = [
        Route("/lab", lab),
        Route("/data/{split}/inputs", inputs),
        Route("/data/{split}/targets", targets),
        Route("/data/{split}/predictions", predictions),
        Route("/trace", trace, methods=["POST"]),
        Route("/prepare", prepare, methods=["POST"]),
        WebSocketRoute("/live", live),
    ]
    page = StaticFiles(directory=PAGE, html=True)
    app = Starlette(
        routes=[
            Mount("/api", routes=answers),
            Route("/style.css", style),
            Route("/{path:path}", page),
        ],
        exception_handlers={
            HTTPException: failed,
            JaxnnError: failed,
            ClientDisconnect: left,
            Exception: crashed,
        },
    )
    return _guarded(app, port)


def _guarded(app: ASGIApp, port: int) -> ASGIApp:
    """Lets nothing through but what comes from this machine and from the page itself."""
    hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
    origins = {f"http://{host}" for host in hosts}
    policy = _POLICY.format(live=" ".join(f"ws://{host}" for host in sorted(hosts)))
    added = [
        (name.encode(), value.encode())
        for name, value in {
            "content-security-policy": policy,
            "cross-origin-opener-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "x-frame-options": "DENY",
        }.items()
    ]

    def problem(scope: Scope) -> str | None:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        host, origin = headers.get("host", []), headers.get("origin", [])
        if len(host) != 1 or host[0] not in hosts:
            return f"the lab answers at {' and '.join(sorted(hosts))}, not at {', '.join(host)}"
        if len(origin) > 1 or not origins.issuperset(origin):
            return f"the lab answers its own page only, not {', '.join(origin)}"
        if scope["type"] == "websocket" and not origin:
            return "a live connection needs the header Origin, as browsers send it"
        site = headers.get("sec-fetch-site", ["none"])
        if scope["path"].startswith("/api/") and not {"same-origin", "none"}.issuperset(site):
            return "the lab answers its own page only"
        return None

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        refused = problem(scope)
        if scope["type"] == "websocket":
            if refused:
                await receive()
                await send({"type": "websocket.close", "code": 1008, "reason": refused[:100]})
            else:
                await app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                cache = b"no-store" if scope["path"].startswith("/api/") else b"no-cache"
                headers = [*message.get("headers", []), *added, (b"cache-control", cache)]
                message = {**message, "headers": headers}
            await send(message)

        answer: ASGIApp = _json({"error": refused}, 403) if refused else app
        await answer(scope, receive, with_headers)

    return guarded


async def _converse(session: Session, websocket: WebSocket) -> None:
    """Carries a client's commands out, and sends it what is in its mailbox, until it leaves."""
    loop, there = asyncio.get_running_loop(), asyncio.Event()

    def wake() -> None:
        with contextlib.suppress(RuntimeError):  # the server is closing, and its loop is closed
            loop.call_soon_threadsafe(there.set)

    mailbox = Mailbox(wake, session.history)
    waiting, done, obeying = 0, asyncio.Event(), set[asyncio.Task[None]]()

    async def sending() -> None:
        while True:
            await there.wait()
            there.clear()
            for message in mailbox.take():
                if isinstance(message, bytes):
                    await websocket.send_bytes(message)
                else:
                    await websocket.send_text(message)

    async def obey(text: str | bytes) -> None:
        nonlocal waiting
        try:
            await _obey(session, mailbox, text)
        except Exception as error:
            if not isinstance(error, JaxnnError):
                traceback.print_exc()
            mailbox.put("error", to_json({"type": "error", "message": str(error)}))
        finally:
            waiting -= len(text) + COMMAND
            done.set()

    async def receiving() -> None:
        nonlocal waiting
        while True:
            message = await websocket.receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text") or message.get("bytes") or b""
            waiting += len(text) + COMMAND
            task = asyncio.create_task(obey(text))
            obeying.add(task)
            task.add_done_callback(obeying.discard)
            while waiting > UNDER_WAY:  # else what is asked need not be done before more is read
                done.clear()
                await done.wait()

    tasks: list[asyncio.Task[None]] = []
    try:
        await _asked(session, session.join, mailbox)
        tasks = [asyncio.create_task(sending()), asyncio.create_task(receiving())]
        ended, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in ended:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        session.call(session.leave, mailbox)


async def _obey(session: Session, mailbox: Mailbox, text: str | bytes) -> None:
    size = len(text.encode()) if isinstance(text, str) else len(text)
    if size > messages.LARGEST_MESSAGE:
        raise messages.MessageError(
            f"message: at most {messages.LARGEST_MESSAGE} bytes are read, got {size}"
        )
    command = messages.command(text)
    if isinstance(command, messages.Watch):
        await _asked(session, session.watch, mailbox, command.example)
    elif isinstance(command, messages.Set):
        await _asked(session, session.set_learning_rate, command.learning_rate)
    elif isinstance(command, messages.Configure):
        await _asked(session, session.configure, command)
    elif command.type == "ready":
        await _asked(session, session.ready, mailbox)
    else:
        simple: dict[str, Callable[[], None]] = {
            "start": session.start,
            "pause": session.pause,
            "step": session.step,
            "epoch": session.epoch,
            "reset": session.reset,
        }
        await _asked(session, simple[command.type])


def _asked(session: Session, function: Callable[..., Any], *arguments: Any) -> Awaitable[Any]:
    return asyncio.wrap_future(session.call(function, *arguments))


async def _body(request: Request) -> bytes:
    """Returns a request's JSON, a type that a page from elsewhere cannot send just so."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise HTTPException(400, f"content-type: expected application/json, got {kind!r}")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > messages.LARGEST_BODY:
            raise HTTPException(413, f"the body has more than {messages.LARGEST_BODY} bytes")
    return bytes(body)


def _split(session: Session, request: Request) -> Any:
    name = request.path_params["split"]
    if name not in SPLITS:
        raise HTTPException(404, "there are the splits train, validation and test")
    dataset = session.experiment.dataset
    if dataset.missing:
        raise HTTPException(404, dataset.missing)
    return getattr(dataset, name)


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdecimal() and len(text) <= 10 and int(text) <= most):
        raise HTTPException(400, f"{name}: expected a number from 0 to {most}, got {text[:50]!r}")
    return int(text)


def _json(values: Any, status: int = 200) -> Response:
    return Response(to_json(values), status, media_type="application/json")


def _bytes(content: Any) -> Response:
    if isinstance(content, np.ndarray):
        content = np.ascontiguousarray(content, content.dtype.newbyteorder("<")).tobytes()
    return Response(content, media_type="application/octet-stream")
