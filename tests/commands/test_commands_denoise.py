"""``skadl denoise``: whole files or one line each, and nothing lost on the way."""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from dataclasses import replace

import numpy as np
import pytest
import rawpy
import tifffile
from click.testing import CliRunner
from tiny_fits import BRIEF, target_pairs, tiny_denoiser

import skadl
from skadl import ADLDenoiser, RawImage, read_raw, write_dng
from skadl.commands import main as cli
from skadl.commands.denoise import denoise
from skadl.commands.describe_file import describe_file
from skadl.prediction.model import DEFAULT_MEMORY_LIMIT
from skadl.raw.image import UNKNOWN_ISO

SENSOR = "SonyA7S2"  # of the tiny fit


def photograph(seed=0, n_blocks=(3, 4), **facts):
    """A mosaic of blocks with noise, in whole counts."""
    rng = np.random.default_rng(seed)
    light = np.kron(rng.uniform(600, 3000, n_blocks), np.ones((16, 16)))
    mosaic = rng.normal(light, 30).clip(0, 4095).astype(np.uint16)
    facts = {"cfa": "GRBG", "sensor": SENSOR, "iso": 800, **facts}
    return RawImage(mosaic, black_level=512, white_level=4095, **facts)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    tiny_denoiser(**BRIEF).fit(target_pairs()).save(path)
    return path


@pytest.fixture(scope="module")
def one_hot_model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "one-hot.safetensors"
    fitted = tiny_denoiser(**BRIEF, conditioning="sensor_iso").fit(target_pairs())
    fitted.save(path)
    return path


@pytest.fixture
def run(model, monkeypatch, tmp_path):
    """Run the command in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments, model=model):
        first = [] if model is None else [str(model)]
        words = ["denoise", *first, *map(str, arguments)]
        return CliRunner().invoke(cli.main, words)

    return invoke


@pytest.fixture
def card(tmp_path):
    """A folder of two photographs."""
    folder = tmp_path / "card"
    folder.mkdir()
    for seed, name in enumerate(("a.dng", "B.DNG")):
        write_dng(folder / name, photograph(seed))
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Good files


def test_denoise__folder__gives_a_dng_for_each_photograph(run, card, tmp_path):
    (card / "notes.txt").write_text("no photograph")
    (card / ".hidden.dng").write_bytes(b"")
    (card / "inside").mkdir()
    outcome = run("card")
    assert outcome.exit_code == 0, outcome.output
    assert outcome.stderr == ""  # no bar where nobody watches
    assert names(tmp_path / "skadl-denoised") == ["B.dng", "a.dng"]
    for line, name in zip(outcome.stdout.splitlines(), ("B.dng", "a.dng"), strict=True):
        assert line.startswith("Written: ") and name in line


def test_denoise__result__is_what_predict_gives_with_fractions(run, card, model):
    assert run("card/a.dng", "--out", "made/for/it").exit_code == 0
    image = read_raw(card / "a.dng")
    expected = skadl.load(model).predict(image, dtype=np.float32).mosaic
    assert (expected != np.rint(expected)).any()
    written = read_raw("made/for/it/a.dng")
    scale = written.white_level / image.white_level
    assert scale == 16 and written.black_level == scale * image.black_level
    below_top = expected <= image.mosaic.max()
    counts = written.mosaic / scale
    np.testing.assert_allclose(counts[below_top], expected[below_top], atol=0.5 / 16)
    facts = ("sensor", "iso", "cfa")
    assert [getattr(written, f) for f in facts] == [getattr(image, f) for f in facts]


def test_denoise__result__is_nowhere_brighter_than_the_file(run, card, monkeypatch):
    def brighten(self, image, *arguments, dtype, **options):
        return image.with_mosaic(image.mosaic.astype(dtype) + 0.25)

    monkeypatch.setattr(ADLDenoiser, "predict", brighten)
    assert run("card/a.dng").exit_code == 0
    image, written = read_raw(card / "a.dng"), read_raw("skadl-denoised/a.dng")
    assert written.mosaic.max() == 16 * image.mosaic.max()
    assert np.median(written.mosaic - 16.0 * image.mosaic) == 4


def test_denoise__history__says_model_options_and_version(run, card):
    run("card/a.dng", "--strength", "0.5", "--self-ensemble", "2")
    comment = (
        "denoised with tiny.safetensors, strength 0.5, self-ensemble of 2; counts and "
        f"levels multiplied by 16; written by skadl {skadl.__version__}"
    )
    with open("skadl-denoised/a.dng", "rb") as file:
        assert comment.encode("utf-16-le") in file.read()


def test_denoise__strength_0__gives_the_counts_of_the_file(run, card):
    run("card/a.dng", "--strength", "0", "--format", "npy")
    counts = np.load("skadl-denoised/a.npy")
    np.testing.assert_array_equal(counts, read_raw(card / "a.dng").mosaic)
    assert counts.dtype == np.float32


def test_denoise__tiff__is_scaled_to_16_bits(run, card):
    run("card/a.dng", "--format", "tiff")
    with tifffile.TiffFile("skadl-denoised/a.tiff") as tiff:
        facts = json.loads(tiff.pages[0].description)
    assert (facts["scale"], facts["cfa"]) == (16, "GRBG")


def test_denoise__compress__is_smaller_and_the_same(run, card):
    run("card/a.dng", "--out", "plain")
    run("card/a.dng", "--out", "small", "--compress")
    plain, small = read_raw("plain/a.dng"), read_raw("small/a.dng")
    np.testing.assert_array_equal(plain.mosaic, small.mosaic)
    assert small.path.stat().st_size < plain.path.stat().st_size


def test_denoise__two_jobs__give_what_one_gives(run, card):
    run("card", "--out", "one")
    outcome = run("card", "--out", "two", "--jobs", "2", "--json")
    assert outcome.exit_code == 0, outcome.output
    listed = [file["input"] for file in json.loads(outcome.stdout)["files"]]
    assert listed == ["card/B.DNG", "card/a.dng"]
    for name in ("a.dng", "B.dng"):
        one, two = read_raw(f"one/{name}"), read_raw(f"two/{name}")
        np.testing.assert_array_equal(one.mosaic, two.mosaic)


def test_denoise__json__is_all_of_stdout(run, card, tmp_path):
    (card / "c.dng").write_bytes(b"II*\0")
    run("card/a.dng")
    outcome = run("card", tmp_path, "--json")
    assert outcome.exit_code == 1
    facts = json.loads(outcome.stdout)
    assert set(facts) == {"model", "files"}
    by_input = {file.pop("input"): file for file in facts["files"]}
    new, kept = by_input["card/B.DNG"], by_input["card/a.dng"]
    assert new.pop("seconds") > 0
    assert new.pop("noise")["source"] == "measured"
    assert new == {"status": "written", "output": "skadl-denoised/B.dng", "notes": []}
    assert (kept["status"], kept["output"]) == ("kept", "skadl-denoised/a.dng")
    assert by_input["card/c.dng"].keys() == {"status", "error"}
    assert by_input[str(tmp_path)]["error"].startswith("there is no RAW file in")


# Files that are there


def test_denoise__result_that_is_there__is_kept_unless_forced(run, card, tmp_path):
    result = tmp_path / "skadl-denoised" / "a.dng"
    result.parent.mkdir()
    result.write_text("earlier")
    outcome = run("card/a.dng")
    assert outcome.exit_code == 0 and outcome.stdout.startswith("Kept: ")
    assert result.read_text() == "earlier"
    assert run("card/a.dng", "--force").stdout.startswith("Written: ")
    assert read_raw(result).sensor == SENSOR


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_denoise__result_would_replace_an_input__is_refused(run, card, options):
    before = {path: path.read_bytes() for path in card.iterdir()}
    (card / "link.dng").symlink_to(card / "a.dng")
    outcome = run("card/a.dng", "card/link.dng", "--out", "card", *options)
    assert outcome.exit_code == 1
    assert "card/a.dng: its result card/a.dng would replace a file" in outcome.stderr
    assert {path: path.read_bytes() for path in before} == before


def test_denoise__two_inputs_of_one_name__only_the_first_is_written(run, card):
    write_dng("A.DNG", photograph(5))
    outcome = run("card/a.dng", "A.DNG")
    assert outcome.exit_code == 1
    assert "A.DNG: its result would replace that of card/a.dng" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1
    expected = read_raw(card / "a.dng").mosaic.mean()
    written = read_raw("skadl-denoised/a.dng").mosaic.mean() / 16
    assert written == pytest.approx(expected, rel=0.01)


# Bad files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"no photograph" * 200, "is damaged, incomplete or not a RAW file"),
        (b"", "is empty (0 bytes)"),
        (None, "there is no file"),
    ],
)
def test_denoise__bad_file_among_good__one_line_and_the_rest(run, card, content, words):
    bad = card / "aa.dng"
    if content is not None:
        bad.write_bytes(content)
    outcome = run("card/a.dng", bad, "card/B.DNG")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: ") and words in outcome.stderr
    assert "aa.dng" in outcome.stderr and len(outcome.stderr.splitlines()) == 1
    assert names(card.parent / "skadl-denoised") == ["B.dng", "a.dng"]


def test_denoise__libraw_prints_too__only_our_line_is_seen(
    run, card, capfd, monkeypatch
):
    def print_and_raise(path):  # as LibRaw does where data end too soon
        os.write(2, b"Unexpected end of file\n")
        raise rawpy.LibRawIOError(b"Input/output error")

    monkeypatch.setattr(rawpy, "imread", print_and_raise)
    with pytest.raises(ValueError):
        read_raw(card / "a.dng")
    assert capfd.readouterr().err == "Unexpected end of file\n"
    outcome = run("card/a.dng")
    assert capfd.readouterr().err == ""
    assert len(outcome.stderr.splitlines()) == 1
    os.write(2, b"heard")  # again
    assert capfd.readouterr().err == "heard"


def test_denoise__no_stderr_at_all__works(run, card, monkeypatch):
    dup = os.dup

    def dup_unless_closed(descriptor):
        if descriptor == 2:
            raise OSError(9, "Bad file descriptor")
        return dup(descriptor)

    monkeypatch.setattr(os, "dup", dup_unless_closed)
    assert run("card/a.dng").exit_code == 0


def test_denoise__bug_met_in_one_file__does_not_stop_the_others(run, card, monkeypatch):
    predict = ADLDenoiser.predict

    def stumble(self, image, *arguments, **options):
        if image.path.name == "a.dng":
            raise KeyError("bug")
        return predict(self, image, *arguments, **options)

    monkeypatch.setattr(ADLDenoiser, "predict", stumble)
    outcome = run("card")
    assert outcome.stderr == "Error: a.dng: KeyError: 'bug'\n"
    assert names(card.parent / "skadl-denoised") == ["B.dng"]


def test_denoise__no_memory__says_so(run, card, monkeypatch):
    def run_out(*arguments, **options):
        raise MemoryError

    monkeypatch.setattr(ADLDenoiser, "predict", run_out)
    outcome = run("card/a.dng")
    assert outcome.stderr == (
        "Error: a.dng: denoising it needs more memory than there is.\n"
    )


def test_denoise__disk_full__leaves_nothing(run, card, monkeypatch):
    def fail(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("skadl.raw.dng._lay_out", fail)
    outcome = run("card/a.dng")
    assert outcome.exit_code == 1 and "No space left" in outcome.stderr
    assert names(card.parent / "skadl-denoised") == []


def test_denoise__strange_letters_in_a_file__do_not_reach_the_terminal(run, card):
    write_dng(card / "a.dng", photograph(sensor="Evil\x1b[2J\nCam"))
    outcome = run("card/a.dng", "--json")
    assert outcome.exit_code == 1
    assert "\x1b" not in outcome.output and len(outcome.stderr.splitlines()) == 1


# The model


@pytest.fixture
def universal(monkeypatch, model):
    """A small model in the place of the network that comes with skadl."""
    loaded = []

    def load_universal(device="auto"):
        loaded.append(device)
        return skadl.load(model, device=device)

    name = "skadl.estimators.loading.load_universal"
    monkeypatch.setattr(name, load_universal, raising=False)
    return loaded


def noisy_ramp(sensor="New One"):
    """Noise of gain 0.5 and read noise 3 counts at rising brightness."""
    rng = np.random.default_rng(0)
    light = np.tile(np.linspace(50, 3000, 192), (192, 1))
    mosaic = 0.5 * rng.poisson(light / 0.5) + 512 + 3 * rng.standard_normal(light.shape)
    counts = np.rint(mosaic).clip(0, 4095).astype(np.uint16)
    return RawImage(counts, "RGGB", 512, 4095, sensor, 800)


def test_denoise__no_model__takes_skadls_own_and_estimates_the_noise(
    run, universal, card
):
    write_dng(card / "a.dng", noisy_ramp())
    outcome = run("card/a.dng", "--device", "cpu", model=None)
    assert outcome.exit_code == 0, outcome.output
    assert universal == ["cpu"]
    assert "noise estimated from the image itself: gain 0.4" in outcome.stdout
    outcome = run("card/a.dng", "--json", "--force", model=None)
    record = json.loads(outcome.stdout)
    assert record["model"] == "universal"
    noise = record["files"][0]["noise"]
    assert noise["source"] == "estimated"
    assert noise["gain"] == pytest.approx(0.5, rel=0.15)


def test_denoise__noise_known_to_the_model_or_given__is_said(run, card):
    assert "noise measured on pairs of this sensor" in run("card/a.dng").stdout
    outcome = run("card/B.DNG", "--noise", "800,0.5,3")
    assert "noise as given" in outcome.stdout


def test_denoise__model_as_option_or_as_first__is_the_same(run, card, model):
    results = []
    for words, first in ((("--model", model), None), ((), model)):
        outcome = run("card/a.dng", "--format", "npy", "--force", *words, model=first)
        assert outcome.exit_code == 0, outcome.output
        results.append(np.load("skadl-denoised/a.npy"))
    np.testing.assert_array_equal(*results)


def test_denoise__two_models_or_no_raw_file__is_a_usage_error(run, card, model):
    outcome = run("card/a.dng", "--model", model)
    assert outcome.exit_code == 2 and "are both models" in outcome.stderr
    outcome = run()
    assert outcome.exit_code == 2 and "no RAW file to denoise" in outcome.stderr


# Sensors and ISO


def test_denoise__unknown_sensor__says_which_are_known_and_what_to_add(run, card):
    write_dng(card / "a.dng", photograph(sensor="New One"))
    outcome = run("card/a.dng")
    assert outcome.exit_code == 1
    for words in (
        "a.dng",
        "'New One'",
        f"['{SENSOR}']",
        "--sensor NAME",
        "--noise ISO",
    ):
        assert words in outcome.stderr


def test_denoise__unknown_sensor_and_one_hot_model__leaves_noise_out(
    run, card, one_hot_model
):
    write_dng(card / "a.dng", photograph(sensor="New One"))
    outcome = run("card/a.dng", model=one_hot_model)
    assert "--sensor NAME." in outcome.stderr and "--noise" not in outcome.stderr


def test_denoise__sensor__is_used_and_the_camera_keeps_its_name(run, card):
    write_dng(card / "a.dng", photograph(sensor="New One"))
    assert run("card/a.dng", "--sensor", SENSOR).exit_code == 0
    run("card/B.DNG")
    assert read_raw("skadl-denoised/a.dng").sensor == "New One"


def test_denoise__noise__stands_for_a_sensor(run, card, model):
    write_dng(card / "a.dng", photograph(sensor="New One"))
    noise = ("--noise", "400,0.5,3", "--noise", "1600,2,9")
    assert run("card/a.dng", *noise, "--format", "npy").exit_code == 0
    image = read_raw(card / "a.dng")
    info = skadl.SensorInfo(
        "GRBG", 512, 4095, gain={400: 0.5, 1600: 2}, read_noise={400: 3, 1600: 9}
    )
    expected = skadl.load(model).predict(image, info, dtype=np.float32).mosaic
    expected = np.minimum(expected, image.mosaic.max())
    np.testing.assert_array_equal(np.load("skadl-denoised/a.npy"), expected)


@pytest.mark.parametrize("noise", ["800", "800,1", "800,-1,2", "800,x,2", "1,inf,2"])
def test_denoise__noise_that_is_none__is_a_usage_error(run, card, noise):
    outcome = run("card/a.dng", "--noise", noise)
    assert outcome.exit_code == 2 and "three positive numbers" in outcome.stderr


@pytest.mark.parametrize(
    ("black", "levels"),
    [("600", 600.0), ("590,600,610,600", (590.0, 600.0, 610.0, 600.0))],
)
def test_denoise__levels_given__are_those_of_the_result(run, card, black, levels):
    given = ("--black-level", black, "--white-level", 4000)
    outcome = run(card, *given, "--strength", 0, "--out", "out")
    assert outcome.exit_code == 0, outcome.output
    result = read_raw("out/a.dng")
    assert (result.black_level, result.white_level) == (levels, 4000)
    np.testing.assert_array_equal(result.mosaic, photograph().mosaic)


def test_denoise__white_level_given__serves_a_file_that_says_a_wrong_one(run, card):
    wrong = RawImage(photograph().mosaic, "GRBG", 512, 1023, SENSOR, 800)
    write_dng(card / "a.dng", wrong)
    outcome = run(card / "a.dng", "--out", "out")
    assert outcome.exit_code == 1
    assert "above the white level 1023" in outcome.stderr
    assert "--black-level and --white-level" in outcome.stderr
    outcome = run(card / "a.dng", "--white-level", 4095, "--out", "out")
    assert outcome.exit_code == 0, outcome.output


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--black-level", "512,512"),
        ("--black-level", "dark"),
        ("--black-level", "-1"),
        ("--black-level", "nan"),
        ("--white-level", "0"),
    ],
)
def test_denoise__level_that_is_none__is_a_usage_error(run, card, option, value):
    outcome = run(card, option, value)
    assert outcome.exit_code == 2 and option in outcome.stderr


def test_denoise__noise_for_a_one_hot_model__is_a_usage_error(run, card, one_hot_model):
    outcome = run("card/a.dng", "--noise", "800,1,3", model=one_hot_model)
    assert outcome.exit_code == 2 and "'sensor_iso'; leave it out" in outcome.stderr


def test_denoise__file_without_iso__asks_for_it_and_takes_it(run, card):
    write_dng(card / "a.dng", photograph(iso=UNKNOWN_ISO))
    outcome = run("card/a.dng")  # its noise was measured in the fit, at ISOs
    assert outcome.exit_code == 1 and "--iso NUMBER" in outcome.stderr
    assert not (card.parent / "skadl-denoised" / "a.dng").exists()
    assert run("card/a.dng", "--iso", "1600").exit_code == 0
    assert read_raw("skadl-denoised/a.dng").iso == 1600


@pytest.mark.parametrize("profile", [None, [(1e-6, 7e-5)]])
def test_denoise__file_without_iso__needs_none_where_noise_goes_by_none(
    run, card, profile
):
    facts = {"sensor": "New One", "iso": UNKNOWN_ISO, "noise_profile": profile}
    image = photograph(n_blocks=(16, 16), **facts)
    write_dng(card / "a.dng", image)
    outcome = run("card/a.dng", "--json", model=None)
    assert outcome.exit_code == 0, outcome.output
    (row,) = json.loads(outcome.stdout)["files"]
    assert row["noise"]["source"] == ("file" if profile else "estimated")
    # As at an ISO in the middle, and the result claims none.
    model = skadl.load_universal("cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an estimate
        photos = [replace(image, iso=iso) for iso in (image.iso, 800.0)]
        denoised = [model.predict(photo) for photo in photos]
    np.testing.assert_array_equal(*(photo.mosaic for photo in denoised))
    assert describe_file("skadl-denoised/a.dng")[0]["iso"] is None
    with pytest.raises(ValueError, match="a.dng does not say its ISO"):
        read_raw("skadl-denoised/a.dng")


@pytest.mark.parametrize(
    ("sensor", "words", "why"),
    [
        ("SonyA7S2", (), "from published figures of this camera goes by the ISO"),
        ("New One", ("--noise", "800,1,3"), "its noise as given goes by the ISO"),
    ],
)
def test_denoise__file_without_iso__is_refused_where_noise_goes_by_it(
    run, card, sensor, words, why
):
    write_dng(card / "a.dng", photograph(sensor=sensor, iso=UNKNOWN_ISO))
    outcome = run("card/a.dng", *words, model=None)
    assert outcome.exit_code == 1 and why in outcome.stderr
    assert "--iso NUMBER" in outcome.stderr


def test_denoise__file_without_iso__is_refused_by_a_model_of_isos(
    run, card, one_hot_model
):
    write_dng(card / "a.dng", photograph(iso=UNKNOWN_ISO))
    outcome = run("card/a.dng", model=one_hot_model)
    assert outcome.exit_code == 1 and "--iso NUMBER" in outcome.stderr


def test_predict__path_without_iso__needs_it_for_the_facts_of_a_sensor(tmp_path):
    image = photograph(n_blocks=(16, 16), sensor="New One", iso=UNKNOWN_ISO)
    write_dng(tmp_path / "a.dng", image)
    model = skadl.load_universal("cpu")
    info = skadl.SensorInfo("GRBG", 512, 4095, gain={800: 1.0}, read_noise={800: 3.0})
    with pytest.raises(ValueError, match="SensorInfo goes by the ISO; give iso="):
        model.predict(tmp_path / "a.dng", info)
    assert model.predict(tmp_path / "a.dng", info, iso=800).iso == 800
    with pytest.warns(UserWarning, match="estimated from the image itself") as told:
        denoised = model.predict(tmp_path / "a.dng")
    assert "ISO" not in str(told[0].message)
    assert repr(denoised).endswith("iso=unknown, ratio=1)")


def test_denoise__file_without_camera__takes_the_sensor_given(run, card, monkeypatch):
    monkeypatch.setattr("skadl.raw.exif.camera_name", lambda make, model: "")
    outcome = run("card/a.dng")
    assert outcome.exit_code == 1 and "--sensor NAME" in outcome.stderr
    assert run("card/a.dng", "--sensor", SENSOR).exit_code == 0


def test_denoise__iso_outside_the_fit__is_noted(run, card):
    outcome = run("card/a.dng", "--iso", "51200", "--json")
    assert outcome.exit_code == 0
    assert outcome.stderr.startswith("Note: a.dng: ISO 51200 lies outside the range")
    (file,) = json.loads(outcome.stdout)["files"]
    assert "ISO 51200" in file["notes"][0]


# The command itself


def test_denoise__what_is_no_model__one_line(run, card):
    outcome = run("card/B.DNG", "--model", "card/a.dng", model="card/B.DNG")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: ") and "model" in outcome.stderr
    assert len(outcome.stderr.splitlines()) == 1


def test_denoise__folder_that_cannot_be_made__one_line(run, card):
    outcome = run("card", "--out", "card/a.dng/x")
    assert outcome.exit_code == 1
    assert outcome.stderr.startswith("Error: cannot write to the folder")


def test_denoise__compress_without_imagecodecs__says_how_to_get_it(
    run, card, monkeypatch
):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    outcome = run("card", "--compress")
    assert outcome.exit_code == 1 and "pip install 'skadl[dng]'" in outcome.stderr


@pytest.mark.parametrize(
    "arguments",
    [(), ("card", "--jobs", "0"), ("card", "--strength", "2"), ("card", "--iso", "0")],
)
def test_denoise__wrong_argument__exit_code_2(run, card, arguments):
    outcome = run(*arguments)
    assert outcome.exit_code == 2 and "Traceback" not in outcome.output


def test_denoise__default_memory__is_that_of_the_library():
    (memory,) = (option for option in denoise.params if option.name == "memory")
    assert memory.default == DEFAULT_MEMORY_LIMIT


def test_denoise__help__fits_a_terminal(run):
    outcome = CliRunner().invoke(cli.main, ["denoise", "--help"], terminal_width=80)
    assert outcome.exit_code == 0
    assert max(map(len, outcome.stdout.splitlines())) <= 80
    assert "skadl denoise DSC0001.ARW" in outcome.stdout
