"""The page's program: what it answers, whom it refuses, what it writes."""

from __future__ import annotations

import io
import json
import time
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

pytest.importorskip("uvicorn")
TestClient = pytest.importorskip("starlette.testclient").TestClient

from skadl import read_raw, write_dng  # noqa: E402
from skadl.commands import describe_file  # noqa: E402
from skadl.commands.app.jobs import CANCELLED, RUNNING, Job, Worker  # noqa: E402
from skadl.commands.app.pictures import Window  # noqa: E402
from skadl.commands.app.server import make_app  # noqa: E402
from skadl.commands.main import main  # noqa: E402
from skadl.datasets import make_domain  # noqa: E402
from skadl.raw.image import UNKNOWN_ISO  # noqa: E402
from skadl.raw.thumbnail import average_blocks  # noqa: E402

PORT = 8000
HERE = f"http://127.0.0.1:{PORT}"
KEY = "the key"


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for index, pair in enumerate(
        make_domain("SonyA7S2", 2, size=64, iso=6400, ratio=1, random_state=0)
    ):
        write_dng(folder / f"{index}.dng", pair.noisy)
    (folder / "damaged.dng").write_bytes((folder / "0.dng").read_bytes()[:900])
    return folder


@pytest.fixture
def page(session):
    client = TestClient(make_app(session, PORT, KEY), base_url=HERE)
    with client:
        assert client.get("/", params={"key": KEY}).url == f"{HERE}/"
        yield client


def finished(page, number):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        (job,) = (
            j for j in page.get("/api/state").json()["jobs"] if j["number"] == number
        )
        if job["state"] not in ("waiting", "running"):
            return job
    raise AssertionError(job)


def open_folder(page, folder):
    answer = page.post("/api/open", json={"place": str(folder)})
    assert answer.status_code == 200
    return {file["name"]: file["number"] for file in answer.json()}


def picture(page, number, **changes):
    asked = {"x": 0, "y": 0, "width": 32, "height": 32, **changes}
    answer = page.get(f"/api/file/{number}/picture", params=asked)
    assert answer.status_code == 200
    return np.asarray(Image.open(io.BytesIO(answer.content)), float)


def test_page__everything_it_loads__is_its_own(page):
    for name in ("", "app.js", "app.css"):
        answer = page.get(f"/{name}")
        assert answer.status_code == 200
        assert "http" not in answer.text  # nothing from elsewhere
        assert "default-src 'self'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "evil.example"},
        {"host": f"evil.example:{PORT}"},
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_page__another_page_asks__is_refused(page, headers, method):
    answer = page.request(method, "/api/state", headers=headers)
    assert answer.status_code == 403


@pytest.mark.parametrize("given", [{}, {"key": ""}, {"key": "another"}, {"key": "é"}])
def test_page__without_the_key__is_refused(session, given):
    client = TestClient(make_app(session, PORT, KEY), base_url=HERE)
    for place in ("/", "/app.js", "/api/state"):
        answer = client.get(place, params=given)
        assert answer.status_code == 403 and "key" in answer.text
    answer = client.post("/api/open", json={"place": "/"}, params=given)
    assert answer.status_code == 403


def test_page__key__is_kept_where_no_other_page_reads_it(session):
    client = TestClient(make_app(session, PORT, KEY), base_url=HERE)
    answer = client.get("/", params={"key": KEY}, follow_redirects=False)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=strict" in cookie
    assert KEY not in answer.headers["location"]


def test_state__names_that_are_no_unicode__are_told(page, session, photos, tmp_path):
    folder = tmp_path / "caf\udce9"
    try:
        folder.mkdir()
    except OSError:
        pytest.skip("this file system has no such names")
    (folder / "x\udce9.dng").write_bytes((photos / "0.dng").read_bytes())
    session.out = folder / "out"
    page.post("/api/open", content=json.dumps({"place": str(folder)}))
    state = page.get("/api/state")
    assert state.status_code == 200 and state.json()["out"] == str(session.out)
    said = {"numbers": [1], "out": state.json()["out"], "strength": 1}
    job = page.post("/api/write", content=json.dumps(said)).json()
    assert finished(page, job["number"])["state"] == "done"
    assert [path.suffix for path in session.out.iterdir()] == [".dng"]


@pytest.mark.parametrize("strength", ["nan", "inf", "-1", "x"])
def test_picture__strength_that_cannot_be__says_why(page, photos, strength):
    number = open_folder(page, photos)["0.dng"]
    window = "x=0&y=0&width=9&height=9"
    answer = page.get(f"/api/file/{number}/picture?{window}&strength={strength}")
    assert answer.status_code == 400 and "error" in answer.json()


def test_action__nested_too_deeply__says_so(page):
    answer = page.post("/api/open", content="[" * 100_000)
    assert answer.status_code == 400


def test_upload__that_fails__leaves_nothing(page, session):
    answer = page.post(f"/api/upload?name={'x' * 300}", content=b"1")
    assert answer.status_code == 400
    assert not list(session.scratch.iterdir())


def test_denoise__a_file__says_its_noise_and_shows_less_of_it(page, photos):
    numbers = open_folder(page, photos)
    assert list(numbers) == ["0.dng", "1.dng", "damaged.dng"]
    number = numbers["0.dng"]
    facts = page.get(f"/api/file/{number}").json()
    assert (facts["width"], facts["height"], facts["iso"]) == (32, 32, 6400)
    assert facts["noise"].startswith("gain") and facts["origin"]
    before = picture(page, number)
    job = page.post("/api/denoise", json={"number": number}).json()
    assert finished(page, job["number"])["state"] == "done"
    assert page.get("/api/state").json()["denoised"] == [number]
    np.testing.assert_array_equal(picture(page, number), before)
    np.testing.assert_array_equal(picture(page, number, strength=0), before)
    after = picture(page, number, strength=1)
    assert (
        np.abs(np.diff(after, axis=0)).mean() < np.abs(np.diff(before, axis=0)).mean()
    )


def test_file__facts_pictures_and_denoising__read_it_once(page, photos, monkeypatch):
    n_read = []
    read = describe_file.read_raw_as_it_is

    def count(path, **given):
        n_read.append(path)
        return read(path, **given)

    monkeypatch.setattr(describe_file, "read_raw_as_it_is", count)
    number = open_folder(page, photos)["0.dng"]
    page.get(f"/api/file/{number}")
    job = page.post("/api/denoise", json={"number": number}).json()
    assert finished(page, job["number"])["state"] == "done"
    for strength in (0, 0.5, 1):
        picture(page, number, strength=strength)
    assert [path.name for path in n_read] == ["0.dng"]


def test_frames__in_memory__are_the_last_two(session, photos):
    numbers = [row["number"] for row in session.open(str(photos))[:2]]
    copy = session.upload_path("third.dng")
    copy.write_bytes((photos / "0.dng").read_bytes())
    numbers.append(session.add_upload(copy)["number"])
    for number in numbers:
        session.facts(number)
    assert list(session._frames) == numbers[1:]


def test_picture__window__is_that_part_of_the_whole(page, photos):
    number = open_folder(page, photos)["0.dng"]
    whole = picture(page, number)
    part = picture(page, number, x=5, y=7, width=9, height=4)
    np.testing.assert_array_equal(part, whole[7:11, 5:14])
    assert picture(page, number, side=8).shape == (8, 8, 3)
    assert picture(page, number, x=999, y=-5).shape[1] == 1  # moved into the frame


def test_damaged_file__has_a_sentence_and_costs_no_other(page, photos, tmp_path):
    numbers = open_folder(page, photos)
    answer = page.get(f"/api/file/{numbers['damaged.dng']}")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("damaged.dng is damaged")
    out = tmp_path / "new" / "folder"
    said = {"numbers": list(numbers.values()), "out": str(out), "strength": 0.5}
    job = finished(page, page.post("/api/write", json=said).json()["number"])
    assert [bool(row["error"]) for row in job["result"]] == [False, False, True]
    assert sorted(path.name for path in out.iterdir()) == ["0.dng", "1.dng"]
    kept = (out / "0.dng").read_bytes()
    said["strength"] = 1
    job = finished(page, page.post("/api/write", json=said).json()["number"])
    assert [row["kept"] for row in job["result"]] == [True, True, False]
    assert (out / "0.dng").read_bytes() == kept
    written, given = (
        read_raw(folder / "0.dng").normalised() for folder in (out, photos)
    )
    assert np.abs(np.diff(written)).mean() < np.abs(np.diff(given)).mean()


def test_upload__dropped_file__is_removed_with_its_entry(page, session, photos):
    content = (photos / "1.dng").read_bytes()
    answer = page.post("/api/upload?name=../../x.dng", content=content)
    number = answer.json()["number"]
    assert answer.json()["name"] == "x.dng"
    (path,) = session.scratch.rglob("*.dng")
    assert path.read_bytes() == content
    for other in "yz":
        page.post(f"/api/upload?name={other}.dng", content=content)
    page.post("/api/remove", json={"number": number})
    assert not path.exists()
    page.post("/api/upload?name=again.dng", content=content)
    names = [file["name"] for file in page.get("/api/state").json()["files"]]
    assert names == ["y.dng", "z.dng", "again.dng"]


@pytest.mark.parametrize(
    ("action", "said", "words"),
    [
        ("open", {"place": "/no/such"}, "there is no file or folder"),
        ("open", {"place": ""}, "there is no file or folder"),
        ("open", {}, "the request lacks"),
        ("denoise", {"number": 9}, "no longer in the list"),
        ("write", {"numbers": [], "out": "x", "strength": 1}, "no file is chosen"),
        ("write", {"numbers": [], "out": "x", "strength": 2}, "from 0 to 1"),
        ("check", {"place": "/no/such"}, "there is no folder"),
        ("model", {"path": "/no/such"}, "no"),
        ("open", {"place": None}, "lacks or mistakes"),
        ("open", ["place"], "lacks or mistakes"),
        ("open", {"place": "~no-such-user/x"}, "there is no user 'no-such-user'"),
        ("model", {"path": "~no-such-user/x"}, "there is no user 'no-such-user'"),
        ("write", {"numbers": 1, "out": "", "strength": 1}, "lacks or mistakes"),
        ("write", {"numbers": [], "out": 1, "strength": 1}, "lacks or mistakes"),
        ("fit", {"place": "", "model": 1, "sources": True}, "lacks or mistakes"),
    ],
)
def test_action__that_cannot_be__says_why(page, action, said, words):
    answer = page.post(f"/api/{action}", json=said)
    assert answer.status_code == 400
    assert words in answer.json()["error"]


def test_write__a_file_without_iso__needs_none(page, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    image = make_domain("SonyA7S2", 1, size=256, iso=6400, random_state=0)[0].noisy
    write_dng(folder / "a.dng", replace(image, sensor="New One", iso=UNKNOWN_ISO))
    files = open_folder(page, folder)
    assert page.get(f"/api/file/{files['a.dng']}").json()["iso"] is None
    asked = {"numbers": list(files.values()), "out": str(tmp_path / "out")}
    job = page.post("/api/write", json=asked | {"strength": 1}).json()
    (row,) = finished(page, job["number"])["result"]
    assert row["error"] is None and (tmp_path / "out" / "a.dng").exists()


def test_open__folder_without_raw_files__says_so(page, tmp_path):
    (tmp_path / "empty").mkdir()
    answer = page.post("/api/open", json={"place": str(tmp_path / "empty")})
    assert "holds no RAW file" in answer.json()["error"]


def test_fit__model_that_exists__is_not_replaced(page, tmp_path):
    (tmp_path / "a.safetensors").write_text("precious")
    said = {"place": str(tmp_path), "model": str(tmp_path / "a.safetensors")}
    answer = page.post("/api/fit", json={**said, "sources": False})
    assert "already" in answer.json()["error"]


def test_check__folder_without_pairs__ends_with_the_reason(page, tmp_path):
    job = page.post("/api/check", json={"place": str(tmp_path)}).json()
    ended = finished(page, job["number"])
    assert ended["state"] == "failed"
    assert str(tmp_path) in ended["message"] or "no" in ended["message"]


def test_worker__cancelled_jobs__end_and_the_next_is_done():
    worker = Worker()
    begun = []

    def endless(job):
        begun.append(job)
        while True:
            job.step(0, 1)

    first = worker.submit("write", "a", endless)
    second = worker.submit("write", "b", endless)
    third = worker.submit("write", "c", lambda job: "done")
    second.stop.set()
    first.stop.set()
    worker.close()
    assert (first.state, second.state) == (CANCELLED, CANCELLED)
    assert second not in begun
    assert third.state == CANCELLED or third.result == "done"


def test_job__time_left__follows_the_stage_that_runs(monkeypatch):
    now = 0.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    job = Job(1, "fit", "m", state=RUNNING)
    for total, pause in ((100, 0.2), (40, 1.0)):  # seconds a step, of two stages
        for done in range(total + 1):
            job.step(done, total)
            left = job.as_dict()["seconds_left"]
            if 0 < done < total:
                assert left == pytest.approx((total - done) * pause)
            now += pause


def test_average_blocks__any_step__keeps_means():
    planes = np.random.default_rng(0).random((4, 12, 18))
    for step in (1, 2, 3, 6):
        shrunk = average_blocks(planes, step)
        assert shrunk.shape == (4, 12 // step, 18 // step)
        assert shrunk.mean() == pytest.approx(planes.mean())
    assert Window(0, 0, 18, 12, side=6).cut(planes).shape == (4, 4, 6)


def test_app__without_its_extra__says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "uvicorn", None)
    outcome = CliRunner().invoke(main, ["app", "--no-browser"])
    assert outcome.exit_code == 1
    assert 'pip install "skadl[app]"' in outcome.output


def test_app__ctrl_c__ends_it_without_an_error(monkeypatch, tmp_path):
    uvicorn = pytest.importorskip("uvicorn")

    def interrupted(self, sockets):
        raise KeyboardInterrupt

    monkeypatch.setattr(uvicorn.Server, "run", interrupted)
    result = CliRunner().invoke(main, ["app", "--no-browser", "--out", str(tmp_path)])
    assert result.exit_code == 0
    assert "ended" in result.output and "Aborted" not in result.output
