"""Which pixels of a mosaic are at black or white: there, noise has a mean."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from skadl.noise.residual import NEARLY_WHITE
from skadl.prediction.bands import each_band
from skadl.prediction.model import not_finite
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.raw.image import RawImage
from skadl.raw.mosaic import mosaic_of, of_mosaic, pack_mosaic, spread_planes


@dataclass(frozen=True, eq=False)
class ClipLevels:
    """Counts at which pixels are clipped."""

    white: np.ndarray  # (n_planes,), counts from which a pixel is clipped
    ends_at_zero: bool  # whether counts are clipped at 0

    @classmethod
    def of(cls, image: RawImage) -> ClipLevels:
        """Of an image of whole blocks; ValueError if a pixel is NaN or infinity."""
        counts, kind = image.mosaic, image.mosaic.dtype.kind
        white = image.black_planes + NEARLY_WHITE * image.span
        if kind == "f":
            side = mosaic_of(image.cfa).side
            height, width = (length // side for length in counts.shape)

            def is_finite(rows: slice) -> bool:
                band = counts[of_mosaic(rows, height, side)]
                return bool(np.isfinite(band).all())

            if not all(each_band(is_finite, height, width)):
                raise not_finite(image)
        else:  # whole counts are compared as they are
            white = np.minimum(np.ceil(white), np.iinfo(counts.dtype).max)
        # Only unsigned counts end at 0; black lies higher where it is not clipped.
        return cls(white.astype(counts.dtype), kind == "u")

    def band(
        self, mosaic: NormalisedMosaic, rows: slice, columns: slice = np.s_[:]
    ) -> np.ndarray:
        """Tell of a window, in packed pixels, which pixels are clipped."""
        (_, height, width), side = mosaic.shape, mosaic.side
        window = of_mosaic(rows, height, side), of_mosaic(columns, width, side)
        band = mosaic.counts[window]
        white = spread_planes(self.white, mosaic.cfa, (side, band.shape[1]))
        lines = band.reshape(-1, *white.shape)
        found = lines >= white
        if self.ends_at_zero:
            found |= lines == 0
        return found.reshape(band.shape)

    def window(
        self, mosaic: NormalisedMosaic, window: tuple[slice, slice, slice]
    ) -> np.ndarray:
        """Tell of a window which pixels of its planes are clipped."""
        _, rows, columns = window
        return pack_mosaic(self.band(mosaic, rows, columns), mosaic.cfa)
