"""Blind2Unblind: what is hidden stays hidden, and clean frames are not looked at."""

from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from skadl.baselines import Blind2Unblind
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from tiny_fits import TARGET, target_pairs, weights

import skadl
from skadl import SensorTable
from skadl.datasets import camera_info, make_domain
from skadl.estimators.baselines.blind2unblind import (
    blind_masks,
    blind_output,
    mean_of_neighbours,
    revisible_loss,
)
from skadl.network.choice import build_network

CPU = torch.device("cpu")
TINY = dict(
    n_iter=3, patch_size=8, base_channels=4, n_levels=2, device="cpu", random_state=0
)


def planes(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def network():
    """Any network that sees far more than the pixel itself."""
    net = build_network(1, 4, 2, 1, CPU, 0)
    torch.nn.init.normal_(net.head.weight, generator=torch.Generator().manual_seed(0))
    return lambda x: net(x, x.new_zeros(len(x), 1))


def test_masks__all_sixteen__hide_each_pixel_once():
    masks = blind_masks(12, CPU)
    assert masks.shape == (16, 1, 1, 12, 12)
    assert (masks.sum(dim=0) == 1).all()
    cells = masks.view(16, 3, 4, 3, 4).sum(dim=(2, 4))  # hidden in each 4x4
    assert (cells == 1).all()


def test_neighbours__any_plane__are_their_weighted_mean_without_the_pixel():
    y = planes(1, 4, 5, 6)
    filled = mean_of_neighbours(y)
    padded = np.pad(y[0, 1].numpy(), 1, mode="reflect")
    for row in range(5):
        for column in range(6):
            window = padded[row : row + 3, column : column + 3]
            beside = window[[0, 1, 1, 2], [1, 0, 2, 1]].sum()
            across = window[[0, 0, 2, 2], [0, 2, 0, 2]].sum()
            expected = (beside + across / 2) / 6
            assert filled[0, 1, row, column].item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("pixel", [(0, 0), (3, 4), (7, 2), (5, 7)])
def test_blind_output__any_pixel__has_no_gradient_to_itself(pixel):
    y = planes(1, 4, 8, 8).requires_grad_()
    output = blind_output(network(), y, blind_masks(8, CPU))
    (gradient,) = torch.autograd.grad(output[0, :, *pixel].sum(), y)
    assert (gradient[0, :, *pixel] == 0).all()  # all four planes of it
    assert (gradient != 0).sum() > 100  # and yet it sees its surroundings


def test_blind_output__identity__is_the_mean_of_neighbours():
    y = planes(2, 4, 8, 8)
    output = blind_output(lambda x: x, y, blind_masks(8, CPU))
    torch.testing.assert_close(output, mean_of_neighbours(y))


def test_revisible_loss__numbers__are_the_formula_and_stop_at_the_visible():
    blind, visible, noisy = (
        torch.full((1, 4, 2, 2), value, requires_grad=True) for value in (0.5, 0.3, 0.2)
    )
    loss = revisible_loss(blind, visible, noisy.detach(), 2.0)
    assert loss.item() == pytest.approx((0.3 + 2 * 0.1) ** 2 + 0.3**2)
    loss.backward()
    assert visible.grad is None and blind.grad is not None


@pytest.fixture(scope="module")
def fitted():
    return Blind2Unblind(**TINY).fit(target_pairs())


def same(first, second):
    other = weights(second)
    return all((values == other[k]).all() for k, values in weights(first).items())


def test_fit__clean_frames__are_not_looked_at(fitted):
    pairs = target_pairs()
    black = [p.clean.with_mosaic(np.full_like(p.clean.mosaic, 512)) for p in pairs]
    spoiled = [replace(p, clean=c) for p, c in zip(pairs, black, strict=True)]
    assert same(clone(fitted).fit(spoiled), fitted)


def test_fit__bare_frames__are_the_same_as_pairs(fitted):
    frames = [pair.noisy for pair in target_pairs()]
    meta = SensorTable({TARGET: camera_info(TARGET)})
    assert same(clone(fitted).fit(frames, meta=meta), fitted)
    assert np.isfinite(clone(fitted).fit(frames, meta=meta).score(target_pairs()))


def test_fit__frames_of_unknown_noise__find_it_in_the_image():
    pairs = make_domain(TARGET, 2, size=128, iso=1600, ratio=4, random_state=0)
    frames = [replace(pair.noisy, sensor="mine") for pair in pairs]
    model = Blind2Unblind(**TINY).fit(frames)
    gain, _ = model.sensors_.get("mine").noise_at(1600)
    assert gain == pytest.approx(camera_info(TARGET).noise_at(1600)[0], rel=0.5)


@pytest.mark.parametrize(
    ("frames", "error", "words"),
    [
        ([], ValueError, "no frames"),
        ("frames", TypeError, "sequence of RawPair"),
        ([1, 2], TypeError, "item 0"),
    ],
)
def test_fit__no_frames__says_what_it_needs(frames, error, words):
    with pytest.raises(error, match=words):
        Blind2Unblind(**TINY).fit(frames)


def test_fit__mixture_or_single_image__is_refused():
    pair = target_pairs()[0]
    with pytest.raises(TypeError, match="item 1 is a RawPair"):
        Blind2Unblind(**TINY).fit([pair.noisy, pair])
    with pytest.raises(TypeError, match=r"give \[image\]"):
        Blind2Unblind(**TINY).fit(pair.noisy)


def test_fit__frame_too_small__says_so():
    pairs = make_domain(TARGET, 2, size=16, iso=1600, random_state=0)
    with pytest.raises(ValueError, match="side of 16 .* at least 18"):
        Blind2Unblind(**{**TINY, "n_levels": 4}).fit(pairs)


def test_model__saved_pickled_and_searched__is_what_it_was(fitted, tmp_path):
    path = tmp_path / "model.safetensors"
    fitted.save(path)
    expected = fitted.score(target_pairs())
    for again in (skadl.load(path), pickle.loads(pickle.dumps(fitted))):
        assert type(again) is Blind2Unblind
        assert again.score(target_pairs()) == expected
    search = GridSearchCV(Blind2Unblind(**TINY), {"n_iter": [1, 2]}, cv=2)
    assert search.fit(target_pairs()).best_estimator_.n_iter_ in (1, 2)


def test_fit__verbose__shows_progress_and_silence_is_silent(capsys):
    Blind2Unblind(**TINY).fit(target_pairs())
    assert capsys.readouterr() == ("", "")
    Blind2Unblind(**TINY, verbose=1).fit(target_pairs())
    assert "blind spots" in capsys.readouterr().err


def test_fit__frames_alone__learns_what_the_clean_ones_show():
    pairs = make_domain(TARGET, 2, size=64, iso=6400, ratio=100, random_state=0)
    frames = [pair.noisy for pair in pairs]
    meta = SensorTable({TARGET: camera_info(TARGET)})
    model = Blind2Unblind(**{**TINY, "patch_size": 16, "base_channels": 8})
    model.set_params(n_iter=150, learning_rate=5e-3)
    noisy = [skadl.psnr(p.noisy.normalised(), p.clean.normalised()) for p in pairs]
    assert model.fit(frames, meta=meta).score(pairs) > np.mean(noisy) + 1
