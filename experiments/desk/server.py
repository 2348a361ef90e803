"""The desk's server: a page, a stream of what happens, and one place to send commands to.

It listens on loopback alone, knows its reader by a token, and refuses other hosts and origins.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
    StreamingResponse,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from evobourse.agents.errors import AgentError
from evobourse.evolve.errors import EvolveError
from evobourse.experiments.desk.player import Player, Shown
from evobourse.experiments.errors import ConfigError
from evobourse.market.errors import MarketError

ADDRESS = "127.0.0.1"
MOST_BYTES = 16_384
LOOK_SECONDS = 0.05
ANSWER_SECONDS = 10.0
BEAT_SECONDS = 10.0
FILES = {"/": "page.html"} | {f"/{name}": name for name in ("desk.css", "desk.js", "charts.js")}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
        "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
_REFUSALS = (AgentError, ConfigError, EvolveError, MarketError)


class OwnHostAlone:
    """Refuses requests that name another host or come from another origin, and seals answers.

    A page elsewhere whose name is made to lead here still sends its own name as host; one that
    sends a command from elsewhere sends its origin.
    """

    def __init__(self, app: ASGIApp, port: int) -> None:
        self._app = app
        self._hosts = {f"{ADDRESS}:{port}", f"localhost:{port}"}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass on what is for us."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        given = [value for key, value in scope["headers"] if key == b"host"]
        origin = request.headers.get("origin")
        host = request.headers.get("host", "").lower()
        answer: Response | None = None
        if len(given) != 1 or host not in self._hosts:
            answer = PlainTextResponse("this desk answers to its own address alone\n", 421)
        elif origin is not None and origin.lower() not in {f"http://{own}" for own in self._hosts}:
            answer = PlainTextResponse("this desk takes nothing from other origins\n", 403)

        async def sealed(message: Any) -> None:
            if message["type"] == "http.response.start":
                own = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        await (answer or self._app)(scope, receive, sealed)


def make_app(player: Player, port: int, token: str) -> Starlette:
    """Make the desk's web application.

    Parameters
    ----------
    player
        Plays the session, and has been started.
    port
        On which it is served.
    token
        What the address that is opened first must hold; a cookie holds it from then on.
    """
    cookie = f"desk-{port}"  # cookies know no ports: two desks need two names

    def known(request: Request) -> bool:
        return hmac.compare_digest(request.cookies.get(cookie, "").encode(), token.encode())

    async def page(request: Request) -> Response:
        given = request.query_params.get("token")
        if request.url.path == "/" and given is not None:
            if not hmac.compare_digest(given.encode(), token.encode()):
                return PlainTextResponse("a wrong token; open the address that was printed\n", 403)
            answer = RedirectResponse("/", 303)
            answer.set_cookie(cookie, token, httponly=True, samesite="strict", path="/")
            return answer
        return FileResponse(Path(__file__).with_name(FILES[request.url.path]))

    def guarded(
        handle: Callable[[Request], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def checked(request: Request) -> Response:
            if not known(request):
                return JSONResponse({"error": "open the address that the terminal printed"}, 403)
            return await handle(request)

        return checked

    async def act(request: Request) -> Response:
        kind = request.headers.get("content-type", "").partition(";")[0].strip()
        if kind != "application/json":
            return JSONResponse({"error": "expected application/json"}, 415)
        body = b""
        try:
            async for piece in request.stream():
                body += piece
                if len(body) > MOST_BYTES:
                    return JSONResponse({"error": f"over {MOST_BYTES} bytes; say it shorter"}, 413)
            command = json.loads(body)
            if not isinstance(command, dict):
                raise ConfigError("expected a JSON object with do")
            done = player.ask(command)
        except ClientDisconnect:
            return Response(status_code=400)
        except (ValueError, RecursionError):
            return JSONResponse({"error": "the body is no JSON"}, 400)
        except _REFUSALS as error:
            return JSONResponse({"error": _line(error)}, 400)
        try:
            # a turn in which agents think takes minutes: what was asked then happens after it
            result = await asyncio.wait_for(
                asyncio.shield(asyncio.wrap_future(done)), ANSWER_SECONDS
            )
        except TimeoutError:
            done.add_done_callback(lambda one: _tell(player, one.exception()))
            return JSONResponse({"waiting": "the market is busy; it happens after this turn"}, 202)
        except _REFUSALS as error:
            return JSONResponse({"error": _line(error)}, 400)
        return JSONResponse({"done": result})

    async def stream(request: Request) -> Response:
        if request.method == "HEAD":
            # an endless body holds its connection, on which a browser sends what comes next
            return Response(media_type="text/event-stream")
        return StreamingResponse(changes(player, request), media_type="text/event-stream")

    routes = [Route(path, page) for path in FILES]
    routes += [
        Route("/stream", guarded(stream)),
        Route("/act", guarded(act), methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(OwnHostAlone, port=port)])


async def changes(player: Player, request: Request) -> AsyncIterator[bytes]:
    """Yield what has changed for a reader as server-sent events, everything at first."""
    sent: dict[str, Any] = {}
    rows: dict[str, tuple[int, int]] = {}
    looked: Shown | None = None
    quiet = 0.0
    while not await request.is_disconnected():
        shown = player.shown
        if shown is looked:
            quiet += LOOK_SECONDS
            if quiet >= BEAT_SECONDS:
                quiet = 0.0
                yield b":\n\n"
            await asyncio.sleep(LOOK_SECONDS)
            continue
        looked, quiet = shown, 0.0
        lines = {}
        for name, line in shown.lines.items():
            edition, first = rows.get(name, (-1, 0))
            first = first if edition == line.edition else 0
            if (edition, first) != (line.edition, line.days):
                fresh = [row.as_json() for row in line.rows[first : line.days]]
                lines[name] = {"from": first, "parent": line.parent, "rows": fresh}
            rows[name] = line.edition, line.days
        parts = {key: part for key, part in shown.parts.items() if sent.get(key) is not part}
        sent = dict(shown.parts)
        text = json.dumps({"lines": lines, "parts": parts}, separators=(",", ":"))
        yield b"data: " + text.encode() + b"\n\n"
        await asyncio.sleep(LOOK_SECONDS)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _tell(player: Player, error: BaseException | None) -> None:
    if error is not None:
        player.say(_line(error))


def listen(port: int) -> socket.socket:
    """Take a port of loopback, any free one for 0.

    Raises
    ------
    ConfigError
        It is taken, or not ours to take.
    """
    own = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        own.bind((ADDRESS, port))
        own.listen()
    except OSError as error:
        own.close()
        raise ConfigError(f"port {port}: {error.strerror}; name another one, or 0") from error
    return own


def new_token() -> str:
    """Return a token that nobody guesses."""
    return secrets.token_urlsafe(24)


class Server(uvicorn.Server):
    """A server that a first Ctrl-C ends, whoever is still looking."""

    @classmethod
    def of(cls, app: Starlette) -> Server:
        """Make the server of an application, without a log."""
        return cls(
            uvicorn.Config(
                app, log_level="critical", access_log=False, server_header=False, lifespan="off"
            )
        )

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop, and wait for nobody."""
        self.should_exit = self.force_exit = True


def serve(app: Starlette, own: socket.socket) -> None:
    """Serve until Ctrl-C or SIGTERM."""
    with contextlib.suppress(KeyboardInterrupt):
        Server.of(app).run([own])
