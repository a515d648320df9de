"""The page of `skadl app` in headless Chromium: its script runs and shows what is."""

from __future__ import annotations

import html
import shutil
import socket
import subprocess
import threading

import pytest

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")

from skadl import write_dng  # noqa: E402
from skadl.commands.app.server import make_app  # noqa: E402
from skadl.datasets import make_domain  # noqa: E402


@pytest.fixture
def address(session):
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = uvicorn.Config(make_app(session, port), log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()
    listening.close()


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")
def test_page__in_a_browser__lists_files_jobs_and_what_went_wrong(
    session, address, tmp_path
):
    photos = tmp_path / "photos"
    photos.mkdir()
    (pair,) = make_domain("SonyA7S2", 1, size=64, iso=6400, ratio=1, random_state=0)
    write_dng(photos / "night & day.dng", pair.noisy)
    (photos / "damaged.dng").write_bytes(b"II*\0" + bytes(100))
    session.open(str(photos))
    job = session.write(list(session.files), str(tmp_path / "out"), 1.0)
    ended = threading.Event()
    session.worker.submit("write", "", lambda job: ended.set())  # one after the other
    assert ended.wait(60)
    assert job.state == "done"
    words = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        f"--user-data-dir={tmp_path}",
    ]
    words += ["--virtual-time-budget=4000", "--dump-dom", address]
    outcome = subprocess.run(
        [CHROMIUM, *words], capture_output=True, text=True, timeout=120
    )
    page = html.unescape(outcome.stdout)
    assert "night & day.dng" in page and "damaged.dng is damaged" in page
    assert str(tmp_path / "out" / "night & day.dng") in page
