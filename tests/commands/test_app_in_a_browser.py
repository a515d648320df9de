"""The page of `skadl app` in headless Chromium, used as a person uses it."""

from __future__ import annotations

import contextlib
import functools
import http.server
import socket
import threading

import pytest
from chromium import CHROMIUM, chromium

uvicorn = pytest.importorskip("uvicorn")
pytest.importorskip("starlette")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

from skadl import read_raw, write_dng  # noqa: E402
from skadl.commands.app.server import make_app  # noqa: E402
from skadl.datasets import make_domain  # noqa: E402

# How much neighbours differ, of a picture as it is shown.
ROUGHNESS = """(() => {
  const image = document.getElementById("%s");
  const canvas = document.createElement("canvas");
  canvas.width = image.naturalWidth;
  canvas.height = image.naturalHeight;
  const drawn = canvas.getContext("2d");
  drawn.drawImage(image, 0, 0);
  const values = drawn.getImageData(0, 0, canvas.width, canvas.height).data;
  let sum = 0;
  for (let i = 4; i < values.length; i += 1) sum += Math.abs(values[i] - values[i - 4]);
  return sum / values.length;
})()"""
ERROR = "document.getElementById('error')"
SHOWN = "document.getElementById('%s').src.includes('%s')"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with chromium(tmp_path_factory.mktemp("profile")) as started:
        yield started


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    shot = make_domain("SonyA7S2", 2, size=256, iso=6400, ratio=1, random_state=0)
    for name, pair in zip(("night & day", "dusk"), shot, strict=True):
        write_dng(folder / f"{name}.dng", pair.noisy)
    (folder / "damaged.dng").write_bytes(b"II*\0" + bytes(100))
    return folder


@pytest.fixture
def address(session):
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    config = uvicorn.Config(make_app(session, port, "key"), log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    yield f"http://127.0.0.1:{port}/"
    server.should_exit = True
    thread.join()
    listening.close()


def open_folder(tab, photos):
    tab.type("#place", str(photos))
    tab.click("#open button")
    tab.until("document.querySelectorAll('#files li').length === 3")
    # The page opens the first file by itself.
    tab.until(f"!{ERROR}.hidden && {ERROR}.textContent.includes('damaged.dng is dam')")


def choose(tab, name):
    """Click a file of the list; its picture is shown when this returns."""
    number = tab.run(
        f"[...document.querySelectorAll('#files .name')].findIndex("
        f"(button) => button.textContent === '{name}') + 1"
    )
    tab.click(f"#files li:nth-child({number}) .name")
    return number


def test_page__file__is_compared_zoomed_moved_weakened_and_written(
    browser, session, address, photos, tmp_path
):
    browser.requests.clear()
    tab = browser.open(f"{address}?key=key")
    open_folder(tab, photos)
    choose(tab, "night & day.dng")
    tab.until("document.getElementById('facts').textContent.includes('6400')")
    tab.until(SHOWN % ("after", "strength=1"))
    tab.until("document.getElementById('after').complete")
    noisy, denoised = tab.run(ROUGHNESS % "before"), tab.run(ROUGHNESS % "after")
    assert 0 < denoised < 0.97 * noisy
    assert tab.run("document.getElementById('busy').textContent") == ""

    # The slider: what is left of the line is cut off the denoised picture.
    cut = "parseFloat(document.getElementById('after').style.clipPath.split(' ').pop())"
    line = "document.getElementById('line').style.left"
    assert tab.run(line) == "50%"
    before = tab.run(cut)
    tab.click("#split", 0.8)
    assert 75 < float(tab.run(line).rstrip("%")) < 85
    assert tab.run(cut) > before

    # Zoom: one pixel of the picture is one or two of the screen; then it can be moved.
    # (A window of 128 pixels is smaller than the stage, so 200 % shows all of it.)
    for zoom in (1, 2):
        tab.click(f"[data-zoom='{zoom}']")
        tab.until(f"document.getElementById('after').style.width === '{128 * zoom}px'")
    width = tab.run("document.getElementById('after').getBoundingClientRect().width")
    assert width == 256
    tab.click("[data-zoom='fit']")
    tab.until("document.getElementById('stage').className === 'fit'")

    # Strength 0 is the picture as it is; a half lies between.
    tab.click("#strength", 0.001)
    tab.until(SHOWN % ("after", "strength=0"))
    tab.until("document.getElementById('after').complete")
    assert tab.run("document.getElementById('strength-shown').textContent") == "0 %"
    assert tab.run(ROUGHNESS % "after") == noisy
    tab.click("#strength", 0.5)
    tab.until(
        SHOWN % ("after", "strength=0.")
        + " && "
        + "document.getElementById('after').complete"
    )
    assert denoised < tab.run(ROUGHNESS % "after") < noisy

    tab.type("#out", str(tmp_path / "new"))
    tab.click("#write button[value=one]")
    written = tmp_path / "new" / "night & day.dng"
    tab.until(
        f"document.getElementById('jobs-denoise').textContent.includes('{written}')"
    )
    assert read_raw(written).iso == 6400
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    elsewhere = [url for url in browser.requests if not url.startswith(address)]
    assert all(url.startswith(("data:", "blob:")) for url in elsewhere)


def test_page__picture_larger_than_its_place__is_moved_by_the_mouse(
    browser, session, address, tmp_path
):
    (pair,) = make_domain("SonyA7S2", 1, size=640, iso=6400, ratio=1, random_state=0)
    write_dng(tmp_path / "large.dng", pair.noisy)
    tab = browser.open(f"{address}?key=key", 390, 844)
    tab.type("#place", str(tmp_path / "large.dng"))
    tab.click("#open button")
    tab.until(SHOWN % ("before", "width=320"))
    tab.click("[data-zoom='2']")
    tab.until(SHOWN % ("before", "width=") + " && !" + SHOWN % ("before", "side="))
    x, y = tab.middle("#stage")
    left = "new URL(document.getElementById('before').src).searchParams.get('x')"
    before = int(tab.run(left))
    tab.drag((x, y), (x - 40, y))
    tab.until(f"Number({left}) === {before + 20}")  # two pixels of the screen each
    assert tab.run("document.documentElement.scrollWidth") <= 390


def test_page__damaged_file__says_so_and_the_next_one_is_shown(
    browser, session, address, photos
):
    tab = browser.open(f"{address}?key=key")
    open_folder(tab, photos)
    choose(tab, "damaged.dng")
    tab.until(
        f"!{ERROR}.hidden && {ERROR}.textContent.includes('damaged.dng is damaged')"
    )
    choose(tab, "dusk.dng")
    tab.until(SHOWN % ("after", "strength=1"))
    assert tab.run(f"{ERROR}.hidden")


def test_page__two_tabs__share_the_files_and_show_their_own(
    browser, session, address, photos
):
    first, second = (
        browser.open(f"{address}?key=key"),
        browser.open(f"{address}?key=key"),
    )
    open_folder(first, photos)
    second.until("document.querySelectorAll('#files li').length === 3")
    numbers = [choose(first, "dusk.dng"), choose(second, "night & day.dng")]
    shown = "document.getElementById('after').src"
    for tab, number in zip((first, second), numbers, strict=True):
        tab.until(
            f"{shown}.includes('/api/file/{number}/') && "
            + SHOWN % ("after", "strength=1")
        )
    assert first.run(shown) != second.run(shown)
    first.click(f"#files li:nth-child({numbers[1]}) button:last-child")  # takes it off
    second.until("document.querySelectorAll('#files li').length === 2")
    assert len(session.files) == 2


@contextlib.contextmanager
def elsewhere(folder):
    """A page of another address of this machine."""
    handler = functools.partial(QuietHandler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/page.html"
        server.shutdown()
        thread.join()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *words):
        pass


def test_page__another_origin__reaches_nothing(
    browser, session, address, photos, tmp_path
):
    session.open(str(photos))
    (tmp_path / "page.html").write_text("<title>Another page</title>")
    with elsewhere(tmp_path) as other:
        tab = browser.open(other)
        for options in ("{}", "{mode: 'no-cors'}"):
            seen = tab.run(
                f"fetch('{address}api/state', {options}).then("
                "(answer) => answer.text(), () => '')"
            )
            assert seen == ""
        tab.run(
            f"fetch('{address}api/remove', {{method: 'POST', mode: 'no-cors', "
            "body: '{\"number\": 1}'}).then(() => '', () => '')"
        )
        loads = tab.run(
            "new Promise((settle) => { const image = new Image();"
            "image.onload = () => settle(true); image.onerror = () => settle(false);"
            f"image.src = '{address}api/file/1/picture?x=0&y=0&width=9&height=9'; }})"
        )
        assert not loads
        framed = tab.run(
            "new Promise((settle) => { const frame = document.createElement('iframe');"
            "frame.onload = () => settle(frame.contentDocument);"
            f"frame.src = '{address}'; document.body.append(frame); }})"
        )
        assert framed is None
    assert len(session.files) == 3


def test_page__fit_that_ended__compares_the_model_with_the_noisy_frames(
    browser, session, address
):
    stages = [("noisy", 0, 37.39), ("start", 0, 41.3), ("fine-tuning", 100, 41.5)]
    report = {
        "stages": [
            dict(zip(("name", "n_iter", "psnr"), s, strict=True)) for s in stages
        ],
        "domains": [],
        "notes": ["all of the training kept."],
    }
    session.worker.submit("fit", "m", lambda job: {"model": "m", "report": report})
    tab = browser.open(f"{address}?key=key")
    tab.click("#tab-fit")
    shown = "document.getElementById('jobs-fit').textContent"
    tab.until(f"{shown}.includes('Noisy frames: 37.39 dB')")
    assert "skadl: 41.30 dBYour model: 41.50 dB" in tab.run(shown)
