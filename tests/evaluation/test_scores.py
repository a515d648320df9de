"""Each rule of each protocol against a computation that shares no code with it."""

from __future__ import annotations

import math
import operator
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, uniform_filter

from skadl import ADLDenoiser, RawImage, RawPair
from skadl.datasets import make_domain
from skadl.evaluation.metrics import clipped_psnr, ssim
from skadl.evaluation.protocols import PROTOCOLS, Score
from skadl.evaluation.scores import evaluate, evaluate_pairs

NAMES = ("sid", "eld", "pmn", "led", "sidd", "skadl")
CORRECTED = ("sid", "eld", "pmn", "led")


def images(side=24, brightness=1.0, seed=0):
    """A clean image with white and black parts, and a worse one beyond both ends."""
    rng = np.random.default_rng(seed)
    clean = gaussian_filter(rng.random((4, side, side)), (0, 2, 2))
    clean = np.clip(4 * (clean - clean.mean()) + 0.5, 0, 1)
    denoised = brightness * clean + 0.05 * rng.standard_normal(clean.shape)
    return denoised.astype(np.float32), clean.astype(np.float32)


def slow_psnr(x, y, epsilon=0.0):
    errors = [(float(a) - float(b)) ** 2 for a, b in zip(x.flat, y.flat, strict=True)]
    return 10 * math.log10(1 / (math.fsum(errors) / len(errors) + epsilon))


def slow_correction(x, y):
    """Multiply x by the factor on it that a least-squares solver finds."""
    lit = y != 1
    factor = np.linalg.lstsq(x[lit][:, None], y[lit], rcond=None)[0][0]
    return factor * x


def slow_ssim(x, y, average, inset, unbiased):
    """Equation 13 of Wang et al. (2004) on one plane, data range 255 as papers do."""
    x, y = 255 * x, 255 * y
    mx, my = average(x), average(y)
    vx = unbiased * (average(x * x) - mx**2)
    vy = unbiased * (average(y * y) - my**2)
    vxy = unbiased * (average(x * y) - mx * my)
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    structure = (2 * vxy + c2) / (vx + vy + c2)
    return (luminance * structure)[inset:-inset, inset:-inset].mean()


def box(plane):
    return uniform_filter(plane, 7)


def bell(plane):
    return gaussian_filter(plane, 1.5, radius=5)


def expected(name, denoised, clean):
    """PSNR and SSIM, each protocol written out anew."""
    x, y = (np.clip(image.astype(float), 0, 1) for image in (denoised, clean))
    if name in CORRECTED:
        x = slow_correction(x, y)
    if name == "led":
        x, y = x[:, 2:-2, 2:-2], y[:, 2:-2, 2:-2]
        planes = [slow_ssim(a, b, bell, 5, 1) for a, b in zip(x, y, strict=True)]
        return slow_psnr(x, y, epsilon=1e-8), np.mean(planes)
    x = np.minimum(x, 1)
    planes = [slow_ssim(a, b, box, 3, 49 / 48) for a, b in zip(x, y, strict=True)]
    return slow_psnr(x, y), np.mean(planes)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "sid"])
@pytest.mark.parametrize("brightness", [0.8, 1.0, 1.2])
def test_evaluate__each_protocol__is_what_its_source_computes(name, brightness):
    denoised, clean = images(brightness=brightness)
    score = evaluate(denoised, clean, protocol=name)
    assert (score.psnr, score.ssim) == pytest.approx(expected(name, denoised, clean))
    assert (score.protocol, score.n_images, score.images) == (name, 1, ())


@pytest.mark.parametrize("shape", [(512, 512), (530, 515), (513, 700)])
def test_evaluate__sid__scores_the_middle_as_eld_does(shape):
    rng = np.random.default_rng(1)
    clean = rng.random((4, *shape))
    denoised = 0.9 * clean
    denoised += 0.1 * rng.standard_normal(clean.shape)
    top, left = shape[0] // 2 - 256, shape[1] // 2 - 256
    middle = np.s_[:, top : top + 512, left : left + 512]
    score = evaluate(denoised, clean, protocol="sid")
    same = evaluate(denoised[middle], clean[middle], protocol="eld")
    assert (score.psnr, score.ssim) == (same.psnr, same.ssim)
    outside = np.zeros_like(denoised)
    outside[middle] = denoised[middle]
    assert evaluate(outside, clean, protocol="sid") == score
    outside[0, top, left] = 1 - outside[0, top, left]  # the first pixel that counts
    assert evaluate(outside, clean, protocol="sid") != score


def test_evaluate__sid__refuses_what_has_no_such_middle():
    with pytest.raises(ValueError, match="middle 512x512 .* got 24x24; .*'pmn'"):
        evaluate(*images(), protocol="sid")


def test_evaluate__skadl__is_the_score_of_the_estimator():
    denoised, clean = images(brightness=1.1)
    score = evaluate(denoised, clean)
    assert score.psnr == pytest.approx(clipped_psnr(denoised, clean), abs=1e-9)
    clipped = (np.clip(image, 0, 1) for image in (denoised, clean))
    assert score.ssim == pytest.approx(ssim(*clipped))


@given(factor=st.floats(0.3, 1.0), name=st.sampled_from(["eld", "pmn", "led"]))
def test_evaluate__corrected__no_brightness_matters(factor, name):
    denoised, clean = images()
    plain = evaluate(np.clip(denoised, 0, 1), clean, protocol=name)
    darker = evaluate(factor * np.clip(denoised, 0, 1), clean, protocol=name)
    assert darker.psnr == pytest.approx(plain.psnr)
    assert darker.ssim == pytest.approx(plain.ssim)


@pytest.mark.parametrize("name", ["sidd", "skadl"])
def test_evaluate__not_corrected__brightness_matters(name):
    _, clean = images()
    assert evaluate(0.9 * clean, clean, protocol=name).psnr < 30


@pytest.mark.parametrize("name", CORRECTED[1:])
def test_evaluate__white_parts__have_no_say_in_the_correction(name):
    clean = np.full((4, 32, 32), 0.2)
    clean[:, :, 16:] = 1
    denoised = np.where(clean == 1, 0.25, 0.1)
    if name == "led":  # the factor two, and nothing is clipped or cut but the border
        errors = [0] * 14 + [0.5] * 14
        assert evaluate(denoised, clean, protocol=name).psnr == pytest.approx(
            -10 * np.log10(np.mean(np.square(errors)) + 1e-8)
        )
    else:
        mse = 0.5**2 / 2
        assert evaluate(denoised, clean, protocol=name).psnr == pytest.approx(
            -10 * np.log10(mse)
        )


def test_evaluate__correction_beyond_white__is_clipped_in_eld_and_not_in_led():
    clean = np.full((4, 32, 32), 0.6)
    clean[:, :, 20:] = 1
    denoised = np.where(clean == 1, 0.9, 0.3)  # the correction doubles it
    assert evaluate(denoised, clean, protocol="eld").psnr > 90
    assert evaluate(denoised, clean, protocol="led").psnr < 10


def test_evaluate__led__leaves_out_two_pixels_and_ends_at_80_db():
    _, clean = images()
    denoised = clean.copy()
    denoised[:, :2] = denoised[:, -2:] = 0
    denoised[:, :, :2] = denoised[:, :, -2:] = 0
    # The correction still sees the border, as it does there.
    assert evaluate(clean, clean, protocol="led").psnr == pytest.approx(80)
    x = slow_correction(denoised.astype(float), clean.astype(float))
    inner = np.s_[:, 2:-2, 2:-2]
    assert evaluate(denoised, clean, protocol="led").psnr == pytest.approx(
        slow_psnr(x[inner], clean[inner], 1e-8)
    )


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("sid", "led")])
def test_evaluate__identical_images__one_16_bit_step_and_ssim_one(name):
    _, clean = images()
    score = evaluate(clean, clean, protocol=name)
    assert score.psnr == pytest.approx(20 * np.log10(65535))
    assert score.ssim == pytest.approx(1)


@pytest.mark.parametrize("name", [n for n in NAMES if n != "sid"])
def test_evaluate__beyond_black_and_white__does_not_count(name):
    denoised, clean = images()
    clipped = evaluate(np.clip(denoised, 0, 1), np.clip(clean, 0, 1), protocol=name)
    assert evaluate(denoised, clean, protocol=name) == clipped
    below = np.where(clean == 0, -0.3, clean)
    above = np.where(below == 1, 1.7, below)
    assert evaluate(denoised, above, protocol=name) == clipped


def sky(n_stars, seed=0):
    """A clean frame of the sky, and one whose stars lie a pixel off."""
    rng = np.random.default_rng(seed)
    clean = 0.1 + 0.001 * rng.standard_normal((4, 64, 64))
    denoised = clean + 0.002 * rng.standard_normal(clean.shape)
    expected = slow_psnr(denoised, clean)
    for row, column in rng.integers(6, 56, (n_stars, 2)):
        clean[:, row : row + 4, column : column + 4] = 0.8
        denoised[:, row + 1 : row + 5, column : column + 4] = 0.8
    return denoised, clean, expected


@pytest.mark.parametrize("n_stars", [0, 1, 12])
def test_evaluate__sky__neither_stars_nor_empty_borders_count(n_stars):
    denoised, clean, expected = sky(n_stars)
    clean[:, :3] = 0.0  # no frame of a burst reaches there
    score = evaluate(denoised, clean, protocol="sky")
    assert score.psnr == pytest.approx(expected, abs=0.1)
    assert evaluate(denoised, clean).psnr < expected - 10


def test_evaluate__sky__of_a_picture_without_sky_says_so():
    _, clean, _ = sky(0)
    clean[:, ::5, ::5] = 0.8
    with pytest.raises(ValueError, match="sky between stars.*under 'skadl'"):
        evaluate(clean, clean, protocol="sky")


def test_evaluate__several_images__is_the_mean_of_their_scores():
    pairs = [images(seed=seed, brightness=0.8 + 0.1 * seed) for seed in range(3)]
    score = evaluate(*zip(*pairs, strict=True), protocol="led")
    assert score.n_images == len(score.images) == 3
    alone = [evaluate(*pair, protocol="led") for pair in pairs]
    assert score.images == tuple(alone)
    assert score.psnr == pytest.approx(np.mean([one.psnr for one in alone]))
    assert score.ssim == pytest.approx(np.mean([one.ssim for one in alone]))
    stacked = evaluate(*(np.stack(i) for i in zip(*pairs, strict=True)), protocol="led")
    assert stacked == score


def test_evaluate__raw_images__are_normalised_with_their_light_factor():
    pair = make_domain("NikonD850", 1, size=32, ratio=50, random_state=0)[0]
    assert evaluate(pair.noisy, pair.clean, protocol="eld") == evaluate(
        pair.noisy.normalised(), pair.clean.normalised(), protocol="eld"
    )


@pytest.mark.parametrize("name", CORRECTED[1:])
def test_evaluate__black_clean_frame__is_refused_where_it_would_win(name):
    denoised, clean = images()
    with pytest.raises(ValueError, match="a clean image is black.*Check black level"):
        evaluate(denoised, 0 * clean, protocol=name)
    assert evaluate(denoised, 0 * clean, protocol="skadl").psnr < 20


@pytest.mark.parametrize("name", [n for n in NAMES if n != "sid"])
def test_evaluate__black_or_white_image__has_a_finite_score(name):
    _, clean = images()
    for denoised, truth in ((0 * clean, clean), (clean, np.ones_like(clean))):
        score = evaluate(denoised, truth, protocol=name)
        assert np.isfinite([score.psnr, score.ssim]).all()


@pytest.mark.parametrize(
    ("denoised", "clean", "message"),
    [
        (np.zeros((4, 16, 16)), np.zeros((4, 16, 18)), "must have one shape"),
        (np.full((4, 16, 16), np.nan), np.zeros((4, 16, 16)), "must be finite"),
        (np.zeros((4, 16, 16)), [np.zeros((4, 16, 16))], "one image and a sequence"),
        ([np.zeros((4, 16, 16))], [], "got 1 denoised and 0 clean"),
        ([], [], "at least one"),
        (np.zeros((16, 16)), np.zeros((16, 16)), "RawImage or planes of shape"),
        (np.zeros((4, 6, 16)), np.zeros((4, 6, 16)), "at least 7x7"),
    ],
)
def test_evaluate__what_cannot_be_scored__says_why(denoised, clean, message):
    with pytest.raises(ValueError, match=message):
        evaluate(denoised, clean)


@pytest.mark.parametrize("name", ["ELD", None, [], "psnr"])
def test_evaluate__unknown_protocol__lists_the_known(name):
    with pytest.raises(ValueError, match="not known; choose one of .*'sid', 'eld'"):
        evaluate(*images(), protocol=name)


def test_evaluate__led__needs_its_window_inside_the_border():
    _, clean = images(side=14)
    with pytest.raises(ValueError, match="at least 15x15"):
        evaluate(clean, clean, protocol="led")


@pytest.mark.parametrize(
    "compare", [operator.lt, operator.le, operator.gt, operator.ge, operator.sub]
)
def test_score__other_protocol__is_not_compared(compare):
    with pytest.raises(ValueError, match="'eld'.* cannot be compared"):
        compare(Score(40.0, 0.9, "eld"), Score(41.0, 0.9, "pmn"))
    with pytest.raises(TypeError):
        compare(Score(40.0, 0.9, "eld"), 41.0)


def test_score__one_protocol__is_ordered_and_subtracted():
    low, high = Score(40.0, 0.9, "eld"), Score(41.5, 0.95, "eld")
    assert low < high and high > low and low <= low and high >= low
    assert max(low, high) is high
    gain = high - low
    assert (gain.psnr, gain.ssim, gain.protocol) == pytest.approx((1.5, 0.05, "eld"))
    assert str(gain) == "+1.50 dB, SSIM +0.0500 (protocol eld)"
    assert low != replace(low, protocol="pmn")
    assert pickle.loads(pickle.dumps(low)) == low


def test_protocols__each__names_its_source():
    assert tuple(PROTOCOLS) == (*NAMES, "sky")
    for name, protocol in PROTOCOLS.items():
        assert protocol.name == name and protocol.source and protocol.images


@pytest.fixture(scope="module")
def pairs() -> list[RawPair]:
    return make_domain("SonyA7S2", 2, size=48, iso=800, ratio=30, random_state=0)


@pytest.fixture
def model(make_network, sensor_table, conditioning) -> ADLDenoiser:
    """A model as a fit would leave it behind, without the fit."""
    model = ADLDenoiser()
    model.module_ = make_network(conditioning.length, noise=0.1)
    model.sensors_ = sensor_table
    model.device_ = next(model.module_.parameters()).device
    model.conditioning_ = conditioning
    return model


def test_evaluate_pairs__estimator__is_its_score_under_skadl(model, pairs):
    own = [
        RawPair(replace(p.noisy, sensor="A"), replace(p.clean, sensor="A"))
        for p in pairs
    ]
    score = evaluate_pairs(model, own)
    assert score.psnr == pytest.approx(model.score(own), abs=1e-6)
    assert evaluate_pairs(model, own, protocol="eld").protocol == "eld"


def test_evaluate_pairs__function_object_or_none__are_denoisers(pairs):
    class Echo:
        def predict(self, image: RawImage) -> RawImage:
            return image

    unchanged = evaluate_pairs(None, pairs, protocol="pmn")
    assert unchanged.images == tuple(
        evaluate(p.noisy, p.clean, protocol="pmn") for p in pairs
    )
    assert evaluate_pairs(Echo(), pairs, protocol="pmn") == unchanged
    assert evaluate_pairs(lambda image: image, pairs, protocol="pmn") == unchanged


def test_evaluate_pairs__sid__denoises_the_middle_only(cfa):
    rng = np.random.default_rng(0)
    mosaic = rng.integers(600, 4000, (1040, 1062)).astype(np.uint16)
    noisy = RawImage(mosaic, cfa, 512, 4095, "A", 100)
    seen = []

    def denoise(image):
        seen.append(image)
        return image

    score = evaluate_pairs(denoise, [RawPair(noisy, noisy)], protocol="sid")
    assert score.psnr > 90
    middle = noisy.packed()[:, 4:516, 9:521]
    assert np.array_equal(seen[0].packed(), middle)


def test_evaluate_pairs__no_pairs_or_no_denoiser__says_what_is_needed(pairs):
    with pytest.raises(ValueError, match="no pairs to score"):
        evaluate_pairs(None, [])
    with pytest.raises(TypeError, match="fitted ADLDenoiser.*got int"):
        evaluate_pairs(3, pairs)
