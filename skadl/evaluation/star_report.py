"""What a denoiser does to faint stars: which it keeps or invents, and their flux.

A PSNR hardly sees a star of nine pixels that is gone. Here every star counts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial import cKDTree

from skadl.evaluation.star_finding import (
    SHARE_IN_APERTURE,
    Stars,
    aperture_flux,
    filter_stars,
    search_stars,
    star_brightness,
    star_margin,
)
from skadl.raw.image import check_positive
from skadl.support.robust import robust_sigma
from skadl.support.text import aligned, percent

# SNR from which a peak of the clean frame may be a star. That frame is an average with
# noise of its own: a find beside such a peak is neither a star nor an invention.
_SUSPECTED = 3.0


@dataclass(frozen=True)
class StarDetection:
    """How many stars a search finds in one image."""

    recovered: float  # share of the stars that are found
    n_false: int  # finds where there is no star


@dataclass(frozen=True)
class MagnitudeBin:
    """Stars of about one brightness, before and after denoising."""

    magnitude: float  # middle of the bin; magnitudes rise towards faint stars
    n_stars: int
    snr: float  # in the noisy frame, under the filter of the search; median
    recovered: tuple[float, float]  # share found, before and after
    bias: tuple[float, float]  # median error of the flux: -0.1 is 10 % too faint
    scatter: tuple[float, float]  # robust standard deviation of that error


@dataclass(frozen=True)
class StarReport:
    """What denoising did to the stars of an image; `summary` tells it as a table.

    Parameters
    ----------
    n_stars : int
    snr : float
        Threshold of the search, in standard deviations of the filtered sky of the
        image itself.
    before, after : StarDetection
        In the noisy and in the denoised image.
    recovered_at_equal_false : float
        Share found in the denoised image when the threshold is moved until it shows
        no more false stars than the noisy one. A denoised sky is smooth, so its own
        standard deviation is a kinder threshold than the noisy one's; this is not.
    bins : tuple of MagnitudeBin
        From bright to faint; empty bins are left out.
    """

    n_stars: int
    snr: float
    before: StarDetection
    after: StarDetection
    recovered_at_equal_false: float
    bins: tuple[MagnitudeBin, ...]

    def summary(self) -> str:
        """Tell the report in plain text."""
        return describe_stars(self)


def evaluate_stars(
    noisy: Any,
    denoised: Any,
    reference: Any,
    *,
    fwhm: float,
    snr: float = 5.0,
    zero_point: float = 0.0,
    bin_width: float = 1.0,
) -> StarReport:
    """Compare the stars of an image before and after denoising with the true ones.

    Parameters
    ----------
    noisy, denoised : ndarray of shape (h, w) or (planes, h, w), or RawImage
        Linear, of one exposure; see `find_stars`.
    reference : Stars, or clean image like `noisy`
        The true stars; or the mean of many frames, in which they are searched first.
        What may be a star there (SNR 3) is no false detection.
    fwhm : float
        Full width of a star at half its maximum, in pixels.
    snr : float, default=5
        Threshold of the search.
    zero_point : float, default=0
        Magnitude of a star of flux 1.
    bin_width : float, default=1
        In magnitudes.

    Returns
    -------
    StarReport

    Raises
    ------
    ValueError
        If shapes differ, a value is not finite, or no star lies far enough inside
        the image.

    Notes
    -----
    Flux is measured in an aperture of radius `fwhm` at the true positions, found or
    not, over the median of an annulus from 2 to 3.5 `fwhm`. With a clean image as
    reference its own aperture flux is the truth; of a list of stars 94 % of the given
    flux is, as for a Gaussian star. A find counts for the nearest star within one
    `fwhm`.

    Examples
    --------
    >>> rows, columns = np.mgrid[:64, :64]
    >>> clean = 30 * np.exp(-((rows - 20) ** 2 + (columns - 40) ** 2) / 4)
    >>> noisy = clean + np.random.default_rng(0).normal(100, 1, (64, 64))
    >>> truth = Stars([(20, 40)], [30 * 4 * np.pi])
    >>> report = evaluate_stars(noisy, 0.9 * clean, truth, fwhm=3.33)
    >>> report.after, round(report.bins[0].bias[1], 1)
    (StarDetection(recovered=1.0, n_false=0), -0.1)
    """
    check_positive("snr", snr)
    check_positive("bin_width", bin_width)
    images = [star_brightness(image, fwhm) for image in (noisy, denoised)]
    if images[0].shape != images[1].shape:
        raise ValueError(
            "the noisy and the denoised image must have one shape, got "
            f"{images[0].shape} and {images[1].shape}."
        )
    _, sigma = filter_stars(images[0], fwhm)
    positions, flux, heights, known = _true_stars(reference, images[0], fwhm, snr)
    number = np.arange(len(flux))
    finds = [_match(image, known, fwhm, min(snr, _SUSPECTED)) for image in images]
    strong = [claim[significance >= snr] for claim, significance in finds]
    is_found = [np.isin(number, claim) for claim in strong]
    before, after = (
        StarDetection(float(found.mean()), int(np.sum(claim < 0)))
        for found, claim in zip(is_found, strong, strict=True)
    )
    claim, _ = finds[1]  # by falling significance: cut where the false ones are as many
    equal = np.isin(number, claim[np.cumsum(claim < 0) <= before.n_false])
    errors = [aperture_flux(image, positions, fwhm) / flux - 1 for image in images]
    magnitude = zero_point - 2.5 * np.log10(flux / SHARE_IN_APERTURE)
    return StarReport(
        len(flux),
        float(snr),
        before,
        after,
        float(equal.mean()),
        _bins(magnitude, bin_width, heights / sigma, is_found, errors),
    )


def _match(
    image: np.ndarray, known: np.ndarray, fwhm: float, snr: float
) -> tuple[np.ndarray, np.ndarray]:
    """Find stars: the number of the known one, -1 for none, and significance."""
    peaks, significance = search_stars(image, fwhm, snr, star_margin(fwhm))
    distance, nearest = cKDTree(known).query(peaks.reshape(-1, 2))
    return np.where(distance <= fwhm, nearest, -1), significance


def _true_stars(
    reference: Any, noisy: np.ndarray, fwhm: float, snr: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Positions (n, 2), aperture fluxes and filtered heights of the stars that count.

    And the places of all, (m, 2): first those, then the ones near the edge or faint.
    """
    if isinstance(reference, Stars):
        places = reference.positions
        heights = reference.flux
        flux = heights * SHARE_IN_APERTURE
        counts = _lies_inside(places, noisy.shape, fwhm) & (flux > 0)
    else:
        clean = star_brightness(reference, fwhm)
        if clean.shape != noisy.shape:
            raise ValueError(
                "the clean image must have the shape of the noisy one, got "
                f"{clean.shape} and {noisy.shape}."
            )
        # A star beside the margin may be found inside it on a noisy frame.
        border = max(0, star_margin(fwhm) - math.ceil(fwhm) - 1)
        places, significance = search_stars(clean, fwhm, min(snr, _SUSPECTED), border)
        heights = filter_stars(clean, fwhm)[0][tuple(places.astype(int).T)]
        inside = _lies_inside(places, noisy.shape, fwhm)
        flux = np.zeros(len(places))
        flux[inside] = aperture_flux(clean, places[inside], fwhm)
        counts = (significance >= snr) & (flux > 0)
    if not counts.any():
        raise ValueError(
            "found no star in the reference that lies at least "
            f"{star_margin(fwhm)} pixels inside; give a larger image, a lower snr or "
            "the fwhm that its stars have."
        )
    known = np.concatenate([places[counts], places[~counts]])
    return places[counts], flux[counts], heights[counts], known


def _lies_inside(
    positions: np.ndarray, shape: tuple[int, ...], fwhm: float
) -> np.ndarray:
    margin = star_margin(fwhm)
    far = positions <= np.array(shape) - 1 - margin
    return ((positions >= margin) & far).all(axis=1)


def _bins(
    magnitude: np.ndarray,
    width: float,
    snr: np.ndarray,
    is_found: Sequence[np.ndarray],
    errors: Sequence[np.ndarray],
) -> tuple[MagnitudeBin, ...]:
    numbers = np.floor(magnitude / width).astype(int)
    bins = []
    for number in np.unique(numbers):
        inside = numbers == number
        bins.append(
            MagnitudeBin(
                float((number + 0.5) * width),
                int(inside.sum()),
                float(np.median(snr[inside])),
                tuple(float(found[inside].mean()) for found in is_found),
                tuple(float(np.median(error[inside])) for error in errors),
                tuple(_scatter(error[inside]) for error in errors),
            )
        )
    return tuple(bins)


_HEADINGS = ("magnitude", "stars", "SNR", "found", "flux bias", "flux scatter")


def describe_stars(report: StarReport) -> str:
    """Text with a line for each image, and a table of the magnitude bins."""
    n_stars = f"{report.n_stars} star{'s' if report.n_stars != 1 else ''}"
    lines = [f"{n_stars}, searched at SNR {report.snr:g}, before -> after denoising"]
    lines += [
        f"found: {percent(report.before.recovered)} -> "
        f"{percent(report.after.recovered)}; with as many false stars as before: "
        f"{percent(report.recovered_at_equal_false)}",
        f"false: {report.before.n_false} -> {report.after.n_false}",
        "",
    ]
    rows = [_HEADINGS]
    for stars in report.bins:
        rows.append(
            (
                f"{stars.magnitude:{len(_HEADINGS[0])}.2f}",
                f"{stars.n_stars}",
                f"{stars.snr:.1f}",
                " -> ".join(map(percent, stars.recovered)),
                " -> ".join(f"{bias:+.1%}" for bias in stars.bias),
                " -> ".join(f"{scatter:.1%}" for scatter in stars.scatter),
            )
        )
    return "\n".join(lines + aligned(rows))


def _scatter(errors: np.ndarray) -> float:
    return float(robust_sigma(errors - np.median(errors)))
