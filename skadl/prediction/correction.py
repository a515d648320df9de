"""How much of what a network removes an image can spare, and the image without it.

The whole frame has a say in it: the mean of a correction is taken out of it, and the
safeguard judges it by windows. So it is computed first, kept as one frame of float32,
and taken off band by band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skadl.noise.noise_level import NoiseLevel
from skadl.noise.residual import MOST_CLIPPED, NEARLY_WHITE
from skadl.prediction.bands import each_band
from skadl.prediction.frame import FrameNetwork, Track, predict_residual
from skadl.prediction.model import not_finite
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.prediction.safeguard import clip_to_noise, estimate_shrinkage
from skadl.raw.image import RawImage
from skadl.raw.mosaic import plane_views, spread_planes, unpack_bayer


@dataclass(frozen=True, eq=False)
class Correction:
    """A mosaic and what to take away from it."""

    noisy: NormalisedMosaic
    residual: NormalisedMosaic  # what a network removes, without its mean
    shrinkage: float  # part of it that is taken away
    limit: NoiseLevel | None  # where no pixel may change by more than noise can

    def denoised(self, rows: slice) -> np.ndarray:
        """Return packed rows of the denoised mosaic (2 n_rows, 2 w), normalised."""
        mosaic, residual = self.noisy.band(rows), self.residual.band(rows)
        if self.limit is not None:
            if self.shrinkage < 1:
                residual *= np.float32(self.shrinkage)
            residual = clip_to_noise(residual, mosaic, self.limit)
        mosaic -= residual
        return mosaic


def correct(
    network: FrameNetwork,
    noisy: NormalisedMosaic,
    noise: NoiseLevel,
    *,
    keeps_mean: bool,
    safeguard: bool,
    self_ensemble: bool,
    memory: float,
    track: Track | None = None,
) -> Correction:
    """Find out what to take away from a mosaic; other options as `predict_residual`."""
    zeros, cfa = np.zeros(4), noisy.cfa

    def centred(residual: np.ndarray) -> NormalisedMosaic:
        # Noise has no mean, unless black or white clips it; what a network removes may
        # have one: it draws an image towards the brightness and colour that it was
        # trained on, a darker night by two per cent of its sky, and each colour by its
        # own amount. So each plane keeps the mean that it had.
        planes = NormalisedMosaic(residual, cfa, zeros, 1.0, zeros)
        return planes if keeps_mean else planes.without_mean()

    residual = centred(predict_residual(network, noisy, memory, self_ensemble, track))
    if not safeguard:
        return Correction(noisy, residual, 1.0, None)

    def removed(planes: np.ndarray) -> np.ndarray:
        # The probe goes the same way as the image: the mean is taken out here too, or
        # the response to a probe would be that of another denoiser.
        part = NormalisedMosaic(unpack_bayer(planes, cfa), cfa, zeros, 1.0, zeros)
        return centred(predict_residual(network, part, memory, self_ensemble))[:, :, :]

    probe_rng = np.random.default_rng(0)  # one image, one result
    shrinkage = estimate_shrinkage(removed, noisy, residual, noise, probe_rng)
    return Correction(noisy, residual, shrinkage, noise)


def is_clipped(image: RawImage) -> bool:
    """Tell whether so much of a plane is clipped that its noise has a mean.

    More than `MOST_CLIPPED` of it at black or white. Sides are even; ValueError if a
    pixel is NaN or infinity: every pixel is looked at here anyway.
    """
    counts, kind = image.mosaic, image.mosaic.dtype.kind
    height, width = (side // 2 for side in counts.shape)
    most = MOST_CLIPPED * height * width
    white = image.black_planes + NEARLY_WHITE * image.span
    if kind != "f":  # whole counts are compared as they are
        white = np.minimum(np.ceil(white), np.iinfo(counts.dtype).max)
    white = spread_planes(white.astype(counts.dtype), image.cfa, (2, 2 * width))

    def clipped(rows: slice) -> np.ndarray:
        band = counts[2 * rows.start : 2 * rows.stop].reshape(-1, 2, 2 * width)
        if kind == "f" and not np.isfinite(band).all():
            raise not_finite(image)
        found = band >= white
        if (
            kind == "u"
        ):  # only these end at 0; black lies higher where it is not clipped
            found |= band == 0
        return found.reshape(-1, 2 * width)

    def count(rows: slice) -> int:
        return np.count_nonzero(clipped(rows))

    def count_planes(rows: slice) -> np.ndarray:
        views = plane_views(clipped(rows), image.cfa)
        return np.array([np.count_nonzero(view) for view in views])

    # No plane has more than all have together, which are counted much faster.
    if sum(each_band(count, height, width)) <= most:
        return False
    return bool(sum(each_band(count_planes, height, width)).max() > most)
