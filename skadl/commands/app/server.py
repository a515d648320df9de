"""The page's addresses, served to this machine and to this page alone."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import (
    FileResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    Response,
)
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from skadl.commands.app.pictures import MOST_SIDE, Window
from skadl.commands.app.session import Session

_PAGE = Path(__file__).parent / "page"
_TYPES = {"": "index.html", "app.js": "app.js", "app.css": "app.css"}
_HEADERS = {
    # Nothing from elsewhere, and no other page may show this one.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class OwnPageOnly:
    """Refuses what other pages ask, and other people on this machine.

    A page from elsewhere may send requests to 127.0.0.1, and may give its own name that
    address; the headers Host, Origin and Sec-Fetch-Site tell. Any user of the machine
    reaches the port; the key in the address, then kept in a cookie, tells who began it.
    """

    def __init__(self, app: ASGIApp, port: int, key: str) -> None:
        self.app, self.key = app, key
        self.cookie = f"skadl-{port}"  # cookies do not keep ports apart
        self.hosts = {f"127.0.0.1:{port}", f"localhost:{port}"}
        self.origins = {f"http://{host}" for host in self.hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            request = Request(scope)
            headers = request.headers
            origin = headers.get("origin")
            if (
                headers.get("host") not in self.hosts
                or (origin is not None and origin not in self.origins)
                or headers.get("sec-fetch-site", "none") not in ("none", "same-origin")
            ):
                refused = PlainTextResponse(
                    "skadl answers its own page on this machine only.", 403
                )
                await refused(scope, receive, send)
                return
            if self._is_key(request.query_params.get("key", "")):
                begun = RedirectResponse("/", 303, headers=_HEADERS)
                begun.set_cookie(
                    self.cookie, self.key, httponly=True, samesite="strict"
                )
                await begun(scope, receive, send)
                return
            if not self._is_key(request.cookies.get(self.cookie, "")):
                refused = PlainTextResponse(
                    "Open the whole address that skadl app printed, with its key.", 403
                )
                await refused(scope, receive, send)
                return
        await self.app(scope, receive, send)

    def _is_key(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.key.encode())


def make_app(session: Session, port: int, key: str) -> Starlette:
    """Build the application of one session, for its port and whoever has its key."""

    def page(request: Request) -> Response:
        name = _TYPES[request.url.path.lstrip("/")]
        return FileResponse(_PAGE / name, headers=_HEADERS)

    def state(request: Request) -> Response:
        return _json(session.state())

    def facts(request: Request) -> Response:
        return _json(session.facts(request.path_params["number"]))

    def picture(request: Request) -> Response:
        asked = request.query_params
        window = Window(
            *(int(asked[name]) for name in ("x", "y", "width", "height")),
            side=int(asked.get("side", MOST_SIDE)),
        )
        strength = asked.get("strength")
        if strength is not None and not 0 <= float(strength) <= 1:
            raise ValueError(f"strength must be from 0 to 1, got {strength!r}.")
        drawn = session.picture(
            request.path_params["number"],
            window,
            None if strength is None else float(strength),
        )
        return Response(drawn, media_type="image/png", headers=_HEADERS)

    def check_picture(request: Request) -> Response:
        path = session.check_picture(request.path_params["number"])
        return FileResponse(path, headers=_HEADERS)

    async def upload(request: Request) -> Response:
        path = session.upload_path(request.query_params.get("name", ""))
        try:
            with path.open("wb") as file:
                async for part in request.stream():
                    await run_in_threadpool(file.write, part)
        except BaseException:  # the disk is full, or the page has gone
            shutil.rmtree(path.parent, ignore_errors=True)
            raise
        return _json(session.add_upload(path))

    fields = {
        "place": str,
        "out": str,
        "model": str,
        "path": str,
        "number": int,
        "numbers": list,
        "strength": (int, float),
        "sources": bool,
    }
    actions: dict[str, Callable[[dict], Any]] = {
        "open": lambda said: session.open(said["place"]),
        "remove": lambda said: session.remove(said["number"]),
        "denoise": lambda said: session.denoise(said["number"]).as_dict(),
        "write": lambda said: session.write(
            said["numbers"], said["out"], said["strength"]
        ).as_dict(),
        "check": lambda said: session.check(said["place"]).as_dict(),
        "fit": lambda said: session.fit(
            said["place"], said["model"], said["sources"]
        ).as_dict(),
        "model": lambda said: session.use_model(said["path"]),
        "cancel": lambda said: session.worker.jobs[said["number"]].stop.set(),
    }

    async def act(request: Request) -> Response:
        action = actions.get(request.path_params["action"])
        if action is None:
            return _json({"error": "no such action"}, 404)
        said = await request.json()
        if not isinstance(said, dict):
            raise TypeError(f"{said!r:.60}")
        for name, value in said.items():
            if not isinstance(value, fields.get(name, object)):
                raise TypeError(f"{name!r}: {value!r:.60}")
        return _json(await run_in_threadpool(action, said))

    def refuse(request: Request, error: Exception) -> Response:
        if isinstance(error, (KeyError, TypeError)):
            return _json({"error": f"the request lacks or mistakes {error}."}, 400)
        if isinstance(error, RecursionError):
            return _json({"error": "the request is nested too deeply."}, 400)
        return _json({"error": str(error)}, 400)

    kinds = (
        ValueError,
        OSError,
        ArithmeticError,
        KeyError,
        TypeError,
        RecursionError,
    )
    return Starlette(
        routes=[
            *(Route(f"/{name}", page) for name in _TYPES),
            Route("/api/state", state),
            Route("/api/file/{number:int}", facts),
            Route("/api/file/{number:int}/picture", picture),
            Route("/api/check/{number:int}/picture", check_picture),
            Route("/api/upload", upload, methods=["POST"]),
            Route("/api/{action:str}", act, methods=["POST"]),
        ],
        middleware=[Middleware(OwnPageOnly, port=port, key=key)],
        exception_handlers=dict.fromkeys(kinds, refuse),
    )


class _Ascii(JSONResponse):
    """JSON that also holds names that are no Unicode, which UTF-8 cannot."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode("ascii")


def _json(content: Any, status: int = 200) -> Response:
    return _Ascii(content, status, headers=_HEADERS)
