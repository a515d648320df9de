"""A second network costs one file: what is here predicts, is saved and is exported."""

from __future__ import annotations

import io
import json
import re

import numpy as np
import pytest
import torch
from tiny_fits import TARGET, source_pool, target_pairs, tiny_denoiser
from torch import nn
from torch.nn import functional as F

import skadl
from skadl.estimators.model_files.reader import unpack
from skadl.network import choice
from skadl.network.base import SLOPE, FoldedNetwork, ModulatedNetwork
from skadl.noise.noise_level import expected_noise
from skadl.prediction.frame import FrameNetwork, predict_residual
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.support.digest import UNSEALED, seal


class TwoLayers(ModulatedNetwork):
    """Two convolutions; the metadata scale what lies between them."""

    SIZES = {"n_metadata": 2**16, "width": 64}
    multiple = 1

    def __init__(self, n_metadata, width):
        super().__init__()
        self.first = nn.Conv2d(4, width, 3, padding=1)
        self.gains = nn.Linear(n_metadata, width)
        self.last = nn.Conv2d(width, 4, 3, padding=1)

    def forward(self, x, metadata):
        y = F.leaky_relu(self.first(x), SLOPE)
        y = y * self.gains(metadata)[..., None, None]
        return x - self.last(y).to(x.dtype)

    @torch.no_grad()
    def fold(self, metadata):
        gains = self.gains(torch.as_tensor(metadata, dtype=torch.float32))
        folded = FoldedTwoLayers(*self.last.weight.shape[1::-1])
        folded.first.load_state_dict(self.first.state_dict())
        folded.last.weight.copy_(self.last.weight * gains[:, None, None])
        folded.last.bias.copy_(self.last.bias)
        return folded.requires_grad_(False).eval()

    def describe(self):
        width, n_metadata = self.gains.weight.shape
        return {"n_metadata": n_metadata, "width": width}


class FoldedTwoLayers(FoldedNetwork):
    multiple, halo = 1, 2

    def __init__(self, width, n_planes):
        super().__init__()
        self.first = nn.Conv2d(n_planes, width, 3, padding=1)
        self.last = nn.Conv2d(width, n_planes, 3, padding=1)

    def run(self, operations, noisy):
        y = operations.convolve(noisy, self.first)
        noise = operations.convolve(y, self.last, rectified=False)
        return operations.subtract(noisy, noise)

    def memory(self, dtype):
        return 40 + 8.0 * self.first.out_channels, 2**20


@pytest.fixture(autouse=True)
def named(monkeypatch):
    monkeypatch.setitem(choice.NETWORKS, "two layers", TwoLayers)


@pytest.fixture
def denoiser(monkeypatch):
    """A fit with the other network; its weights differ from those of a start."""

    def build(n_metadata, *sizes):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return TwoLayers(n_metadata, 5).to(memory_format=torch.channels_last)

    monkeypatch.setattr("skadl.estimators.start.build_network", build)
    return tiny_denoiser().fit(target_pairs(), source_pool())


def change_network(data: bytes, **changes) -> bytes:
    """A model file whose description of the network says something else."""
    stop = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:stop])
    description = json.loads(header["__metadata__"]["skadl"])
    description["network"] |= changes
    description["digest"] = UNSEALED
    header["__metadata__"]["skadl"] = json.dumps(description)
    head = json.dumps(header).encode()
    return seal(len(head).to_bytes(8, "little") + head + data[stop:])


def planes(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_second_network__folded__is_itself():
    network, metadata, x = TwoLayers(3, 5), planes(3), planes(2, 4, 9, 7)
    with torch.no_grad():
        expected = network(x, metadata.expand(2, 3))
    torch.testing.assert_close(network.fold(metadata)(x), expected)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_second_network__in_tiles_on_a_cpu__is_the_whole(dtype):
    folded = TwoLayers(3, 5).fold(np.ones(3))
    counts = np.random.default_rng(0).normal(size=(60, 82)).astype(np.float32)
    mosaic = NormalisedMosaic(counts, "RGGB", np.zeros(4), 1.0, np.zeros(4))
    network = FrameNetwork(folded, dtype)
    tiled = predict_residual(network, mosaic, network.bytes_per_pixel * 150)
    x = torch.from_numpy(mosaic[:, :, :])[None]
    expected = (x - folded(x))[0].numpy()
    tiled = NormalisedMosaic(tiled, "RGGB", np.zeros(4), 1.0, np.zeros(4))
    atol = 1e-5 if dtype is None else 0.05
    np.testing.assert_allclose(tiled[:, :, :], expected, atol=atol)


def test_second_network__model_file__gives_it_back(denoiser, tmp_path):
    path = tmp_path / "model.safetensors"
    denoiser.save(path)
    again = skadl.load(path)
    assert type(again.module_) is TwoLayers
    image = target_pairs()[0].noisy
    np.testing.assert_array_equal(
        again.predict(image).mosaic, denoiser.predict(image).mosaic
    )


def test_second_network__file_for_a_skadl_without_it__is_refused(
    denoiser, tmp_path, monkeypatch
):
    path = tmp_path / "model.safetensors"
    denoiser.save(path)
    monkeypatch.delitem(choice.NETWORKS, "two layers")
    known = re.escape(str(sorted(choice.NETWORKS)))
    sentence = rf"its network is of kind 'two layers'; this skadl .* knows {known}"
    with pytest.raises(ValueError, match=sentence):
        skadl.load(path)
    with pytest.raises(ValueError, match="cannot be saved: its network is a TwoLayers"):
        denoiser.save(tmp_path / "other.safetensors")


@pytest.mark.parametrize("kind", [None, 3, ["unet"], "", "x" * 10**5])
def test_model_file__kind_that_is_no_name__is_refused(kind, tmp_path):
    path = tmp_path / "model.safetensors"
    tiny_denoiser().fit(target_pairs()).save(path)
    data = change_network(path.read_bytes(), kind=kind)
    with pytest.raises(ValueError, match="kind") as refusal:
        unpack(io.BytesIO(data), len(data))
    assert len(str(refusal.value)) < 300


def test_model_file__of_the_default_network__does_not_name_it(tmp_path):
    path = tmp_path / "model.safetensors"
    tiny_denoiser().fit(target_pairs()).save(path)
    assert b"kind" not in path.read_bytes().partition(b"conditioning")[0]


def test_second_network__onnx__computes_the_same(denoiser, tmp_path):
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    path = skadl.export_onnx(denoiser, tmp_path / "m.onnx", TARGET, 800, 4.0)
    x = np.random.default_rng(0).uniform(0, 1, (1, 4, 9, 12)).astype(np.float32)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    denoised = session.run(["denoised"], {"noisy": x})[0]
    model = denoiser.fitted_model()
    info = model.resolve_sensor(TARGET)
    noise = expected_noise(info, 800, 4.0)
    folded = model.network.fold(model.conditioning.vector(TARGET, 800, 4.0, noise))
    np.testing.assert_allclose(denoised, folded(torch.from_numpy(x)), atol=1e-5)
