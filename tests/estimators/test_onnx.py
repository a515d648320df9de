"""ONNX files: the network as onnxruntime, an independent program, computes it."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose
from tiny_fits import TARGET, target_pairs, tiny_denoiser

from skadl.estimators.model_files.onnx import METADATA_ENTRY, export_onnx
from skadl.network.choice import NETWORKS
from skadl.noise.noise_level import expected_noise
from skadl.noise.sensors import SensorInfo
from skadl.raw.mosaic import CFA_PATTERNS, to_common_geometry

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

UNSEEN = dict(
    black_level=64.0, white_level=1023.0, gain={100: 0.5}, read_noise={100: 2.0}
)


@pytest.fixture(scope="module", params=NETWORKS)
def denoiser(request):
    fitted = tiny_denoiser(network=request.param, n_levels=3).fit(target_pairs())
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():  # far from untrained, so that every weight counts
        for parameter in fitted.module_.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=generator)
    return fitted


def run_onnx(path, planes):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(["denoised"], {"noisy": planes})[0]


def run_torch(denoiser, name, info, iso, ratio, planes):
    noise = expected_noise(info, iso, ratio)
    codes = torch.as_tensor(denoiser.conditioning_.vector(name, iso, ratio, noise))
    with torch.no_grad():
        return denoiser.module_(torch.as_tensor(planes), codes[None]).numpy()


def facts_of(path):
    properties = {p.key: p.value for p in onnx.load(path).metadata_props}
    return json.loads(properties[METADATA_ENTRY])


@pytest.mark.parametrize("shape", [(1, 4, 8, 8), (2, 4, 24, 40), (1, 4, 68, 12)])
def test_export__any_batch_and_size__same_as_torch(denoiser, tmp_path, shape):
    path = export_onnx(denoiser, tmp_path / "m.onnx", TARGET, 800, 4.0)
    multiple = facts_of(path)["multiple"]
    shape = (*shape[:2], *(side + -side % multiple for side in shape[2:]))
    planes = np.random.default_rng(0).uniform(0, 1, shape).astype(np.float32)
    info = denoiser.sensors_.get(TARGET)
    wanted = run_torch(denoiser, TARGET, info, 800, 4.0, planes)
    assert np.abs(wanted - planes).max() > 0.01
    atol = 1e-5 * np.abs(wanted).max()
    assert_allclose(run_onnx(path, planes), wanted, rtol=0, atol=atol)


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
def test_export__every_bayer_order__takes_the_sensors_own_geometry(
    denoiser, tmp_path, cfa
):
    info = SensorInfo(cfa, **UNSEEN)
    path = export_onnx(denoiser, tmp_path / "m.onnx", info, 100)
    planes = np.random.default_rng(1).uniform(0, 1, (1, 4, 16, 32)).astype(np.float32)
    in_rggb = np.ascontiguousarray(to_common_geometry(planes, cfa))
    wanted = to_common_geometry(run_torch(denoiser, None, info, 100, 1.0, in_rggb), cfa)
    atol = 1e-5 * np.abs(wanted).max()
    assert_allclose(run_onnx(path, planes), wanted, rtol=0, atol=atol)


def test_export__metadata__says_how_to_feed_the_graph(denoiser, tmp_path):
    path = export_onnx(denoiser, tmp_path / "m.onnx", TARGET, 1600, 4.0)
    facts, info = facts_of(path), denoiser.sensors_.get(TARGET)
    assert (facts["sensor"], facts["iso"], facts["ratio"]) == (TARGET, 1600.0, 4.0)
    assert (facts["cfa"], facts["white_level"]) == (info.cfa, info.white_level)
    folded = denoiser.module_.fold(np.ones(3, np.float32))
    assert (facts["multiple"], facts["halo"]) == (folded.multiple, folded.halo)
    assert_allclose(facts["offset"], info.offset_at(1600) * 4 / info.span)


def test_export__same_model__same_bytes(denoiser, tmp_path):
    paths = [tmp_path / name for name in ("a.onnx", "b.onnx")]
    first, second = (export_onnx(denoiser, path, TARGET, 800) for path in paths)
    assert first.read_bytes() == second.read_bytes()


def test_export__unknown_sensor__says_what_is_known(denoiser, tmp_path):
    with pytest.raises(ValueError, match=f"known sensors are.*{TARGET}"):
        export_onnx(denoiser, tmp_path / "m.onnx", "Nobody", 800)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf])
@pytest.mark.parametrize("name", ["iso", "ratio"])
def test_export__no_positive_number__refused(denoiser, tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive number"):
        export_onnx(denoiser, tmp_path / "m", TARGET, **{"iso": 800, name: value})


def test_export__weights_not_finite__refused_and_no_file(tmp_path):
    fitted = tiny_denoiser().fit(target_pairs())
    with torch.no_grad():
        fitted.module_.head.bias[0] = torch.nan
    with pytest.raises(ValueError, match="NaN or infinity"):
        export_onnx(fitted, tmp_path / "m.onnx", TARGET, 800)
    assert not list(tmp_path.iterdir())


def test_export__no_folder__says_so(denoiser, tmp_path):
    with pytest.raises(FileNotFoundError, match="create it first"):
        export_onnx(denoiser, tmp_path / "none" / "m.onnx", TARGET, 800)


def test_export__without_onnx__one_sentence(denoiser, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)  # as if it were not there
    with pytest.raises(ImportError, match=r'pip install "skadl\[onnx\]"'):
        export_onnx(denoiser, tmp_path / "m.onnx", TARGET, 800)
