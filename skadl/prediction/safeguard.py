"""How much of a correction an image can bear, judged without its clean frame.

A network trained on few scenes takes texture for noise, above all where there is
little noise to take. Stein's unbiased risk estimate (Stein, "Estimation of the mean
of a multivariate normal distribution", Annals of Statistics 1981) tells the error of
a denoised image from the noisy image, its noise level and the network's response to
a perturbation; the response is measured with one random probe (Ramani, Blu and
Unser, "Monte-Carlo SURE", IEEE Transactions on Image Processing 2008). And no pixel
may change by more than noise can have changed it: beside a star brighter than
anything seen in training a network leaves dark rings.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from skadl.noise.noise_level import NoiseLevel
from skadl.prediction.normalised_mosaic import NormalisedMosaic

# Size of the perturbation, in standard deviations of the noise: large enough to stand
# out of float32 and bfloat16, small enough that the network's response is a derivative.
PROBE = 0.3
# Variances are measured to about a sixth: below this the estimate may be blamed.
MARGIN = 1.2
MOST_SIGMAS = 4.0  # by which noise changes one pixel in 16,000
WINDOW = 192  # packed pixels; side of the windows that stand for a large image
WINDOWS = 3  # in each direction


def estimate_shrinkage(
    removed: Callable[[np.ndarray], np.ndarray],
    planes: np.ndarray | NormalisedMosaic,
    residual: np.ndarray | NormalisedMosaic,
    noise: NoiseLevel,
    rng: np.random.Generator,
) -> float:
    """Estimate which part, 0 to 1, of a correction an image gains from.

    `residual` is ``removed(planes)``, noisy minus denoised, both (4, h, w). Returned is
    the best part times `MARGIN`, so that an underrated noise level does not cost a good
    correction; up to twice the best part is a gain.

    With residual r, noise variance v of each pixel and clean image s, the error of
    ``x - t * r(x)`` is ``sum(v) + t**2 * sum(r**2) - 2 * t * sum(v * dr/dx)`` on
    average, which is smallest at ``t = sum(v * dr/dx) / sum(r**2)``. An ideal
    denoiser has t = 1; one that takes texture away has a large residual that does
    not respond to noise. Error of t: about ``1 / sqrt(number of pixels)`` where the
    noise level is right, and in proportion to an error of its variance.

    A large image is judged by nine windows of it, for each of which `removed` is
    called once. At their borders it gives something else than it gave for the whole
    image; a probe of random signs knows nothing of that, so the estimate stays
    unbiased.

    Half of every pixel is removed, whatever it holds: good for pure noise only.

    >>> rng = np.random.default_rng(0)
    >>> noise = NoiseLevel(shot=0.0, read=0.01)
    >>> flat = rng.normal(scale=0.1, size=(4, 64, 64))
    >>> estimate_shrinkage(lambda x: x / 2, flat, flat / 2, noise, rng)
    1.0
    >>> bright = flat + 1.0
    >>> estimate_shrinkage(lambda x: x / 2, bright, bright / 2, noise, rng) < 0.05
    True
    """
    # Stein: the mean of sum(noise * r(x)) needs no clean frame, it equals the mean of
    # sum(v * dr/dx). Monte-Carlo SURE: a probe b of variance v gives that as the mean
    # of sum(b * (r(x + e b) - r(x))) / e, for one evaluation instead of one a pixel.
    # The sum goes over all pixels, so one probe is enough.
    response = power = 0.0
    for window in _windows(*planes.shape[1:]):
        part, removed_part = planes[window], residual[window]
        # Of the denoised pixel: that of the noisy one goes with the noise itself, and
        # would find too little of it where noise is negative.
        signal = np.maximum(part - removed_part, 0)
        sigma = np.sqrt(noise.shot * signal + noise.read)
        # Rademacher: of all probes the one whose estimate varies least (Hutchinson).
        signs = 2 * rng.integers(0, 2, part.shape, dtype=np.int8) - 1
        probe = (sigma * signs).astype(part.dtype)
        change = removed(part + PROBE * probe) - removed_part
        response += float(np.sum(probe * change, dtype=float)) / PROBE
        power += float(np.sum(removed_part**2, dtype=float))
    if power == 0.0:  # nothing to take away: any part of it is the same
        return 1.0
    # Below 0 a correction responds against the noise, above 1 its own direction asks
    # for more than the network gave: neither is better than the end of the range.
    return min(max(MARGIN * response / power, 0.0), 1.0)


def clip_to_noise(
    residual: np.ndarray, planes: np.ndarray, noise: NoiseLevel
) -> np.ndarray:
    """Cut a correction (4, h, w) down to what noise can have done to each pixel.

    At most `MOST_SIGMAS` standard deviations, those of the brighter of the noisy and
    the denoised pixel. Hot pixels stay.

    >>> clip_to_noise(np.array([0.1, -3.0]), np.zeros(2), NoiseLevel(0.0, 0.01))
    array([ 0.1, -0.4])
    """
    # In place, one array beside the result: this runs over every band of a photograph.
    most = planes - residual
    np.maximum(most, planes, out=most)  # of the brighter, so that shadows are not cut
    np.maximum(most, 0, out=most)
    most *= MOST_SIGMAS**2 * noise.shot
    most += MOST_SIGMAS**2 * noise.read
    np.sqrt(most, out=most)
    limited = np.minimum(residual, most)
    np.negative(most, out=most)
    return np.maximum(limited, most, out=limited)


def _windows(height: int, width: int) -> list[tuple[slice, slice, slice]]:
    """Choose the whole of a small image, nine windows spread over a large one."""
    if height * width <= (WINDOWS * WINDOW) ** 2:
        return [np.s_[:, :, :]]
    tops, lefts = (
        np.linspace(0, max(side - WINDOW, 0), WINDOWS).astype(int).tolist()
        for side in (height, width)
    )
    return [
        np.s_[:, top : top + WINDOW, left : left + WINDOW]
        for top in tops
        for left in lefts
    ]
