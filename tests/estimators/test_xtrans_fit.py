"""X-Trans mosaics through the whole of skadl: measured, checked, fitted, denoised."""

from __future__ import annotations

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import clone

import skadl
from skadl import ADLDenoiser, PatchStore, RawPair, SourcePool, baselines
from skadl.datasets import Camera, camera_info, make_domain
from skadl.estimators.start import find_start
from skadl.noise.source import find_noise
from skadl.raw.image import window_of
from skadl.raw.mosaic import pattern_at, unpack_mosaic

SMALL = dict(n_iter=2, device="cpu", random_state=0)
GAIN, READ = {800: 4.0, 3200: 16.0}, {800: 12.0, 3200: 40.0}


def camera(cfa="XTRANS-GBG", name="X"):
    return Camera(name, cfa, 1024, 16383, gain=GAIN, read_scale=READ)


@pytest.fixture(scope="module")
def pairs():
    return make_domain(camera(), 4, size=(150, 162), iso=(800, 3200), random_state=3)


def tiny(**parameters):
    return ADLDenoiser(
        start="random",
        network=parameters.pop("network", "unet"),
        base_channels=2,
        n_levels=2,
        mlp_width=4,
        n_pretrain_iter=2,
        n_iter=2,
        n_finetune_iter=1,
        batch_size=2,
        patch_size=48,
        random_state=0,
        device="cpu",
        **parameters,
    )


@pytest.fixture(scope="module")
def fitted(pairs):
    sources = {"Y": make_domain(camera("XTRANS-GRG", "Y"), 3, size=120, random_state=4)}
    return tiny().fit(pairs, source_pairs=SourcePool(sources))


def moved_weights(model):
    """A fitted model whose network does more than it learned in five steps."""
    generator = np.random.default_rng(0)
    for parameter in model.module_.parameters():
        drawn = generator.normal(0, 0.05, parameter.shape)
        parameter.data += parameter.data.new_tensor(drawn)
    return model


def test_calibrate__x_trans_pairs__find_the_noise_of_the_simulation():
    isos = [800, 3200] * 3
    pairs = make_domain(camera(), 6, size=198, iso=isos, random_state=0)
    info = skadl.calibrate_sensor(pairs)
    gain, read_variance = info.noise_at(3200)
    assert gain == pytest.approx(16, rel=0.1)
    assert read_variance**0.5 == pytest.approx(40, rel=0.1)
    assert len(info.offset_at(3200)) == 9


def test_find_noise__x_trans_image_alone__is_not_far_off():
    (pair,) = make_domain(camera(), 1, size=600, iso=3200, random_state=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        info = find_noise(pair.noisy).sensor
    gain, _ = info.noise_at(3200)
    assert 0.7 < gain / 16 < 1.4


def test_check_pairs__x_trans__finds_the_pair_that_moved():
    pairs = make_domain(camera(), 3, size=300, iso=800, random_state=5)
    moved = pairs[1].clean.mosaic
    moved = np.roll(moved, (6, 6), axis=(0, 1))  # its colours stay in place
    wrong = RawPair(pairs[1].noisy, pairs[1].clean.with_mosaic(moved))
    checked = skadl.check_pairs([pairs[0], wrong, pairs[2]])
    assert list(checked.bad) == [1]


@pytest.mark.parametrize("network", ["unet", "local_unet", "pyramid_unet"])
def test_fit_and_predict__x_trans__give_the_same_kind_of_image(pairs, network):
    model = moved_weights(tiny(network=network).fit(pairs))
    noisy = pairs[0].noisy
    denoised = model.predict(noisy)
    assert denoised.mosaic.shape == noisy.mosaic.shape and denoised.cfa == noisy.cfa
    assert denoised.mosaic.dtype == noisy.mosaic.dtype
    planes = model.denoise_planes(noisy)
    assert planes.shape == (9, 50, 54)
    exact = model.predict(noisy, dtype=np.float32)
    np.testing.assert_allclose(exact.normalised(), planes, atol=1e-4)
    packed = model.predict(noisy.packed().astype(np.float32), "X", noisy.iso)
    np.testing.assert_allclose(unpack_mosaic(packed, noisy.cfa), exact.mosaic, atol=0.5)


def test_predict__other_half_of_the_checkerboard_first__is_denoised_alike(
    fitted, pairs
):
    # Beginning a block further on changes the pattern; the planes are the same.
    model, noisy = moved_weights(fitted), pairs[1].noisy
    part = window_of(noisy, slice(1, 50), slice(0, 54))
    assert part.cfa == pattern_at(noisy.cfa, 1, 0) != noisy.cfa
    as_named = replace(
        part.with_mosaic(unpack_mosaic(part.packed(), noisy.cfa)), cfa=noisy.cfa
    )
    one, other = (model.denoise_planes(image) for image in (part, as_named))
    np.testing.assert_array_equal(one, other)


def test_predict__sides_of_no_whole_blocks__are_kept(fitted, pairs):
    noisy = pairs[0].noisy
    odd = noisy.with_mosaic(noisy.mosaic[:149, :160])
    assert fitted.predict(odd).mosaic.shape == (149, 160)


def test_predict__self_ensemble_of_a_turned_mosaic__is_turned(fitted, pairs):
    model, noisy = moved_weights(fitted), pairs[0].noisy
    # Half a turn: 50 x 54 blocks, so that the pattern is the same again.
    turned = noisy.with_mosaic(noisy.mosaic[::-1, ::-1])
    results = [
        model.predict(image, self_ensemble=True, dtype=np.float32).mosaic
        for image in (noisy, turned)
    ]
    # But for the error of black, which is another in each plane.
    assert np.abs(results[0] - results[1][::-1, ::-1]).max() < 4


def test_model_file__x_trans__predicts_as_before(fitted, pairs, tmp_path):
    fitted.save(tmp_path / "x.safetensors")
    again = skadl.load(tmp_path / "x.safetensors", device="cpu")
    noisy = pairs[0].noisy
    np.testing.assert_array_equal(
        again.predict(noisy).mosaic, fitted.predict(noisy).mosaic
    )


def test_store__x_trans_sources__fit_as_from_memory(fitted, pairs, tmp_path):
    sources = make_domain(camera("XTRANS-GRG", "Y"), 3, size=120, random_state=4)
    pool = SourcePool({"Y": sources}, store=PatchStore(tmp_path, limit_gib=1))
    stored = pool.domains["Y"][0]
    np.testing.assert_array_equal(stored.noisy.mosaic, sources[0].noisy.mosaic)
    model = tiny().fit(pairs, source_pairs=pool)
    assert model.n_iter_ == fitted.n_iter_


def test_fit__other_mosaics_among_the_pairs__says_so(pairs):
    bayer = make_domain("NikonD850", 3, size=64, random_state=0)
    with pytest.raises(ValueError, match="the kind X-Trans, and a pair of 'NikonD850'"):
        tiny().fit(pairs, source_pairs=SourcePool({"NikonD850": bayer}))


def test_predict__bayer_image_by_an_x_trans_model__says_so(fitted, pairs):
    (bayer,) = make_domain("NikonD850", 1, size=64, random_state=0)
    with pytest.raises(ValueError, match="the kind Bayer, and this model denoises X-T"):
        fitted.predict(bayer.noisy, fitted.sensors_.get("X"))


def test_universal__x_trans__takes_noise_away_without_pairs():
    pairs = make_domain(camera(), 2, size=150, iso=3200, random_state=6)
    model, info = skadl.load_universal(device="cpu"), camera().info()
    model = pickle.loads(pickle.dumps(model))
    for pair in pairs:
        errors = [
            np.square(image.normalised() - pair.clean.normalised()).mean()
            for image in (pair.noisy, model.predict(pair.noisy, info, dtype=np.float32))
        ]
        assert errors[1] < 0.9 * errors[0]
    bayer = make_domain("NikonD850", 1, size=64, iso=3200, random_state=0)[0]
    assert model.predict(bayer.noisy, camera_info("NikonD850")).cfa == "RGGB"


def test_start__universal__has_a_network_of_nine_planes():
    start = find_start("universal")
    other = start.for_planes(9)
    assert (start.network.n_planes, other.network.n_planes) == (4, 9)
    sizes = start.network.describe() | {"n_planes": 9}
    assert other.network.describe() == sizes and other.defaults == start.defaults
    assert start.for_planes(4) is start


def test_start__bayer_model__x_trans_pairs__says_so():
    bayer = tiny(conditioning="noise").fit(
        make_domain("NikonD850", 3, size=64, random_state=0)
    )
    with pytest.raises(ValueError, match='the kind X-Trans: fit with start="universal'):
        find_start(bayer).for_planes(9)


def test_fit__transposing_augmentation_and_renoised_sources__run(pairs):
    sources = make_domain(camera("XTRANS-GRG", "Y"), 3, size=120, random_state=4)
    model = tiny(renoised_share=0.5, shot_noise_augmentation=0.5)
    model.fit(pairs, source_pairs=SourcePool({"Y": sources}))
    assert model.n_iter_ > 0


@pytest.mark.parametrize(
    "model",
    [
        baselines.BM3D(),
        baselines.DeepImagePrior(**SMALL, channels=4, n_scales=2),
        baselines.ZeroShotNoise2Noise(**SMALL),
        baselines.Blind2Unblind(**SMALL, base_channels=4, n_levels=2, patch_size=16),
        baselines.TargetOnly(
            **SMALL, n_finetune_iter=1, base_channels=4, n_levels=2, patch_size=16
        ),
    ],
    ids=lambda model: type(model).__name__,
)
def test_baseline__x_trans__gives_an_image_of_the_mosaic(pairs, model):
    if isinstance(model, baselines.BM3D):
        pytest.importorskip("bm3d")
    (pair,) = make_domain(camera(), 1, size=48, iso=800, random_state=5)
    denoised = clone(model).fit(pairs).predict(pair.noisy)
    assert denoised.cfa == pair.noisy.cfa
    assert denoised.mosaic.shape == pair.noisy.mosaic.shape
