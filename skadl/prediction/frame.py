"""What a network removes from a mosaic: tile by tile, in all of its symmetries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache, partial
from typing import TypeVar

import numpy as np
import torch

from skadl.network.base import FoldedNetwork, MapMemory, Rectangle
from skadl.network.engines import Body, bytes_kept, dtype_around, engine_body
from skadl.network.quantised import Ranges, quantise
from skadl.prediction.bands import BAND_BYTES, count_threads, each_band, row_unit
from skadl.prediction.normalised_mosaic import NormalisedMosaic
from skadl.prediction.tiling import Tile, Tiling, choose_tiling
from skadl.raw.mosaic import mosaic_of, of_mosaic, to_common_geometry
from skadl.raw.symmetry import AS_IT_IS, ensemble, turn

Item = TypeVar("Item")
Track = Callable[[Iterable[Item], int], Iterable[Item]]
MOST_TILES = 16  # in a batch on a GPU
# Packed. For less a session costs more than it saves: the windows of a photograph, by
# which its noise is judged, may ask for a network each time.
LEAST_PIXELS_IN_ENGINE = 2**18
NOT_FINITE = (
    "the network gave NaN or infinity; predict with precision='float32', or fit again "
    "with a smaller learning_rate."
)


class FrameNetwork:
    """The network of one image on its device, run on as much as memory holds.

    `dtype` of the convolutions; None is float32. On a CPU `engine` computes them, one
    of `skadl.network.engines`, which for int8 needs `ranges` of the network's maps. A
    packed pixel of a tile takes `bytes_per_pixel`, and `fixed_memory` is taken besides.
    `coarser` is the network whose result of half the size this one is shown, None where
    it is shown none.
    """

    def __init__(
        self,
        folded: FoldedNetwork,
        dtype: torch.dtype | None,
        engine: str = "torch",
        ranges: Callable[[], Ranges] | None = None,
        memory: MapMemory | None = None,
    ) -> None:
        folded, *others = folded.scales()
        # A coarse frame is complete before a tile of the next finer one begins.
        memory = {} if memory is None else memory
        self.coarser: FrameNetwork | None = None
        for other in reversed(others):
            coarser = FrameNetwork(other, dtype, engine, ranges, memory)
            coarser.coarser, self.coarser = self.coarser, coarser
        self.multiple, self.halo = folded.multiple, folded.halo
        self.n_planes = folded.n_planes
        self.device = next(folded.parameters()).device
        self._folded, self._dtype = folded, dtype
        on_cpu = self.device.type == "cpu"
        own_dtype = dtype if engine == "torch" else dtype_around(engine, dtype)
        self._body: Callable[[], Body] | None = None
        self._cpu_network = folded.on_cpu(own_dtype, memory) if on_cpu else None
        self.bytes_per_pixel, self.fixed_memory = folded.memory(own_dtype)
        if engine != "torch":
            unet = folded.body_unet()
            if unet is None:
                raise ValueError(
                    f"engine={engine!r} computes U-Nets of plain convolutions, which "
                    "this network is none of; use engine='torch'."
                )
            self.bytes_per_pixel += bytes_kept(unet, ranges is not None)

            @cache
            def body() -> Body:
                in_8_bits = quantise(unet, ranges()) if ranges else unet
                return engine_body(in_8_bits, engine, own_dtype)

            self._body = body
        # A thread works with a band and five more like it.
        self.fixed_memory += 6 * BAND_BYTES * count_threads()
        if self.coarser is not None:
            self.fixed_memory += self.coarser.fixed_memory
        self._tiles = np.empty(0, np.float32)

    def frame_memory(self, n_pixels: int) -> float:
        """Return the bytes that coarser frames take, of a mosaic of `n_pixels`."""
        if self.coarser is None:
            return 0.0
        # A picture of a quarter of the pixels, and what is removed from it.
        return 2 * n_pixels + self.coarser.frame_memory(n_pixels // 4)

    def least_memory(self, shape: tuple[int, ...]) -> float:
        """Return the bytes without which planes of this shape cannot be predicted."""
        lengths = (
            min(side + -side % self.multiple, 2 * self.halo + self.multiple)
            for side in shape[1:]
        )
        return math.prod(lengths) * self.bytes_per_pixel

    def tile(self, shape: tuple[int, ...], memory: float) -> Tiling:
        """Cut planes into tiles for which `memory` bytes suffice."""
        most_pixels = memory / self.bytes_per_pixel
        return choose_tiling(shape[1:], self.halo, self.multiple, most_pixels)

    def tiles(self, n_tiles: int, shape: tuple[int, int]) -> np.ndarray:
        """Return room for a batch (n_tiles, h, w, n_planes), the same at each call."""
        size = n_tiles * self.n_planes * math.prod(shape)
        if self._tiles.size < size:
            self._tiles = np.empty(size, np.float32)
        return self._tiles[:size].reshape(n_tiles, *shape, self.n_planes)

    @torch.no_grad()
    def removed(
        self, tiles: np.ndarray, *coarse: np.ndarray, core: Rectangle | None = None
    ) -> np.ndarray:
        """Return noisy minus denoised of a batch (B, h, w, 4), on a CPU of one.

        `coarse` are the results (B, h/2, w/2, 4) of the coarser network, if any.
        Outside a `core` there may be anything.
        """
        # channels_last
        x, *more = (torch.from_numpy(y).permute(0, 3, 1, 2) for y in (tiles, *coarse))
        if self._cpu_network is not None:
            if self._body is not None:
                is_large = x.shape[2] * x.shape[3] >= LEAST_PIXELS_IN_ENGINE
                self._cpu_network.run_in(self._body() if is_large else None)
            y = self._cpu_network.removed(x, *more, core=core)
        else:
            x, *more = (y.to(self.device) for y in (x, *more))
            with torch.autocast(
                self.device.type, self._dtype, enabled=self._dtype is not None
            ):
                y = (x - self._folded(x, *more)).cpu()
        return y.permute(0, 2, 3, 1).contiguous().numpy()


def predict_residual(
    network: FrameNetwork,
    mosaic: NormalisedMosaic,
    memory: float,
    self_ensemble: int = 1,
    track: Track | None = None,
) -> np.ndarray:
    """Compute what a network removes from a mosaic: one of its pattern, float32.

    The tiles that are worked on take `memory` bytes beside the result; ValueError if
    not even the smallest fits. The mean over `self_ensemble` symmetries of the mosaic
    is taken, or all it has; `track` passes the tiles through and shows how far they
    are. FloatingPointError if the result is not finite.
    """
    result = np.zeros(mosaic.counts.shape, np.float32)
    common, margin = (
        to_common_geometry(result, mosaic.cfa),
        mosaic_of(mosaic.cfa).margin,
    )
    jobs = []
    symmetries = ensemble(mosaic.cfa, self_ensemble)
    for symmetry in symmetries:
        source, target = mosaic.turned(symmetry), turn(common, *symmetry, margin)
        if target.size:
            tiling = network.tile(source.shape, memory)
            batches = _batches(network, tiling, memory)
            coarse = _CoarseResult(network.coarser, source, memory, len(batches))
            jobs += [(source, coarse, target, tiling, batch) for batch in batches]
    for job in jobs if track is None else track(jobs, len(jobs)):
        _add_tiles(network, *job)
    if len(symmetries) > 1:
        common /= len(symmetries)
        # Mirroring a Bayer mosaic costs its two outermost lines (see `turn`): they are
        # in half of the symmetries only, and corners in those that mirror nothing.
        lines = (0, -1) if margin else ()
        for line in lines:
            common[line] *= 2
            common[:, line] *= 2
        n_plain = sum(symmetry[:2] == AS_IT_IS[:2] for symmetry in symmetries)
        if lines:
            common[np.ix_(lines, lines)] *= len(symmetries) / (4 * n_plain)
    return result


class _CoarseResult:
    """A frame of half the size, denoised when it is first read, gone after the last."""

    def __init__(
        self,
        network: FrameNetwork | None,
        source: NormalisedMosaic,
        memory: float,
        n_reads: int,
    ) -> None:
        self._network, self._source, self._memory = network, source, memory
        self._mosaic: NormalisedMosaic | None = None
        self._n_left = n_reads

    def read(self, tiles: list[Tile], shape: tuple[int, int]) -> tuple[np.ndarray, ...]:
        """Read (n_tiles, h/2, w/2, 4) of tiles of a shape (h, w), if there is any."""
        if self._network is None:
            return ()
        if self._mosaic is None:
            half = self._source.halved()
            half.counts[:] -= predict_residual(self._network, half, self._memory)
            self._mosaic = half
        sides = shape[0] // 2, shape[1] // 2
        coarse = np.empty((len(tiles), *sides, self._source.shape[0]), np.float32)
        for tile, out in zip(tiles, coarse, strict=True):
            _read_tile(self._mosaic, tile.top // 2, tile.left // 2, out)
        self._n_left -= 1
        if not self._n_left:
            self._mosaic = None
        return (coarse,)


def _batches(network: FrameNetwork, tiling: Tiling, memory: float) -> list[list[Tile]]:
    tiles = list(tiling)
    n_bytes = network.bytes_per_pixel * tiling.shape[0] * tiling.shape[1]
    size = min(int(memory // n_bytes), MOST_TILES)
    size = 1 if network.device.type == "cpu" else max(size, 1)
    return [tiles[start : start + size] for start in range(0, len(tiles), size)]


def _add_tiles(
    network: FrameNetwork,
    source: NormalisedMosaic,
    coarse: _CoarseResult,
    target: np.ndarray,
    tiling: Tiling,
    tiles: list[Tile],
) -> None:
    more = coarse.read(tiles, tiling.shape)
    x = network.tiles(len(tiles), tiling.shape)
    for i, tile in enumerate(tiles):
        _read_tile(source, tile.top, tile.left, out=x[i])
    core = tiles[0].core if len(tiles) == 1 else None
    removed = network.removed(x, *more, core=core)
    for tile, residual in zip(tiles, removed, strict=True):
        core = residual[tile.core]
        inside = target[
            of_mosaic(tile.rows, tiling.sides[0], source.side),
            of_mosaic(tile.columns, tiling.sides[1], source.side),
        ]
        add = partial(_add, core, inside, source.side)
        if not all(each_band(add, *core.shape[:2])):
            raise FloatingPointError(NOT_FINITE)


def _add(core: np.ndarray, target: np.ndarray, side: int, rows: slice) -> np.bool_:
    """Add rows of pixels (h, w, n_planes) to a mosaic; say whether all are finite.

    Planes lie in the reading order of a block, here and in `_read_tile`.
    """
    pixels, (unit, n_units) = core[rows], row_unit(side)
    blocks = pixels.view(unit).reshape(*pixels.shape[:2], side, n_units)
    lines = blocks.transpose(0, 2, 1, 3).copy().view(np.float32)
    target[of_mosaic(rows, len(core), side)] += lines.reshape(side * len(pixels), -1)
    return np.isfinite(pixels).all()


def _read_tile(source: NormalisedMosaic, top: int, left: int, out: np.ndarray) -> None:
    """Read pixels (h, w, n_planes), mirrored where they lie beyond the frame."""
    height, width, _ = out.shape
    unit, n_units = row_unit(source.side)
    blocks = out.view(unit).reshape(height, width, source.side, n_units)
    n_rows = min(height, source.shape[1] - top)
    n_columns = min(width, source.shape[2] - left)
    columns = slice(left, left + n_columns)

    def read(rows: slice) -> None:
        band = source.band(slice(top + rows.start, top + rows.stop), columns)
        lines = band.view(unit).reshape(-1, source.side, n_columns, n_units)
        blocks[rows, :n_columns] = lines.transpose(0, 2, 1, 3)

    each_band(read, n_rows, n_columns)
    if n_columns < width:
        out[:n_rows, n_columns:] = out[:n_rows, _mirrored(n_columns, width)]
    if n_rows < height:
        out[n_rows:] = out[_mirrored(n_rows, height)]


def _mirrored(side: int, length: int) -> np.ndarray:
    return np.pad(np.arange(side), (0, length - side), mode="reflect")[side:]
