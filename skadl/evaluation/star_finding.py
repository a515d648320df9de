"""Stars in one image: found by a matched filter, measured in an aperture."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import correlate, maximum_filter
from skimage.feature import peak_local_max

from skadl.raw.image import RawImage, check_positive
from skadl.support.robust import robust_sigma

SHARE_IN_APERTURE = 1 - 2.0**-4  # of a Gaussian star, within a radius of one FWHM
_SIGMA_PER_FWHM = 1 / math.sqrt(8 * math.log(2))
# By hand, not by photutils: DAOStarFinder takes its threshold from the noise of pixels,
# and on the smooth noise that a denoiser leaves that means tens to hundreds of false
# stars. Given the threshold of this filter it finds the same, so the filter would stay.

# Of the matched filter, in FWHM. DAOFIND cuts at 0.64: less sky in the filter, but at
# one threshold a star then has to be about twice as bright to be found.
_FILTER_RADIUS = 2.0
_SKY = (2.0, 3.5)  # radii in FWHM of the annulus that the sky is the median of
# Peaks above _STAR_SIGMAS are taken out of the sky, three times at most, and only
# while a tenth of the image is left: in a crowded field all of it lies near a star.
_SKY_ROUNDS, _STAR_SIGMAS, _LEAST_SKY = 3, 4.0, 0.1
_SUBPIXELS = 5  # along each side, where the edge of an aperture cuts a pixel


@dataclass(frozen=True, eq=False)
class Stars:
    """Where stars are and how bright.

    Parameters
    ----------
    positions : array-like of shape (n, 2)
        Row and column, in pixels of the image (of packed planes: half those of the
        mosaic); whole numbers are centres of pixels.
    flux : array-like of shape (n,)
        Sum over all pixels of a star, sky left out, in the unit of the image.
    """

    positions: np.ndarray
    flux: np.ndarray

    def __post_init__(self) -> None:
        positions = np.asarray(self.positions, float).reshape(-1, 2)
        flux = np.asarray(self.flux, float).reshape(-1)
        if len(positions) != len(flux):
            raise ValueError(
                f"got {len(positions)} positions and {len(flux)} fluxes of stars; "
                "give one flux for each position."
            )
        if not (np.isfinite(positions).all() and np.isfinite(flux).all()):
            raise ValueError("positions and fluxes of stars must be finite.")
        super().__setattr__("positions", positions)
        super().__setattr__("flux", flux)

    def __len__(self) -> int:
        return len(self.flux)


def find_stars(image: Any, *, fwhm: float, snr: float = 5.0) -> Stars:
    """Find point sources by a matched filter, and measure their flux.

    Parameters
    ----------
    image : ndarray of shape (h, w) or (planes, h, w), or RawImage
        Linear. Of planes, and of the packed planes of a `RawImage`, the mean is
        searched.
    fwhm : float
        Full width of a star at half its maximum, in pixels of that mean.
    snr : float, default=5
        Least height of a star in the filtered image, in standard deviations of its
        sky.

    Returns
    -------
    Stars
        From the most to the least significant. The flux is that inside an aperture of
        radius `fwhm`, divided by the share (94 %) of a Gaussian star that it holds.

    Raises
    ------
    ValueError
        If the image is too small for stars of that width or holds NaN or infinity.

    Notes
    -----
    The filter is a Gaussian less its mean (Stetson, PASP 99, 191, 1987, Sect. III),
    so the level and the slope of the sky do not matter. The threshold follows from the
    median absolute deviation of the *filtered* image beside its brighter peaks, not
    from pixel noise: noise that a denoiser leaves is correlated, and a filter does not
    average it away.

    Examples
    --------
    >>> import numpy as np
    >>> rows, columns = np.mgrid[:64, :64]
    >>> sky = np.random.default_rng(0).normal(100, 1, (64, 64))
    >>> star = 30 * np.exp(-((rows - 20) ** 2 + (columns - 40) ** 2) / 4)
    >>> find_stars(sky + star, fwhm=3.3).positions
    array([[20., 40.]])
    """
    brightness = star_brightness(image, fwhm)
    check_positive("snr", snr)
    peaks, _ = search_stars(brightness, fwhm, snr, star_margin(fwhm))
    flux = aperture_flux(brightness, peaks, fwhm) / SHARE_IN_APERTURE
    return Stars(peaks, flux)


def star_brightness(image: Any, fwhm: float) -> np.ndarray:
    """Mean over planes of what `find_stars` takes as an image: (h, w), float64."""
    check_positive("fwhm", fwhm)
    planes = image.normalised() if isinstance(image, RawImage) else np.asarray(image)
    if planes.ndim == 3:
        planes = planes.mean(axis=0, dtype=float)
    least = 2 * star_margin(fwhm) + 1
    if planes.ndim != 2 or planes.dtype.kind not in "uif" or min(planes.shape) < least:
        raise ValueError(
            "an image of stars has the shape (h, w) or (planes, h, w) with sides of at "
            f"least {least} for fwhm={fwhm:g}, got {np.shape(image) or planes.shape}."
        )
    if not np.isfinite(planes).all():
        raise ValueError("an image of stars must be finite; got NaN or infinity.")
    return planes.astype(float)


def star_margin(fwhm: float) -> int:
    """Pixels from the edge that a star needs for its annulus of sky."""
    return math.ceil(_SKY[1] * fwhm) + 1


def filter_stars(image: np.ndarray, fwhm: float) -> tuple[np.ndarray, float]:
    """Response of the matched filter, (h, w), and the sigma of its sky, positive."""
    radius = max(2, round(_FILTER_RADIUS * fwhm))
    offsets = np.arange(-radius, radius + 1)
    squares = offsets[:, None] ** 2 + offsets**2
    inside = squares <= radius**2
    bell = np.exp(-0.5 * squares / (_SIGMA_PER_FWHM * fwhm) ** 2)
    # A kernel without a sum does not see the level of the sky, and by its symmetry not
    # the slope; scaled so that the response at a Gaussian star's centre is its flux.
    kernel = np.where(inside, bell - bell[inside].mean(), 0)
    kernel *= 2 * np.pi * (_SIGMA_PER_FWHM * fwhm) ** 2 / np.sum(kernel * bell)
    # Subtracting a constant changes nothing but the rounding.
    response = correlate(image - np.median(image), kernel, mode="nearest")
    sigma = _sky_noise(response, radius)
    rounding = 1e-12 * np.abs(image).max()  # a constant image has no noise but this
    return response, max(sigma, rounding, np.finfo(float).tiny)


def _sky_noise(response: np.ndarray, radius: int) -> float:
    """Measure the noise of a filtered image beside its stars and their dark rings."""
    is_sky = np.ones(response.shape, bool)
    for _ in range(_SKY_ROUNDS):
        sky = response[is_sky]
        level = np.median(sky)
        sigma = float(robust_sigma(sky - np.median(sky)))
        # A star also darkens the filtered sky around it, so all within the filter's
        # reach of a bright peak goes: the maximum over a window of that size.
        peaks = maximum_filter(response, 2 * radius + 1)
        fainter = peaks <= level + _STAR_SIGMAS * sigma
        if fainter.mean() < _LEAST_SKY:
            break
        is_sky = fainter
    return sigma


def search_stars(
    image: np.ndarray, fwhm: float, snr: float, border: int
) -> tuple[np.ndarray, np.ndarray]:
    """Peaks of the filtered image, (n, 2), and their significance, (n,), falling.

    No peak counts within `border` pixels of an edge.
    """
    response, sigma = filter_stars(image, fwhm)
    peaks = peak_local_max(
        response,
        min_distance=max(1, round(fwhm / 2)),  # closer peaks are one star
        threshold_abs=snr * sigma,
        exclude_border=border,
    )
    significance = response[tuple(peaks.T)] / sigma
    order = np.argsort(-significance, kind="stable")
    return peaks[order].astype(float), significance[order]


def aperture_flux(image: np.ndarray, positions: np.ndarray, fwhm: float) -> np.ndarray:
    """Flux within one FWHM of positions (n, 2), `star_margin` inside; over the sky."""
    reach = np.arange(-star_margin(fwhm), star_margin(fwhm) + 1)
    steps = (np.arange(_SUBPIXELS) + 0.5) / _SUBPIXELS - 0.5
    flux = np.empty(len(positions))
    for index, position in enumerate(positions):
        centre = np.rint(position).astype(int)
        rows, columns = (centre[axis] + reach for axis in (0, 1))
        patch = image[np.ix_(rows, columns)]
        # Squared distances of subpixels: (side, 1, steps, 1) and (1, side, 1, steps).
        down = (rows[:, None] + steps - position[0]) ** 2
        across = (columns[:, None] + steps - position[1]) ** 2
        squares = down[:, None, :, None] + across[None, :, None, :]
        share = (squares <= fwhm**2).mean(axis=(2, 3))
        middle = squares.mean(axis=(2, 3))
        is_sky = (middle >= (_SKY[0] * fwhm) ** 2) & (middle <= (_SKY[1] * fwhm) ** 2)
        flux[index] = np.sum(share * (patch - np.median(patch[is_sky])))
    return flux
