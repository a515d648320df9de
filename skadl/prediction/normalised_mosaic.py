"""A mosaic with black at 0 and white at 1, made where it is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from skadl.noise.sensors import SensorInfo
from skadl.prediction.bands import each_band
from skadl.raw.image import RawImage
from skadl.raw.mosaic import (
    common_pattern,
    mosaic_of,
    of_mosaic,
    pack_mosaic,
    spread_planes,
    to_common_geometry,
)
from skadl.raw.symmetry import plane_order, turn


@dataclass(frozen=True, eq=False)
class NormalisedMosaic:
    """Normalised planes of a mosaic, any part of which is made when it is read.

    All blocks of the mosaic are laid out alike, see `align_image`. Shapes below are
    those of Bayer mosaics, with blocks of 2x2.
    """

    counts: np.ndarray  # (2 h, 2 w)
    cfa: str
    black: np.ndarray  # (4,) of the planes R, Gr, Gb, B, in counts
    scale: float  # light factor over the range from black to white
    offset: np.ndarray  # (4,) taken off the normalised planes
    fixed: np.ndarray | None = None  # (2 h, 2 w), taken off the counts

    @classmethod
    def of(
        cls, image: RawImage, info: SensorInfo, fixed: np.ndarray | None
    ) -> NormalisedMosaic:
        """Take a frame of aligned blocks without `fixed`, its offsets in counts."""
        return cls(
            image.mosaic,
            image.cfa,
            image.black_planes,
            image.ratio / image.span,
            info.offset_at(image.iso) * (image.ratio / info.span),
            fixed,
        )

    @classmethod
    def plain(cls, counts: np.ndarray, cfa: str) -> NormalisedMosaic:
        """Take normalised values as they are."""
        zeros = np.zeros(mosaic_of(cfa).n_planes)
        return cls(counts, cfa, zeros, 1.0, zeros)

    @property
    def side(self) -> int:
        """Sensor pixels along a block."""
        return mosaic_of(self.cfa).side

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of the planes: (4, h, w)."""
        height, width = self.counts.shape
        return self.side**2, height // self.side, width // self.side

    def __getitem__(self, window: tuple[slice, slice, slice]) -> np.ndarray:
        """Read a window of all planes, float32."""
        _, rows, columns = window
        return pack_mosaic(self.band(rows, columns), self.cfa)

    def band(self, rows: slice, columns: slice = np.s_[:]) -> np.ndarray:
        """Read a window, in packed pixels, as a mosaic (2 n, 2 w), float32.

        A third of the time that its planes take: nothing is taken apart.

        >>> counts, black = np.array([[1, 2], [3, 4]]), np.array([1, 2, 3, 4])
        >>> NormalisedMosaic(counts, "RGGB", black, 1.0, np.ones(4)).band(np.s_[:1])
        array([[-1., -1.],
               [-1., -1.]], dtype=float32)
        """
        side = self.side
        window = (
            of_mosaic(rows, self.shape[1], side),
            of_mosaic(columns, self.shape[2], side),
        )
        band = self.counts[window].astype(np.float32, order="C")
        if self.fixed is not None:
            band -= self.fixed[window]
        lines = band.reshape(-1, side, band.shape[1])
        lines -= self._row_of_blocks(self.black, lines)
        if self.scale != 1:
            lines *= np.float32(self.scale)
        if self.offset.any():
            lines -= self._row_of_blocks(self.offset, lines)
        return band

    def halved(self) -> NormalisedMosaic:
        """Return the means of 2x2 pixels of each plane: a mosaic of half the size.

        An odd side is continued by its last row or column.

        >>> counts = np.arange(12.0).reshape(2, 6)
        >>> zeros = np.zeros(4)
        >>> NormalisedMosaic(counts, "RGGB", zeros, 1.0, zeros).halved().counts
        array([[ 1.,  2.,  4.,  5.],
               [ 7.,  8., 10., 11.]], dtype=float32)
        """
        (_, height, width), side = self.shape, self.side
        n_rows, n_columns = -(-height // 2), -(-width // 2)
        means = np.empty((side * n_rows, side * n_columns), np.float32)
        odd_row, odd_column = height % 2, width % 2

        def fill(rows: slice) -> None:
            band = self.band(slice(2 * rows.start, min(2 * rows.stop, height)))
            if odd_column:
                band = np.concatenate([band, band[:, -side:]], axis=1)
            if odd_row and rows.stop == n_rows:
                band = np.concatenate([band, band[-side:]])
            # (n, of two pixels, row of the CFA, m, of two pixels, column of the CFA)
            blocks = band.reshape(-1, 2, side, n_columns, 2, side)
            rows_of_pairs = blocks[:, 0] + blocks[:, 1]
            sums = rows_of_pairs[:, :, :, 0] + rows_of_pairs[:, :, :, 1]
            into = of_mosaic(rows, n_rows, side)
            means[into] = 0.25 * sums.reshape(-1, side * n_columns)

        each_band(fill, n_rows, n_columns)
        return NormalisedMosaic.plain(means, self.cfa)

    def to_counts(self, band: np.ndarray) -> np.ndarray:
        """Turn a normalised band into counts in place; the offset stays off."""
        lines = band.reshape(-1, self.side, band.shape[1])
        lines *= np.float32(1 / self.scale)
        lines += self._row_of_blocks(self.black, lines)
        return band

    def _row_of_blocks(self, values: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """Lay out one value for each plane over the lines of a row of blocks."""
        return spread_planes(values.astype(np.float32), self.cfa, lines.shape[1:])

    def turned(self, symmetry: tuple[bool, bool, bool]) -> NormalisedMosaic:
        """Return a view in common geometry under one of `view_symmetries`."""
        own = mosaic_of(self.cfa)
        order = plane_order(own, *symmetry)

        def view(mosaic: np.ndarray) -> np.ndarray:
            mosaic = to_common_geometry(mosaic, self.cfa)
            return turn(mosaic, *symmetry, margin=own.margin)

        return replace(
            self,
            counts=view(self.counts),
            fixed=None if self.fixed is None else view(self.fixed),
            cfa=common_pattern(self.cfa),
            black=self.black[order],
            offset=self.offset[order],
        )
