"""One step, one evaluation, and a way back that is exact to the last bit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skadl.adaptation.patches import Batch
from skadl.estimators.training_pairs import noise_weight
from skadl.evaluation.metrics import psnr

CPU = torch.device("cpu")


def make_batch(device, seed=0, size=3, side=8):
    generator = torch.Generator().manual_seed(seed)
    clean = torch.rand(size, 4, side, side, generator=generator)
    noisy = clean + 0.1 * torch.randn(clean.shape, generator=generator)
    metadata = torch.rand(size, 1, generator=generator)
    noise = torch.tensor([[1e-3, 1e-4], [1e-3, 1e-2], [0.0, 1e-6]])[:size]
    return Batch(*(part.to(device) for part in (noisy, clean, metadata, noise)))


def same(first, second):
    pairs = zip(first, second, strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def learner(make_learner, device):
    return make_learner(device=device, noise=0.05)


@pytest.fixture
def batch(device):
    return make_batch(device)


# The way back


@pytest.mark.parametrize("n_before", [0, 1, 3])
@pytest.mark.parametrize("n_between", [1, 4])
def test_restore__after_steps__returns_weights_moments_and_counters(
    learner, batch, fingerprint, n_before, n_between
):
    for _ in range(n_before):
        learner.step(batch, 1e-2)
    saved = fingerprint(learner)
    learner.save()
    for _ in range(n_between):
        learner.step(batch, 1e-2)
    assert not same(fingerprint(learner), saved)
    learner.restore()
    assert same(fingerprint(learner), saved)


def test_restore__twice_from_one_save__is_the_same_state(learner, batch, fingerprint):
    learner.save()
    saved = fingerprint(learner)
    for _ in range(2):
        learner.step(batch, 1e-2)
        learner.restore()
        assert same(fingerprint(learner), saved)


def test_restore__then_training_on__equals_never_having_strayed(
    make_learner, fingerprint
):
    # On the CPU: a GPU may add up gradients in any order.
    batch, other = (make_batch(CPU, seed) for seed in (0, 1))
    straying, straight = make_learner(), make_learner()
    for _ in range(3):
        straying.step(batch, 1e-2)
        straight.step(batch, 1e-2)
        straying.save()
        straying.step(other, 1e-1)
        straying.restore()
    assert same(fingerprint(straying), fingerprint(straight))


def test_save__costs__no_new_memory_and_no_gradients(learner, batch):
    learner.step(batch, 1e-2)
    learner.save()
    assert all(parameter.grad is None for parameter in learner.network.parameters())


# Steps


def test_step__returns__the_l1_loss_before_it(learner, batch):
    with torch.no_grad():
        expected = F.l1_loss(learner.network(batch.noisy, batch.metadata), batch.clean)
    assert learner.step(batch, 1e-2) == pytest.approx(float(expected), rel=1e-6)


def test_step__many_on_one_batch__lower_the_loss(learner, batch):
    losses = [learner.step(batch, 3e-3) for _ in range(30)]
    assert losses[-1] < 0.9 * losses[0]


def test_step__equals__plain_adamw_with_clipped_gradients(make_learner, make_network):
    learner, batch = make_learner(noise=0.05), make_batch(CPU)
    network = make_network(1, noise=0.05)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2, weight_decay=0.01)
    for _ in range(3):
        learner.step(batch, 1e-2)
        optimizer.zero_grad()
        F.l1_loss(network(batch.noisy, batch.metadata), batch.clean).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
    ours = learner.network.state_dict()
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-4, atol=1e-6)


def test_step__rate_of_zero__moves_no_weight(learner, batch):
    before = [parameter.clone() for parameter in learner.network.parameters()]
    learner.step(batch, 0.0)
    assert same(before, list(learner.network.parameters()))


@pytest.mark.parametrize("field", ["noisy", "clean", "metadata"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_step__loss_not_finite__returns_nan_and_touches_nothing(
    learner, batch, fingerprint, field, bad
):
    learner.step(batch, 1e-2)
    before = fingerprint(learner)
    getattr(batch, field).view(-1)[0] = bad
    assert math.isnan(learner.step(batch, 1e-2))
    assert same(fingerprint(learner), before)
    assert math.isfinite(learner.step(make_batch(learner.device), 1e-2))


def test_step__gradient_not_finite__returns_nan_and_touches_nothing(
    learner, batch, fingerprint
):
    learner.step(batch, 1e-2)
    before = fingerprint(learner)
    parameter = next(learner.network.parameters())
    hook = parameter.register_hook(lambda gradient: gradient * math.inf)
    assert math.isnan(learner.step(batch, 1e-2))
    hook.remove()
    assert same(fingerprint(learner), before)
    assert math.isfinite(learner.step(batch, 1e-2))  # no bad gradient was left over


def test_step__bfloat16__stays_near_float32(make_learner, device, batch):
    losses = {}
    for dtype in (None, torch.bfloat16):
        learner = make_learner(device=device, noise=0.05, dtype=dtype)
        losses[dtype] = [learner.step(batch, 1e-3) for _ in range(3)]
        parameters = learner.network.parameters()
        assert {parameter.dtype for parameter in parameters} == {torch.float32}
    assert losses[torch.bfloat16] == pytest.approx(losses[None], rel=0.05)


def test_step__weighted_by_noise__is_the_mean_of_weighted_errors(
    make_learner, device, batch
):
    learner = make_learner(device=device, noise=0.05, weighting="noise")
    with torch.no_grad():
        error = (learner.network(batch.noisy, batch.metadata) - batch.clean).abs()
        expected = (error * noise_weight(batch)[:, None, None, None]).mean()
    assert learner.step(batch, 1e-2) == pytest.approx(float(expected), rel=1e-5)


# Evaluation


def test_evaluate__each_image__is_the_psnr_of_the_clipped_images(learner, batch):
    with torch.no_grad():
        denoised = learner.network(batch.noisy, batch.metadata)
    expected = [
        psnr(image.clamp(0, 1).cpu().numpy(), truth.clamp(0, 1).cpu().numpy())
        for image, truth in zip(denoised, batch.clean, strict=True)
    ]
    np.testing.assert_allclose(learner.evaluate(batch), expected, rtol=1e-5)


def test_evaluate__perfect_images__are_finite(make_learner, device):
    learner, batch = make_learner(device=device), make_batch(device)
    scores = learner.evaluate(replace(batch, noisy=batch.clean))
    np.testing.assert_allclose(scores, 20 * np.log10(65535), rtol=1e-6)


def test_evaluate__anything__changes_neither_learner_nor_batch(
    learner, batch, fingerprint
):
    learner.step(batch, 1e-2)
    before, images = fingerprint(learner), (batch.noisy.clone(), batch.clean.clone())
    learner.evaluate(batch)
    assert same(fingerprint(learner), before)
    assert same(images, (batch.noisy, batch.clean))


def test_evaluate__training_in_bfloat16__is_float32(make_learner, device, batch):
    exact, low = (
        make_learner(device=device, noise=0.05, dtype=dtype).evaluate(batch)
        for dtype in (None, torch.bfloat16)
    )
    np.testing.assert_array_equal(low, exact)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_evaluate__output_not_finite__is_nan_for_that_image_only(learner, batch, bad):
    batch.noisy[1, 0, 0, 0] = bad
    finite = np.isfinite(learner.evaluate(batch))
    assert finite.tolist() == [True, False, True]


@pytest.mark.parametrize("bad", [math.inf, -math.inf])
def test_evaluate__network_gives_infinity__is_not_clipped_to_a_finite_score(
    learner, batch, bad, monkeypatch
):
    monkeypatch.setattr(learner.network, "forward", lambda x, metadata: x + bad)
    assert np.isnan(learner.evaluate(batch)).all()
