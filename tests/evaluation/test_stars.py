"""Stars of known flux, planted; and denoisers whose harm to them is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from scipy.special import erf

from skadl import RawImage
from skadl.evaluation.star_finding import Stars, aperture_flux, find_stars, star_margin
from skadl.evaluation.star_report import evaluate_stars
from skadl.raw.mosaic import unpack_mosaic

FWHM = 3.0
SIDE = 310
SKY, NOISE = 100.0, 2.0
FIELD = np.array([(r, c) for r in range(20, 291, 18) for c in range(20, 291, 18)])


def draw_stars(stars, shape=(SIDE, SIDE), fwhm=FWHM):
    """Gaussian stars integrated over each pixel, which widens them to `fwhm`."""
    sigma = np.sqrt(fwhm**2 / (8 * np.log(2)) - 1 / 12)
    profiles = []
    for axis in (0, 1):
        edges = np.arange(shape[axis] + 1) - 0.5 - stars.positions[:, axis, None]
        profiles.append(np.diff(0.5 * erf(edges / (np.sqrt(2) * sigma))))
    return (profiles[0] * stars.flux[:, None]).T @ profiles[1]


def plant(flux, seed=0, jitter=0.5):
    """A field of stars on noise-free sky, their list, and a noisy frame of them."""
    rng = np.random.default_rng(seed)
    positions = FIELD + jitter * rng.uniform(-1, 1, FIELD.shape)
    stars = Stars(positions, np.broadcast_to(flux, len(FIELD)))
    clean = SKY + draw_stars(stars)
    return clean, stars, clean + rng.normal(0, NOISE, clean.shape)


def flux_at_snr(snr):
    """Flux at which a star has this SNR: white noise under the matched filter.

    The filter has no sum, over a disc of two FWHM; that takes a tenth of the SNR.
    """
    sigma = FWHM / np.sqrt(8 * np.log(2))
    return snr * NOISE * np.sqrt(4 * np.pi) * sigma / np.sqrt(1 - (sigma / FWHM) ** 2)


@pytest.fixture(scope="module")
def mixed():
    """Stars from invisible to bright."""
    return plant(flux_at_snr(np.geomspace(2, 200, len(FIELD))))


@given(
    position=st.tuples(st.floats(20, 30), st.floats(20, 30)),
    fwhm=st.floats(2.5, 5),
    slope=st.floats(-0.2, 0.2),
)
def test_aperture__gaussian_star__holds_the_share_of_theory(position, fwhm, slope):
    star = Stars([position], [1000.0])
    image = draw_stars(star, (51, 51), fwhm) + 7 + slope * np.arange(51)
    (flux,) = aperture_flux(image, star.positions, fwhm)
    # Light counts where its pixel is, which widens a star once more.
    widened = fwhm * np.sqrt(1 + 8 * np.log(2) / 12 / fwhm**2)
    share = 1 - 2 ** (-4 * (fwhm / widened) ** 2)
    assert flux == pytest.approx(1000 * share, rel=0.01)


def test_aperture__agrees_with_photutils():
    aperture = pytest.importorskip("photutils.aperture")
    clean, stars, noisy = plant(1000.0)
    x_y = stars.positions[:, ::-1]
    for image in (clean, noisy):
        sky = aperture.ApertureStats(image, aperture.CircularAnnulus(x_y, 6, 10.5))
        table = aperture.aperture_photometry(image, aperture.CircularAperture(x_y, 3))
        expected = table["aperture_sum"] - 9 * np.pi * sky.median
        flux = aperture_flux(image, stars.positions, FWHM)
        # The annulus cuts pixels there, and its median has an error as well.
        assert np.abs(flux - expected).max() < 12
        assert np.abs(np.mean(flux - expected)) < 1


def test_find_stars__bright_field__finds_each_and_its_flux():
    clean, stars, noisy = plant(flux_at_snr(50.0))
    found = find_stars(noisy, fwhm=FWHM, snr=6)
    assert len(found) == len(stars)
    nearest = np.abs(found.positions[:, None] - stars.positions).max(axis=2).min(axis=1)
    assert nearest.max() < 1.01
    assert np.median(found.flux) == pytest.approx(stars.flux[0], rel=0.06)


@pytest.mark.parametrize("smooth", [0.0, 1.5])
def test_find_stars__sky_alone__is_empty_however_its_noise_is_correlated(smooth):
    rng = np.random.default_rng(1)
    sky = gaussian_filter(rng.normal(SKY, NOISE, (500, 500)), smooth)
    rows, columns = np.mgrid[:500, :500]
    for background in (0, 0.2 * rows, 1e-4 * (rows - 250) ** 2 + 0.1 * columns):
        assert len(find_stars(sky + background, fwhm=FWHM, snr=5.5)) == 0


def test_find_stars__constant_image__has_none():
    for level in (0.0, 1e-3, 7e4):
        assert len(find_stars(np.full((64, 64), level), fwhm=FWHM)) == 0


def test_find_stars__planes_and_raw_images__are_searched_as_their_mean(cfa):
    clean, stars, _ = plant(3000.0)
    planes = np.stack([clean, 2 * clean, 2 * clean, clean])
    from_planes = find_stars(planes, fwhm=FWHM)
    from_mean = find_stars(planes.mean(axis=0), fwhm=FWHM)
    image = RawImage(unpack_mosaic(planes, cfa), cfa, 0, 1000, "A", 100, ratio=1000)
    from_raw = find_stars(image, fwhm=FWHM)
    for found in (from_planes, from_raw):
        assert np.array_equal(found.positions, from_mean.positions)
        assert np.allclose(found.flux, from_mean.flux, rtol=1e-3)
    assert len(from_mean) == len(stars)


@pytest.mark.parametrize("snr", [4.0, 5.0, 7.0])
def test_evaluate__stars_at_the_threshold__half_are_found(snr):
    _, stars, noisy = plant(flux_at_snr(snr), jitter=0)
    report = evaluate_stars(noisy, noisy, stars, fwhm=FWHM, snr=snr)
    assert 0.35 < report.before.recovered < 0.65
    assert report.before == report.after
    (entry,) = report.bins
    assert entry.snr == pytest.approx(snr, rel=0.1) and entry.n_stars == len(FIELD)


def test_evaluate__flux_scatter__is_that_of_the_noise_in_the_aperture():
    flux = 2000.0
    _, stars, noisy = plant(flux)
    report = evaluate_stars(noisy, noisy, stars, fwhm=FWHM)
    n_pixels, n_sky = np.pi * FWHM**2, np.pi * FWHM**2 * (3.5**2 - 2**2)
    sky_error = NOISE * np.sqrt(np.pi / 2 / n_sky)  # of a median
    noise = np.hypot(NOISE * np.sqrt(n_pixels), n_pixels * sky_error)
    (entry,) = report.bins
    assert entry.scatter[0] == pytest.approx(noise / (0.94 * flux), rel=0.15)
    assert entry.bias[0] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("as_list", [True, False])
def test_evaluate__perfect_denoiser__keeps_all_and_invents_none(mixed, as_list):
    clean, stars, noisy = mixed
    report = evaluate_stars(noisy, clean, stars if as_list else clean, fwhm=FWHM)
    assert report.n_stars == len(stars)
    assert report.after.recovered == report.recovered_at_equal_false == 1
    assert report.after.n_false == 0
    assert 0.3 < report.before.recovered < 0.9
    for entry in report.bins:
        assert entry.bias[1] == pytest.approx(0, abs=0.02 if as_list else 1e-9)
        assert entry.scatter[1] < (0.01 if as_list else 1e-9)
    faint = report.bins[-1]
    assert faint.snr < 4 and faint.recovered[0] < 0.3 and faint.scatter[0] > 0.1


def test_evaluate__faint_stars_deleted__are_missed_where_they_were(mixed):
    clean, stars, noisy = mixed
    bright = Stars(stars.positions[100:], stars.flux[100:])
    report = evaluate_stars(noisy, SKY + draw_stars(bright), stars, fwhm=FWHM)
    assert report.after.recovered == pytest.approx(1 - 100 / len(stars))
    faint, brightest = report.bins[-1], report.bins[0]
    assert faint.recovered[1] == 0 and faint.bias[1] == pytest.approx(-1, abs=0.01)
    assert brightest.recovered[1] == 1


def test_evaluate__invented_stars__are_counted(mixed):
    clean, stars, noisy = mixed
    places = FIELD[(FIELD < 280).all(axis=1)][:40] + 9.0
    invented = Stars(places, np.full(40, 500.0))
    report = evaluate_stars(noisy, clean + draw_stars(invented), stars, fwhm=FWHM)
    assert report.after.n_false == 40
    assert report.after.recovered == 1
    # The threshold that hides them hides the stars fainter than they are.
    limit = np.mean(stars.flux > 500)
    assert report.recovered_at_equal_false == pytest.approx(limit, abs=0.02)


@pytest.mark.parametrize("loss", [0.0, 0.1, 0.5])
def test_evaluate__flux_lost__is_the_bias(mixed, loss):
    clean, _, noisy = mixed
    report = evaluate_stars(noisy, (1 - loss) * clean, clean, fwhm=FWHM)
    for entry in report.bins:
        assert entry.bias[1] == pytest.approx(-loss, abs=1e-6)


def test_evaluate__sky_level_and_slope__change_nothing(mixed):
    clean, stars, noisy = mixed
    plain = evaluate_stars(noisy, clean, stars, fwhm=FWHM)
    slope = 30 + 0.005 * np.arange(SIDE)
    tilted = evaluate_stars(noisy + slope, clean + slope, stars, fwhm=FWHM)
    assert tilted.before == plain.before and tilted.after == plain.after
    for one, other in zip(plain.bins, tilted.bins, strict=True):
        assert one.bias == pytest.approx(other.bias, abs=0.02)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_evaluate__unit__moves_magnitudes_only(mixed, scale):
    clean, stars, noisy = mixed
    plain = evaluate_stars(noisy, clean, clean, fwhm=FWHM)
    scaled = evaluate_stars(
        *(scale * image for image in (noisy, clean, clean)),
        fwhm=FWHM,
        zero_point=2.5 * np.log10(scale),
    )
    assert scaled.before == plain.before and scaled.after == plain.after
    assert [b.magnitude for b in scaled.bins] == [b.magnitude for b in plain.bins]


def test_evaluate__bins__hold_every_star_once_at_its_magnitude(mixed):
    _, stars, noisy = mixed
    report = evaluate_stars(
        noisy, noisy, stars, fwhm=FWHM, zero_point=25, bin_width=0.5
    )
    assert sum(entry.n_stars for entry in report.bins) == report.n_stars == len(stars)
    magnitude = 25 - 2.5 * np.log10(stars.flux)
    for entry in report.bins:
        inside = np.abs(magnitude - entry.magnitude) <= 0.25
        assert entry.n_stars == inside.sum()
    middles = [entry.magnitude for entry in report.bins]
    assert middles == sorted(middles)


def test_evaluate__stars_at_the_edge__neither_count_nor_are_false():
    margin = star_margin(FWHM)
    edge = [(margin - 1, c) for c in range(20, 291, 20)]
    stars = Stars([*edge, (150, 150)], np.full(len(edge) + 1, 2000.0))
    rng = np.random.default_rng(3)
    clean = SKY + draw_stars(stars)
    noisy = clean + rng.normal(0, NOISE, clean.shape)
    averaged = clean + rng.normal(0, NOISE / 5, clean.shape)
    for reference in (stars, averaged):
        report = evaluate_stars(noisy, clean, reference, fwhm=FWHM, snr=6)
        assert report.before.n_false == report.after.n_false == 0
        assert report.n_stars <= len(stars) and report.after.recovered == 1
    assert evaluate_stars(noisy, clean, stars, fwhm=FWHM, snr=6).n_stars == 1


def test_evaluate__noise_of_the_clean_frame__is_not_the_denoisers_fault(mixed):
    """A star too faint to count in the averaged frame is no invention."""
    clean, _, noisy = mixed
    averaged = clean + np.random.default_rng(9).normal(0, NOISE / 4, clean.shape)
    report = evaluate_stars(noisy, clean, averaged, fwhm=FWHM, snr=8)
    assert report.n_stars < len(FIELD)
    assert report.after.n_false <= 2


def test_summary__names_figures_and_every_bin(mixed):
    clean, stars, noisy = mixed
    report = evaluate_stars(noisy, 0.9 * clean, stars, fwhm=FWHM)
    text = report.summary()
    assert f"{len(stars)} stars, searched at SNR 5" in text
    assert f"false: {report.before.n_false} -> {report.after.n_false}" in text
    rows = text.splitlines()[-len(report.bins) :]
    for row, entry in zip(rows, report.bins, strict=True):
        assert row.split()[:2] == [f"{entry.magnitude:.2f}", str(entry.n_stars)]
    assert max(map(len, text.splitlines())) <= 80


@pytest.mark.parametrize("position", range(3))
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.full((64, 64), np.nan), "must be finite"),
        (np.zeros((20, 64)), "sides of at least 25 for fwhm=3"),
        (np.zeros(64), r"\(h, w\) or \(planes, h, w\)"),
        (np.zeros((64, 65)), "shape"),
    ],
)
def test_evaluate__unusable_image__is_refused(position, bad, message):
    images = [draw_stars(Stars([(32, 32)], [900.0]), (64, 64)) for _ in range(3)]
    images[position] = bad
    with pytest.raises(ValueError, match=message):
        evaluate_stars(*images, fwhm=FWHM)


@pytest.mark.parametrize("name", ["fwhm", "snr", "bin_width"])
def test_evaluate__argument_not_positive__is_named(name):
    image = np.zeros((64, 64))
    with pytest.raises(ValueError, match=f"{name} must be a positive"):
        evaluate_stars(image, image, image, **{"fwhm": FWHM, name: 0})


def test_evaluate__no_star__says_what_to_change():
    image = np.random.default_rng(0).normal(SKY, NOISE, (64, 64))
    for reference in (Stars([], []), Stars([(2, 2)], [100.0]), np.zeros((64, 64))):
        with pytest.raises(ValueError, match="found no star in the reference"):
            evaluate_stars(image, image, reference, fwhm=FWHM)


def test_stars__positions_and_flux__must_match_and_be_finite():
    with pytest.raises(ValueError, match="got 2 positions and 1 fluxes"):
        Stars([(1, 2), (3, 4)], [5.0])
    with pytest.raises(ValueError, match="must be finite"):
        Stars([(1, np.nan)], [5.0])
