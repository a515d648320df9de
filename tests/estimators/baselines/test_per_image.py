"""Denoisers that look at one image alone: BM3D, deep image prior, ZS-N2N."""

from __future__ import annotations

import pickle
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from skadl.baselines import BM3D, DeepImagePrior, ZeroShotNoise2Noise
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils import get_tags
from tiny_fits import TARGET, target_pairs
from torch.nn import functional as F

from skadl import RawImage, SensorInfo, SensorTable, psnr
from skadl.datasets import camera_info, make_domain, make_scenes
from skadl.estimators.baselines.deep_image_prior import SkipNetwork
from skadl.estimators.baselines.zero_shot_noise2noise import (
    downsample,
    zero_shot_loss,
)
from skadl.raw.mosaic import unpack_mosaic

META = SensorTable({TARGET: camera_info(TARGET)})
SMALL = dict(n_iter=2, device="cpu", random_state=0)
PRIOR = dict(channels=4, n_scales=2)
KINDS = [
    BM3D(),
    ZeroShotNoise2Noise(**SMALL),
    DeepImagePrior(**SMALL, **PRIOR),
]
NETWORKS = KINDS[1:]


@pytest.fixture(params=KINDS, ids=lambda model: type(model).__name__)
def model(request):
    return clone(request.param)


@pytest.fixture(autouse=True)
def smoothing_bm3d(monkeypatch, request):
    """A stand-in for the package: a mean over 3x3, with the same call."""
    if "real_bm3d" in request.fixturenames:
        return

    def smooth(plane, sigma, profile):
        assert sigma == 1 and plane.ndim == 2 and profile in ("normal", "fast")
        padded = np.pad(plane, 1, mode="reflect")
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
        return windows.mean(axis=(2, 3))

    package = SimpleNamespace(
        bm3d=smooth,
        BM3DProfile=lambda: "normal",
        BM3DProfileLC=lambda: "fast",
    )
    monkeypatch.setitem(sys.modules, "bm3d", package)


@pytest.fixture
def real_bm3d():
    return pytest.importorskip("bm3d")


def noisy_psnr(pair):
    return psnr(pair.noisy.normalised(), pair.clean.normalised())


@pytest.fixture(scope="module")
def noisy_pair():
    options = dict(iso=6400, ratio=20, random_state=0, scenes="dead-leaves")
    return make_domain(TARGET, 1, size=64, **options)[0]


# What all of them promise


def test_predict__without_fit__finds_the_noise_by_itself(model):
    image = target_pairs()[0].noisy
    assert not get_tags(model).requires_fit
    known = model.predict(image, sensor=camera_info(TARGET))
    assert known.mosaic.shape == image.mosaic.shape
    assert known.mosaic.dtype == image.mosaic.dtype
    assert np.isfinite(model.score(target_pairs()[:1], meta=META))


def test_fit__pairs_or_frames__leaves_the_sensor_behind(model):
    pairs = target_pairs()
    measured = clone(model).fit(pairs).sensors_.get(TARGET)
    assert measured.knows_noise
    frames = [pair.noisy for pair in pairs]
    assert not clone(model).fit(frames).sensors_.get(TARGET).knows_noise
    given = clone(model).fit(frames, meta=META).sensors_.get(TARGET)
    assert given.noise_at(800) == camera_info(TARGET).noise_at(800)


def test_model__cloned_pickled_searched__is_a_denoiser(model):
    model.fit(target_pairs(), meta=META)
    one = target_pairs()[:1]
    expected = model.score(one)
    assert pickle.loads(pickle.dumps(model)).score(one) == expected
    assert clone(model).fit(target_pairs(), meta=META).score(one) == expected
    grid = {"verbose": [0]}
    search = GridSearchCV(model, grid, cv=2, error_score="raise")
    search.fit(target_pairs()[::2], meta=META)  # of one ISO
    assert np.isfinite(search.best_score_)


def test_predict__odd_sides__are_kept(model):
    image = target_pairs()[0].noisy
    odd = image.with_mosaic(image.mosaic[:31, :29])
    denoised = model.fit([image], meta=META).predict(odd)
    assert denoised.mosaic.shape == (31, 29)


def test_predict__verbose__shows_progress_and_silence_is_silent(model, capsys):
    image = target_pairs()[0].noisy
    model.fit([image], meta=META).predict(image)
    assert capsys.readouterr() == ("", "")
    model.set_params(verbose=1).predict(image)
    assert type(model).__name__ in capsys.readouterr().err


@pytest.mark.parametrize("model", NETWORKS, ids=lambda m: type(m).__name__)
def test_network__seed__decides_and_global_state_is_left_alone(model):
    image = target_pairs()[0].noisy
    state = torch.get_rng_state()
    predicted = [
        clone(model).set_params(random_state=seed).predict(image, camera_info(TARGET))
        for seed in (0, 0, 1)
    ]
    assert torch.equal(torch.get_rng_state(), state)
    np.testing.assert_array_equal(predicted[0].mosaic, predicted[1].mosaic)
    assert (predicted[0].mosaic != predicted[2].mosaic).any()


@pytest.mark.parametrize("model", NETWORKS, ids=lambda m: type(m).__name__)
def test_network__image_larger_than_a_tile__is_covered_by_several(model, capsys):
    model = clone(model).set_params(tile_size=64, verbose=1, n_iter=1)
    pair = make_domain(TARGET, 1, size=(150, 180), iso=1600, random_state=0)[0]
    planes = model.fit([pair.noisy], meta=META).denoise_planes(pair.noisy)
    assert planes.shape == (4, 75, 90) and np.isfinite(planes).all()
    assert f"{type(model).__name__} 2/" in capsys.readouterr().err


@pytest.mark.parametrize("model", NETWORKS, ids=lambda m: type(m).__name__)
@pytest.mark.parametrize("parameter", ["n_iter", "learning_rate", "tile_size"])
def test_network__wrong_parameter__is_refused(model, parameter):
    model = clone(model).set_params(**{parameter: -1})
    with pytest.raises(ValueError, match=parameter):
        model.fit(target_pairs())
    with pytest.raises(ValueError, match=parameter):
        model.predict(target_pairs()[0].noisy)


@pytest.mark.parametrize(
    "model",
    [
        ZeroShotNoise2Noise(n_iter=60, device="cpu", random_state=0),
        DeepImagePrior(
            n_iter=300, channels=16, n_scales=2, device="cpu", random_state=0
        ),
    ],
    ids=lambda m: type(m).__name__,
)
def test_network__few_steps_on_a_small_image__removes_noise(model, noisy_pair):
    score = clone(model).fit([noisy_pair.noisy], meta=META).score([noisy_pair])
    assert score > noisy_psnr(noisy_pair) + 0.3


# BM3D


def test_bm3d__not_installed__says_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "bm3d", None)
    with pytest.raises(ImportError, match=r'pip install "skadl\[bm3d\]"'):
        BM3D().predict(target_pairs()[0].noisy, camera_info(TARGET))


@pytest.mark.parametrize("profile", ["normal", "fast"])
def test_bm3d__profile__is_handed_on_and_the_signal_comes_back(profile):
    rng = np.random.default_rng(0)
    info = SensorInfo("RGGB", 512, 16383, gain={100: 2.0}, read_noise={100: 10.0})
    signal = 300.0
    counts = 512 + 2 * rng.poisson(signal / 2, (64, 64)) + rng.normal(0, 10, (64, 64))
    image = RawImage(counts, "RGGB", 512, 16383, "A", 100)
    denoised = BM3D(profile=profile).predict(image, info).mosaic - 512
    assert denoised.mean() == pytest.approx(signal, abs=1)
    assert denoised.std() < 0.5 * counts.std()


def test_bm3d__gaussian_noise_on_a_photograph__is_within_the_published_range(
    real_bm3d,
):
    # Dabov et al. (2007), table of grey images: with a standard deviation of 25 of 255
    # BM3D reaches 27.70 dB (Fingerprint) to 32.86 dB (House), from 20.18 dB.
    scene = make_scenes("photographs-test", 1, 128, random_state=2)[0]
    photograph = scene.rgb[..., 1] ** (1 / 2.2)
    photograph = photograph / photograph.max()
    sigma = 25 / 255
    noisy = photograph + np.random.default_rng(0).normal(0, sigma, photograph.shape)
    # One photograph in each plane: the others are flat, and cost less time.
    planes = np.zeros((4, *noisy.shape))
    planes[0] = noisy
    info = SensorInfo("RGGB", 0, 1, gain={100: 1e-9}, read_noise={100: sigma})
    image = RawImage(unpack_mosaic(planes, "RGGB"), "RGGB", 0, 1, "A", 100)
    denoised = BM3D(profile="fast").predict(image, info).packed()[0]
    assert 27.70 < psnr(denoised, photograph) < 32.86


# Zero-shot Noise2Noise


def test_downsample__any_planes__are_two_convolutions_of_stride_two():
    y = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(0))
    for result, diagonal in zip(
        downsample(y), ([[0.0, 0.5], [0.5, 0.0]], [[0.5, 0.0], [0.0, 0.5]]), strict=True
    ):
        kernel = torch.tensor(diagonal).expand(4, 1, 2, 2)
        torch.testing.assert_close(result, F.conv2d(y, kernel, stride=2, groups=4))


def test_downsample__independent_noise__is_independent_in_both():
    noise = torch.randn(1, 4, 256, 256, generator=torch.Generator().manual_seed(0))
    first, second = (half.flatten().numpy() for half in downsample(noise))
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.01
    assert first.var() == pytest.approx(0.5, abs=0.01)


def test_zero_shot_loss__network_that_finds_no_noise__is_the_halves_difference():
    y = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second = downsample(y)
    loss = zero_shot_loss(torch.zeros_like, y)
    torch.testing.assert_close(loss, (first - second).square().mean())


def test_zero_shot_loss__constant_noise_found__is_the_formula():
    y = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second = downsample(y)
    loss = zero_shot_loss(lambda planes: torch.full_like(planes, 0.1), y)
    residual = ((first - 0.1 - second) ** 2).mean() + (
        (second - 0.1 - first) ** 2
    ).mean()
    torch.testing.assert_close(loss, residual / 2)


# Deep image prior


@pytest.mark.parametrize("n_scales", [1, 3, 5])
def test_skip_network__two_pixels_at_the_deepest__gives_planes_of_its_input(n_scales):
    code = torch.zeros(1, 32, 2 * 2**n_scales, 3 * 2**n_scales)
    planes = SkipNetwork(4, 4, n_scales, 2)(code)
    assert planes.shape == (1, 4, *code.shape[2:])
    assert 0 < planes.min() and planes.max() < 1


def test_prior__noise_larger_than_the_picture__stops_early(noisy_pair):
    class Counting(DeepImagePrior):
        def train_on(self, planes, sigma, seed, progress):
            self.n_steps = 0

            def counted(steps):
                for step in progress(steps):
                    self.n_steps += 1
                    yield step

            return super().train_on(planes, sigma, seed, counted)

    flat = noisy_pair.noisy.with_mosaic(
        np.random.default_rng(0).normal(600, 60, (64, 64))
    )
    info = replace(camera_info(TARGET), gain={6400: 1.0}, read_noise={6400: 60.0})
    early = Counting(n_iter=60, **PRIOR, device="cpu", random_state=0)
    early.predict(flat, info)
    late = clone(early).set_params(early_stopping=False)
    late.predict(flat, info)
    assert early.n_steps < late.n_steps == 60
