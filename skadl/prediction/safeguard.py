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

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from skadl.noise.noise_level import NoiseLevel
from skadl.prediction.blocks import BLOCK, sum_blocks, variance
from skadl.prediction.normalised_mosaic import NormalisedMosaic

Window = tuple[slice, slice, slice]

# Size of the perturbation, in standard deviations of the noise: large enough to stand
# out of float32 and bfloat16, small enough that the network's response is a derivative.
PROBE = 0.3
# Where an image bears out its noise level, variances are known to about a tenth.
MARGIN = 1.1
# Where it does not, a noise level too high by two must not do harm: what is taken away
# then is 1.6 times the best part. Of images of so much texture little can be taken.
CAUTION = 0.8
MOST_LEVELS = 6
LEAST_PIXELS = 16_384  # of all planes
MOST_SIGMAS = 4.0  # by which noise changes one pixel in 16,000
WINDOW = 192  # packed pixels; side of the windows that stand for a large image
WINDOWS = 3  # in each direction


class Planes(Protocol):
    """Planes (4, h, w) of which windows are read."""

    def __getitem__(self, window: Window) -> np.ndarray:
        """Read a window of all planes."""


@dataclass(frozen=True, eq=False)
class Trust:
    """Which part, 0 to 1, of a correction an image gains from, by level."""

    levels: np.ndarray  # (n,), rising
    parts: np.ndarray  # (n,)

    def at(self, levels: np.ndarray) -> np.ndarray:
        """Interpolate between levels.

        >>> Trust(np.array([0.0, 2.0]), np.array([0.5, 1.0])).at(np.array([-1.0, 1.0]))
        array([0.5 , 0.75])
        """
        return np.interp(levels, self.levels, self.parts)


def estimate_trust(
    removed: Callable[[np.ndarray], np.ndarray],
    planes: np.ndarray | NormalisedMosaic,
    residual: Planes,
    centred: Planes,
    noise: NoiseLevel,
    levels: np.ndarray,
    rng: np.random.Generator,
    margin: float = MARGIN,
) -> Trust:
    """Estimate which part of a correction an image gains from, by level.

    `residual` is ``removed(planes)``, noisy minus denoised, `centred` what is to be
    taken away, the same without its means; all (4, h, w). `levels` are those of the
    blocks of the frame, on any scale. Returned is the best part times `margin`; up to
    twice the best part is a gain.

    With residual r, noise variance v of each pixel and clean image s, the error of
    ``x - t * r(x)`` is ``sum(v) + t**2 * sum(r**2) - 2 * t * sum(v * dr/dx)`` on
    average, which is smallest at ``t = sum(v * dr/dx) / sum(r**2)``. An ideal
    denoiser has t = 1; one that takes texture away has a large residual that does
    not respond to noise. Error of t: about ``1 / sqrt(number of pixels)`` where the
    noise level is right, and in proportion to an error of its variance.

    The sums go over pixels of about the same level: at most `MOST_LEVELS` parts of the
    image, none of fewer than `LEAST_PIXELS`; a small image is judged as a whole.

    A large image is judged by nine windows of it, for each of which `removed` is
    called once. At their borders it gives something else than it gave for the whole
    image; a probe of random signs knows nothing of that, so the estimate stays
    unbiased.

    Half of every pixel is removed, whatever it holds: good for pure noise only.

    >>> rng = np.random.default_rng(0)
    >>> noise, levels = NoiseLevel(shot=0.0, read=0.01), np.zeros((16, 16))
    >>> flat = rng.normal(scale=0.1, size=(4, 64, 64))
    >>> half = lambda x: x / 2
    >>> estimate_trust(half, flat, flat / 2, flat / 2, noise, levels, rng).parts
    array([1.])
    >>> lit = flat + 1.0
    >>> estimate_trust(half, lit, lit / 2, lit / 2, noise, levels, rng).parts < 0.05
    array([ True])
    """
    steps = trust_steps(planes, residual, centred, noise, levels, rng, margin)
    answer = None
    while True:
        try:
            answer = removed(steps.send(answer))
        except StopIteration as end:
            return end.value


def trust_steps(
    planes: np.ndarray | NormalisedMosaic,
    residual: Planes,
    centred: Planes,
    noise: NoiseLevel,
    levels: np.ndarray,
    rng: np.random.Generator,
    margin: float = MARGIN,
) -> Generator[np.ndarray, np.ndarray, Trust]:
    """Estimate trust: yields planes, and is sent what is removed from each."""
    # Stein: the mean of sum(noise * r(x)) needs no clean frame, it equals the mean of
    # sum(v * dr/dx). Monte-Carlo SURE: a probe b of variance v gives that as the mean
    # of sum(b * (r(x + e b) - r(x))) / e, for one evaluation instead of one a pixel.
    # The sum goes over many pixels, so one probe is enough.
    places, responses, powers = [], [], []
    for window in judged_windows(*planes.shape[1:]):
        part, removed_part = planes[window], residual[window]
        # Of the denoised pixel: that of the noisy one goes with the noise itself, and
        # would find too little of it where noise is negative.
        sigma = np.sqrt(variance(noise, part - removed_part))
        # Rademacher: of all probes the one whose estimate varies least (Hutchinson).
        signs = 2 * rng.integers(0, 2, part.shape, dtype=np.int8) - 1
        probe = (sigma * signs).astype(part.dtype)
        change = (yield part + PROBE * probe) - removed_part
        responses.append(sum_blocks(probe * change).ravel() / PROBE)
        powers.append(sum_blocks(centred[window] ** 2).ravel())
        rows, columns = (
            slice(begin // BLOCK, -(-end // BLOCK))
            for begin, end, _ in (
                side.indices(length)
                for side, length in zip(window[1:], planes.shape[1:], strict=True)
            )
        )
        places.append(levels[rows, columns].ravel())
    place, response, power = (np.concatenate(p) for p in (places, responses, powers))
    nodes = _nodes(place, planes.shape[0] * BLOCK**2 * len(place))
    responses, powers = _share(place, response, nodes), _share(place, power, nodes)
    # Below 0 a correction responds against the noise, above 1 its own direction asks
    # for more than the network gave: neither is better than the end of the range.
    # Nothing to take away: any part of it is the same.
    known = powers > 0
    parts = np.ones(len(nodes))
    parts[known] = np.clip(margin * responses[known] / powers[known], 0, 1)
    return Trust(nodes, parts)


def _nodes(place: np.ndarray, n_pixels: int) -> np.ndarray:
    """Choose levels with about equally many pixels around each."""
    n_levels = min(max(n_pixels // LEAST_PIXELS, 1), MOST_LEVELS)
    middles = (np.arange(n_levels) + 0.5) / n_levels
    return np.unique(np.quantile(place, middles))


def _share(place: np.ndarray, values: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    """Add up values by level; one between two nodes counts for both in part."""
    shares = [np.interp(place, nodes, row) for row in np.eye(len(nodes))]
    return np.array([np.sum(share * values, dtype=float) for share in shares])


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


def judged_windows(height: int, width: int) -> list[Window]:
    """Choose the whole of a small image, nine windows spread over a large one."""
    if height * width <= (WINDOWS * WINDOW) ** 2:
        return [np.s_[:, :, :]]
    tops, lefts = (
        (np.linspace(0, max(side - WINDOW, 0), WINDOWS) // BLOCK * BLOCK).astype(int)
        for side in (height, width)
    )
    return [
        np.s_[:, top : top + WINDOW, left : left + WINDOW]
        for top in tops
        for left in lefts
    ]
