"""The scripts of examples/ that are not gallery pages, run as a person runs them."""

from __future__ import annotations

import ast
import os
import re
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.model_selection import GroupKFold
from tiny_fits import (
    BRIEF,
    TARGET,
    TINY,
    search_for,
    source_pairs,
    target_pairs,
    tiny_denoiser,
)

import skadl
from skadl import (
    SourcePool,
    export_onnx,
    load,
    load_pairs,
    read_raw,
    write_dng,
)
from skadl.estimators.start import FROM_TRAINED
from skadl.prediction import correction
from skadl.raw.mosaic import pack_mosaic

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name, *arguments):
    return run_script(EXAMPLES / name, *arguments)


def run_script(script, *arguments):
    words = [sys.executable, str(script), *map(str, arguments)]
    # The skadl under test, installed or not, whatever the folder of the script.
    places = [str(Path(skadl.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, places))}
    return subprocess.run(
        words, check=True, capture_output=True, text=True, env=environment
    )


def test_denoise_with_onnxruntime__is_the_network_with_the_means_of_planes_kept(
    tmp_path, monkeypatch
):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    # Halos of 12 packed pixels and a frame that needs six tiles.
    fitted = tiny_denoiser(safeguard=False, precision="float32", n_iter=0)
    fitted.fit(target_pairs())
    fitted.module_.head.weight.data += 0.05
    noisy = target_pairs()[0].noisy
    mosaic = np.tile(noisy.mosaic, (34, 68))[:-6, :-2]
    frame = replace(noisy, mosaic=mosaic, ratio=1.0)
    raw = write_dng(tmp_path / "noisy.dng", frame)
    model = export_onnx(fitted, tmp_path / "model.onnx", TARGET, frame.iso)
    out = tmp_path / "denoised.npy"
    run_example("denoise_with_onnxruntime.py", model, raw, out)
    monkeypatch.setattr(correction, "local_means", lambda blocks, _: 0 * blocks.level)
    wanted = fitted.predict(replace(frame, mosaic=mosaic.astype(np.float32)))
    planes, before = wanted.packed(), pack_mosaic(mosaic, frame.cfa)
    kept = before.mean(axis=(1, 2)) - fitted.sensors_.get(TARGET).offset_at(frame.iso)
    planes += (kept - planes.mean(axis=(1, 2)))[:, None, None]
    assert np.abs(planes - before).max() > 1
    assert_allclose(pack_mosaic(np.load(out), frame.cfa), planes, atol=0.05)


def brief_copy(name, folder):
    """The script with a few steps of a tiny network, as a person would change it."""
    text = (EXAMPLES / name).read_text(encoding="utf-8")
    line = re.compile(r"^PARAMETERS = .*$", re.MULTILINE)
    assert len(line.findall(text)) == 1
    brief = {**TINY, **BRIEF}
    del brief["device"], brief["random_state"]  # the scripts set them
    copy = folder / name
    copy.write_text(line.sub(f"PARAMETERS = {brief}", text), encoding="utf-8")
    return copy


def test_search_on_dask__parameters__are_shorter_than_the_defaults():
    """What the script says of the length of a fit holds."""
    text = (EXAMPLES / "search_on_dask.py").read_text(encoding="utf-8")
    (stated,) = re.findall(r"^PARAMETERS = (.*)$", text, re.MULTILINE)
    for name, value in ast.literal_eval(stated).items():
        assert value < FROM_TRAINED[name]


@pytest.fixture(scope="module")
def raw_folders(tmp_path_factory):
    """Folders of pairs of two cameras."""
    folder = tmp_path_factory.mktemp("raw")
    for place, pairs in (("mine", target_pairs()), ("other", source_pairs())):
        for role in ("noisy", "clean"):
            (folder / place / role).mkdir(parents=True)
        table = ["noisy,clean,ratio,scene"]
        for index, pair in enumerate(pairs):
            files = [f"noisy/{index}.dng", f"clean/{index}.dng"]
            for file, image in zip(files, (pair.noisy, pair.clean), strict=True):
                write_dng(folder / place / file, image)
            table.append(f"{files[0]},{files[1]},{pair.noisy.ratio},{index}")
        (folder / place / "pairs.csv").write_text("\n".join(table), encoding="utf-8")
    return folder


def test_fit_and_denoise_folder__write_what_the_library_does(raw_folders, tmp_path):
    model, out = tmp_path / "model.safetensors", tmp_path / "out"
    script = brief_copy("fit_folder.py", tmp_path)
    places = (raw_folders / "mine", model, raw_folders / "other")
    told = run_script(script, *places).stdout
    assert f"{len(target_pairs())} pairs found" in told
    assert source_pairs()[0].sensor in told
    noisy = raw_folders / "mine" / "noisy"
    run_example("denoise_folder.py", model, noisy, out)
    assert [p.name for p in sorted(out.iterdir())] == [
        p.name for p in sorted(noisy.iterdir())
    ]
    wanted = load(model).predict(noisy / "0.dng", dtype=np.float32)
    written = read_raw(out / "0.dng")
    scale = written.white_level / wanted.white_level
    assert_allclose(written.mosaic / scale, wanted.mosaic, atol=0.51 / scale)


def test_denoise_folder__damaged_file__costs_no_other(
    raw_folders, tmp_path, monkeypatch, capsys
):
    fitted = tiny_denoiser(**BRIEF).fit(target_pairs())
    fitted.save(tmp_path / "model")
    folder, out = tmp_path / "card", tmp_path / "out"
    folder.mkdir()
    whole = (raw_folders / "mine" / "noisy" / "0.dng").read_bytes()
    (folder / "a.dng").write_bytes(whole[:100])
    (folder / "b.dng").write_bytes(whole)
    words = [str(EXAMPLES / "denoise_folder.py"), str(tmp_path / "model")]
    monkeypatch.setattr(sys, "argv", [*words, str(folder), str(out)])
    with pytest.raises(SystemExit, match="1 of 2"):  # a sentence: exit code 1
        runpy.run_path(words[0], run_name="__main__")
    assert "a.dng" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["b.dng"]


def test_search_on_dask__every_candidate__gets_the_score_of_one_process(
    raw_folders, tmp_path
):
    distributed = pytest.importorskip("distributed")
    script = brief_copy("search_on_dask.py", tmp_path)
    places = (raw_folders / "mine", raw_folders / "other")
    # In this process, which the script reaches as it would reach another machine.
    options = dict(n_workers=1, threads_per_worker=1, dashboard_address=":0")
    options |= dict(processes=False, protocol="tcp")
    with distributed.LocalCluster(**options) as cluster:
        told = run_script(script, *places, cluster.scheduler_address).stdout
    scores = [float(score) for score in re.findall(r"^([\d.]+) dB", told, re.M)]
    search = search_for(
        tiny_denoiser(**BRIEF),
        {"queue_size": [10, 40], "learning_rate": [2e-4, 5e-4]},
        cv=GroupKFold(3),
        refit=False,
    )
    pairs, others = (list(load_pairs(place)) for place in places)
    scenes = [pair.scene for pair in pairs]
    search.fit(pairs, groups=scenes, source_pairs=SourcePool(others))
    assert_allclose(scores, search.cv_results_["mean_test_score"], atol=0.011)
