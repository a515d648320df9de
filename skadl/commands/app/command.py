"""``skadl app``: open the page, and serve it until Ctrl-C."""

from __future__ import annotations

import secrets
import socket
import tempfile
import threading
import webbrowser
from pathlib import Path

import click

from skadl.commands.terminal import failure, say
from skadl.support.extras import import_extra

_HOST = "127.0.0.1"  # this machine alone


@click.command()
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Number at the end of the page's address. By default one that is free.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("denoised"),
    show_default=True,
    help="Folder for results, until another is typed into the page.",
)
@click.option(
    "--browser/--no-browser",
    "opens",
    default=True,
    show_default=True,
    help="Open the page in a browser.",
)
def app(port: int, out: Path, opens: bool) -> None:
    """Denoise photographs, check pairs and fit in a browser.

    The page is served by this command, to this machine only, and to who has the key in
    its address: no account, no upload, nothing that needs a network. It ends with
    Ctrl-C.
    """
    try:
        uvicorn = import_extra("uvicorn", "app", "skadl app")
        import_extra("starlette", "app", "skadl app")
    except ImportError as error:
        raise click.ClickException(str(error)) from error
    from skadl.commands.app.server import make_app
    from skadl.commands.app.session import Session

    try:
        listening = socket.create_server((_HOST, port))
    except OSError as error:
        raise failure(
            OSError(
                f"port {port} cannot be used ({error.strerror}); leave --port out, and "
                "a free one is taken."
            )
        ) from error
    key = secrets.token_urlsafe(16)
    address = f"http://{_HOST}:{listening.getsockname()[1]}/?key={key}"
    with listening, tempfile.TemporaryDirectory(prefix="skadl-app-") as scratch:
        session = Session(Path(scratch), out.resolve())
        try:
            config = uvicorn.Config(
                make_app(session, listening.getsockname()[1], key),
                log_level="error",
                timeout_graceful_shutdown=1,
            )
            say([f"skadl is at {address} (Ctrl-C ends it)"])
            if opens:
                opening = threading.Timer(0.5, webbrowser.open, [address])
                opening.daemon = True
                opening.start()
            uvicorn.Server(config).run(sockets=[listening])
        except KeyboardInterrupt:  # the way to end it
            say(["", "skadl app has ended."])
        finally:
            session.close()
