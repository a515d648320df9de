"""Prediction in other engines than torch, and in 8 bits."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest
import torch

import skadl
from skadl.datasets import make_domain
from skadl.evaluation.metrics import clipped_psnr
from skadl.network.base import TensorOperations
from skadl.network.dense_unet import ModulatedDenseUNet
from skadl.network.pyramid_unet import PyramidUNet
from skadl.network.quantised import find_ranges, quantise
from skadl.noise.noise_level import NoiseLevel
from skadl.prediction.calibration import calibration_planes
from skadl.prediction.frame import FrameNetwork


@pytest.fixture(autouse=True)
def small_tiles_too(monkeypatch):
    monkeypatch.setattr("skadl.prediction.frame.LEAST_PIXELS_IN_ENGINE", 0)


@pytest.fixture(scope="module")
def model():
    return skadl.load_universal("cpu").set_params(precision="float32")


@pytest.fixture(scope="module")
def pair():
    return make_domain("SonyA7S2", 1, size=96, iso=(1600,), random_state=0)[0]


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_an_engine_gives_what_torch_gives(model, pair, engine):
    pytest.importorskip(engine)
    exact, given = (
        model.predict(pair.noisy, engine=name, dtype=np.float32).mosaic
        for name in ("torch", engine)
    )
    removed = np.abs(exact - pair.noisy.mosaic).max()
    np.testing.assert_allclose(given, exact, atol=1e-4 * removed)


def test_eight_bits_cost_little(model, pair):
    pytest.importorskip("openvino")
    exact, coarse = (
        model.predict(pair.noisy, precision=precision, dtype=np.float32)
        for precision in ("float32", "int8")
    )
    clean = pair.clean.normalised()
    psnr = [clipped_psnr(image.normalised(), clean) for image in (exact, coarse)]
    assert (exact.mosaic != coarse.mosaic).any()
    assert psnr[1] > psnr[0] - 0.1


def test_predicting_in_an_engine_leaves_a_model_as_it_was(model, pair):
    pytest.importorskip("openvino")
    expected = model.predict(pair.noisy, engine="openvino").mosaic
    for same in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        given = same.predict(pair.noisy, engine="openvino").mosaic
        np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_a_missing_engine_is_said_in_one_sentence(model, pair, engine, monkeypatch):
    monkeypatch.setitem(sys.modules, engine, None)
    with pytest.raises(ImportError, match=rf'pip install "skadl\[{engine}\]"'):
        model.predict(pair.noisy, engine=engine)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"engine": "tensorrt"}, "engine must be one of 'auto', 'torch'"),
        ({"precision": "int4"}, "precision must be one of 'float32'"),
        ({"engine": "torch", "precision": "int8"}, "computed by OpenVINO"),
    ],
)
def test_what_cannot_be_is_refused(model, pair, options, words):
    with pytest.raises(ValueError, match=words):
        model.predict(pair.noisy, **options)


def test_a_network_of_another_kind_is_refused():
    folded = ModulatedDenseUNet(3, 4, 2, 4).fold(np.ones(3))
    with pytest.raises(ValueError, match="use engine='torch'"):
        FrameNetwork(folded, None, "onnxruntime")


def test_channels_brought_together_give_the_same():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = PyramidUNet(3, 4, 3, mlp_width=4)
        torch.nn.init.normal_(network.head.weight, std=0.1)
    folded = network.fold(np.zeros(3))
    planes = torch.from_numpy(calibration_planes(NoiseLevel(0.01, 1e-4)))
    ranges = find_ranges(folded, planes)
    x = torch.randn(1, 12, 16, 24, generator=torch.Generator().manual_seed(0))
    unet = folded.scales()[0].body_unet()
    together = quantise(unet, ranges)
    with torch.no_grad():
        torch.testing.assert_close(
            together.unet.body(TensorOperations, x),
            unet.body(TensorOperations, x),
            atol=1e-5,
            rtol=1e-4,
        )
    assert together.unet.encoder[0] not in together.inputs
    assert together.unet.head not in together.inputs
    assert all(low <= 0 < high for low, high in together.inputs.values())
