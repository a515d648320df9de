"""The mosaic: how the colours of a sensor lie, and how its counts become planes.

A mosaic is cut into blocks of ``side`` x ``side`` sensor pixels. Packed means one plane
for each site of a block, all of one colour, ``side`` times smaller than the mosaic: R,
Gr, Gb, B of a Bayer mosaic, where Gr is the green that shares its rows with red. A
packed pixel is what one block holds. All that differs from mosaic to mosaic is in its
`Mosaic`; another one is another entry of `MOSAICS`.

Every function here takes and returns plain arrays; the records that carry levels and
sensor live in :mod:`skadl.raw.image`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from types import MappingProxyType

import numpy as np

BAYER, XTRANS = "Bayer", "X-Trans"  # families


@dataclass(frozen=True)
class Mosaic:
    """A mosaic of colours, and what may be done to it."""

    name: str
    family: str  # one network can denoise all mosaics of one
    side: int  # sensor pixels along a block
    colours: str  # of the planes, in their order
    sites: tuple[tuple[int, int], ...]  # row and column of each plane in a block
    # Axes (-2 rows, -1 columns) along which a network is shown the planes mirrored, so
    # that all mosaics of one family have one geometry.
    mirrored: tuple[int, ...] = ()
    # Blocks whose row and column add up to this, modulo 2, lie transposed.
    transposed: int | None = None
    # Of the blocks themselves, mirror rows, mirror columns, transpose: after which of
    # these the mosaic is one of its family again.
    symmetries: tuple[tuple[bool, bool, bool], ...] = ()
    # Lines to leave out at both ends of a mirrored mosaic, so that it is.
    margin: int = 0
    # Whether transposing the mosaic transposes each block, or only their order.
    transposes_blocks: bool = True

    @property
    def n_planes(self) -> int:
        """Number of planes."""
        return self.side**2

    @property
    def period(self) -> int:
        """Sensor pixels after which the colours repeat, in both directions."""
        return self.side * (1 if self.transposed is None else 2)

    @cached_property
    def pattern(self) -> str:
        """Colours of one period in reading order."""
        indices = {"R": 0, "G": 1, "B": 2}
        planes = np.array([indices[colour] for colour in self.colours])
        blocks = self.period // self.side
        planes = np.broadcast_to(planes[:, None, None], (len(planes), blocks, blocks))
        return "".join(
            "RGB"[index] for index in unpack_mosaic(planes, self.name).ravel()
        )

    def planes_of(self, colour: str) -> list[int]:
        """Return which planes have a colour.

        >>> mosaic_of("GRBG").planes_of("G")
        [1, 2]
        """
        return [plane for plane, own in enumerate(self.colours) if own == colour]


_EVERY_SYMMETRY = tuple(product((False, True), repeat=3))


def _bayer(name: str, sites: tuple[tuple[int, int], ...]) -> Mosaic:
    red_row, red_column = sites[0]
    mirrored = tuple(axis for axis, odd in ((-2, red_row), (-1, red_column)) if odd)
    # Mirroring an RGGB mosaic moves red off its corner; without the outermost lines it
    # is there again.
    return Mosaic(
        name, BAYER, 2, "RGGB", sites, mirrored, symmetries=_EVERY_SYMMETRY, margin=1
    )


def _x_trans(name: str, transposed: int | None) -> Mosaic:
    # A block is GBG RGR GBG; its neighbours are the same with red and blue swapped,
    # which is the block transposed. So a plane has one colour, and transposing the
    # mosaic transposes the order of the blocks alone. Mirrored along one axis, sites of
    # every other block would change planes: that is no symmetry of the planes.
    sites = tuple((row, column) for row in range(3) for column in range(3))
    symmetries = tuple(
        (turned, turned, transpose)
        for turned in (False, True)
        for transpose in (False, True)
    )
    return Mosaic(
        name,
        XTRANS,
        3,
        "GBGRGRGBG",
        sites,
        transposed=transposed,
        symmetries=symmetries,
        transposes_blocks=False,
    )


# Names of Bayer mosaics are their top-left 2x2 in reading order, those of X-Trans its
# first three sites. A mosaic whose blocks are all laid out like the first is none that
# a sensor has: see `align_blocks`.
_ALIGNED = "GBG-RGR-GBG"
MOSAICS = MappingProxyType(
    {
        mosaic.name: mosaic
        for mosaic in (
            _bayer("RGGB", ((0, 0), (0, 1), (1, 0), (1, 1))),
            _bayer("BGGR", ((1, 1), (1, 0), (0, 1), (0, 0))),
            _bayer("GRBG", ((0, 1), (0, 0), (1, 1), (1, 0))),
            _bayer("GBRG", ((1, 0), (1, 1), (0, 0), (0, 1))),
            _x_trans("XTRANS-GBG", 1),
            _x_trans("XTRANS-GRG", 0),
            _x_trans(_ALIGNED, None),
        )
    }
)
CFA_PATTERNS = ("RGGB", "BGGR", "GRBG", "GBRG")  # Bayer: top-left 2x2 in reading order
XTRANS_PATTERNS = ("XTRANS-GBG", "XTRANS-GRG")


def mosaic_of(cfa: str) -> Mosaic:
    """Return the mosaic of a name, or refuse one that is not known."""
    mosaic = MOSAICS.get(cfa) if isinstance(cfa, str) else None
    if mosaic is None:
        raise ValueError(
            f"CFA pattern {cfa!r} is not known; use one of {', '.join(CFA_PATTERNS)} "
            f"(Bayer: top-left 2x2 in reading order) or {', '.join(XTRANS_PATTERNS)} "
            "(X-Trans: its first three sites)."
        )
    return mosaic


def check_cfa(cfa: str) -> str:
    """Return the name of a CFA pattern, given as that or as the colours of a period.

    >>> check_cfa("RGGB"), check_cfa("GBGGRGRGRBGBGBGGRGGRGGBGBGBRGRGRGGBG")
    ('RGGB', 'XTRANS-GBG')
    """
    if isinstance(cfa, str) and len(cfa) == 36:
        name, (top, left) = find_blocks(cfa)
        if top or left:
            raise ValueError(
                f"the CFA pattern {cfa} begins inside a block of an X-Trans mosaic; "
                f"give mosaic[{top}:, {left}:], whose pattern is {name!r}."
            )
        return name
    return mosaic_of(cfa).name


def colours_of(n_planes: int) -> str:
    """Return the colours of planes by their number.

    >>> colours_of(4), colours_of(9)
    ('RGGB', 'GBGRGRGBG')
    """
    return common_mosaic(n_planes).colours


def common_mosaic(n_planes: int) -> Mosaic:
    """Return the mosaic whose geometry a network of so many planes is shown."""
    commons = {mosaic_of(common_pattern(name)) for name in MOSAICS}
    return next(own for own in commons if own.n_planes == n_planes)


def find_blocks(pattern: str) -> tuple[str, tuple[int, int]]:
    """Find the first block of an X-Trans mosaic by its first 6x6: name, row, column.

    ValueError if the colours are not those of X-Trans.

    >>> find_blocks("RBGBRGGGRGGBGGBGGRBRGRBGGGBGGRGGRGGB")
    ('XTRANS-GBG', (2, 1))
    """
    if len(pattern) == 36:
        found = np.array(list(pattern)).reshape(6, 6)
        for top in range(3):
            for left in range(3):
                moved = "".join(np.roll(found, (-top, -left), (0, 1)).ravel())
                for name in XTRANS_PATTERNS:
                    if moved == MOSAICS[name].pattern:
                        return name, (top, left)
    raise ValueError(
        f"the colours {pattern} are not those of an X-Trans mosaic (6x6 in reading "
        "order)."
    )


def plane_views(mosaic: np.ndarray, cfa: str) -> list[np.ndarray]:
    """Return views of the planes of a mosaic whose blocks are all laid out alike.

    Those of X-Trans are after `align_blocks`.

    >>> [int(plane[0, 0]) for plane in plane_views(np.array([[1, 2], [3, 4]]), "BGGR")]
    [4, 3, 2, 1]
    """
    own = mosaic_of(cfa)
    if own.transposed is not None:
        raise ValueError(f"blocks of {cfa} are not alike; use align_blocks first.")
    return [mosaic[row :: own.side, column :: own.side] for row, column in own.sites]


def aligned(cfa: str) -> str:
    """Return the name of the mosaic that `align_blocks` makes.

    >>> aligned("BGGR"), aligned("XTRANS-GRG")
    ('BGGR', 'GBG-RGR-GBG')
    """
    return cfa if mosaic_of(cfa).transposed is None else _ALIGNED


def common_pattern(cfa: str) -> str:
    """Return the name of the mosaic whose geometry a network is shown.

    >>> common_pattern("BGGR"), common_pattern("XTRANS-GRG")
    ('RGGB', 'GBG-RGR-GBG')
    """
    return CFA_PATTERNS[0] if mosaic_of(cfa).family == BAYER else aligned(cfa)


def pattern_at(cfa: str, row: int, column: int) -> str:
    """Return the name of what is left of a mosaic without its first blocks.

    >>> pattern_at("BGGR", 3, 4), pattern_at("XTRANS-GBG", 3, 4)
    ('BGGR', 'XTRANS-GRG')
    """
    own = mosaic_of(cfa)
    if own.transposed is None or (row + column) % 2 == 0:
        return cfa
    return next(
        other.name
        for other in MOSAICS.values()
        if other.family == own.family and other.transposed == 1 - own.transposed
    )


def align_blocks(mosaic: np.ndarray, cfa: str) -> np.ndarray:
    """Transpose the blocks that lie transposed, so that all are laid out alike.

    Of whole blocks. Its own inverse; a Bayer mosaic is returned as it is.
    """
    own = mosaic_of(cfa)
    if own.transposed is None:
        return mosaic
    height, width = mosaic.shape
    blocks = mosaic.reshape(height // own.side, own.side, width // own.side, own.side)
    blocks = blocks.transpose(0, 2, 1, 3)  # (h, w, side, side)
    result = np.empty_like(mosaic)
    into = result.reshape(height // own.side, own.side, width // own.side, own.side)
    into = into.transpose(0, 2, 1, 3)
    for row in (0, 1):
        for column in (0, 1):
            some = np.s_[row::2, column::2]
            turned = (row + column) % 2 == own.transposed
            into[some] = blocks[some].swapaxes(2, 3) if turned else blocks[some]
    return result


def pack_mosaic(mosaic: np.ndarray, cfa: str) -> np.ndarray:
    """Separate a mosaic of whole blocks into fresh planes (n_planes, h, w).

    >>> pack_mosaic(np.array([[1, 2], [3, 4]]), "BGGR").ravel()
    array([4, 3, 2, 1])
    """
    own, mosaic = mosaic_of(cfa), np.asarray(mosaic)
    if mosaic.ndim != 2 or any(length % own.side for length in mosaic.shape):
        sides = "even sides" if own.side == 2 else f"sides that {own.side} divides"
        raise ValueError(
            f"A mosaic to pack has shape (H, W) with {sides}, got {mosaic.shape}; "
            "use pad_to_blocks first."
        )
    if own.transposed is None:
        return np.stack(plane_views(mosaic, cfa))
    shape = (own.n_planes, *(length // own.side for length in mosaic.shape))
    planes = np.empty(shape, mosaic.dtype)
    for part, counts in _parts(planes, mosaic, own):
        part[:] = counts
    return planes


def unpack_mosaic(packed: np.ndarray, cfa: str) -> np.ndarray:
    """Put planes (n_planes, h, w) back into a mosaic: undo `pack_mosaic`.

    >>> unpack_mosaic(np.arange(4).reshape(4, 1, 1), "GRBG")
    array([[1, 0],
           [3, 2]])
    """
    own, packed = mosaic_of(cfa), np.asarray(packed)
    if packed.ndim != 3 or packed.shape[0] != own.n_planes:
        order = "R, Gr, Gb, B" if own.side == 2 else ", ".join(own.colours)
        raise ValueError(
            f"Packed planes have shape ({own.n_planes}, h, w) in the order {order}, "
            f"got {packed.shape}."
        )
    height, width = packed.shape[1:]
    mosaic = np.empty((own.side * height, own.side * width), packed.dtype)
    for part, counts in _parts(packed, mosaic, own):
        counts[:] = part
    return mosaic


def _parts(
    planes: np.ndarray, mosaic: np.ndarray, own: Mosaic
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pair views of planes with views of the mosaic that hold the same values."""
    if own.transposed is None:
        yield from zip(planes, plane_views(mosaic, own.name), strict=True)
        return
    for plane, (row, column) in zip(planes, own.sites, strict=True):
        for down in (0, 1):
            for right in (0, 1):
                turned = (down + right) % 2 == own.transposed
                y, x = (column, row) if turned else (row, column)
                top, left = down * own.side + y, right * own.side + x
                step = own.period
                yield plane[down::2, right::2], mosaic[top::step, left::step]


def sample_rgb(rgb: np.ndarray, cfa: str) -> np.ndarray:
    """Keep of a picture (H, W, 3) at each site its colour: a mosaic (H, W).

    >>> sample_rgb(np.broadcast_to([1, 2, 3], (2, 3, 3)), "GRBG")
    array([[2, 1, 2],
           [3, 2, 3]])
    """
    own = mosaic_of(cfa)
    mosaic, period = np.empty(rgb.shape[:2], rgb.dtype), own.period
    for place, colour in enumerate(own.pattern):
        row, column = divmod(place, period)
        some = np.s_[row::period, column::period]
        mosaic[some] = rgb[some][..., "RGB".index(colour)]
    return mosaic


def spread_planes(values: np.ndarray, cfa: str, shape: tuple[int, int]) -> np.ndarray:
    """Lay out one value for each plane over a mosaic of any shape.

    >>> spread_planes(np.array([1, 2, 3, 4]), "BGGR", (1, 3))
    array([[4, 3, 4]])
    """
    own = mosaic_of(cfa)
    if own.transposed is not None:
        blocks = [-(-length // own.side) for length in shape]
        planes = np.broadcast_to(values[:, None, None], (len(values), *blocks))
        return unpack_mosaic(planes, cfa)[: shape[0], : shape[1]]
    mosaic = np.empty(shape, values.dtype)
    for value, view in zip(values, plane_views(mosaic, cfa), strict=True):
        view[:] = value
    return mosaic


def crop_to_blocks(mosaic: np.ndarray, cfa: str) -> np.ndarray:
    """Return a view of whole blocks alone, without the last rows or columns."""
    height, width = mosaic.shape
    side = mosaic_of(cfa).side
    return mosaic[: height - height % side, : width - width % side]


def pad_to_blocks(mosaic: np.ndarray, cfa: str) -> np.ndarray:
    """Add rows or columns where the last block is not whole; else the mosaic itself.

    >>> pad_to_blocks(np.arange(6).reshape(2, 3), "RGGB")
    array([[0, 1, 2, 1],
           [3, 4, 5, 4]])
    """
    own = mosaic_of(cfa)
    below, right = (-length % own.side for length in mosaic.shape)
    if not (below or right):
        return mosaic
    # Lines of one period further in, which have the same colours; of a Bayer mosaic
    # that is mirroring about the last line, which is not repeated.
    rows, columns = (
        np.where(lines < length, lines, lines - own.period)
        for length, lines in (
            (mosaic.shape[0], np.arange(mosaic.shape[0] + below)),
            (mosaic.shape[1], np.arange(mosaic.shape[1] + right)),
        )
    )
    return mosaic[rows[:, None], columns]


def of_mosaic(packed: slice, length: int, side: int = 2) -> slice:
    """Turn a slice of packed pixels, of `length` in all, into one of the mosaic.

    >>> of_mosaic(np.s_[1:], 4)
    slice(2, 8, None)
    """
    start, stop, _ = packed.indices(length)
    return slice(side * start, side * stop)


def mirrored_axes(cfa: str) -> tuple[int, ...]:
    """Return along which axes (-2 rows, -1 columns) a pattern is RGGB mirrored.

    >>> mirrored_axes("RGGB"), mirrored_axes("GRBG")
    ((), (-1,))
    """
    return mosaic_of(cfa).mirrored


def to_common_geometry(packed, cfa: str):
    """Mirror planes (..., h, w), array or tensor, so that sites lie as in RGGB.

    A network that sees the planes of a BGGR mosaic sees red half a pixel below
    and right of blue, the opposite of RGGB. Mirroring rows, columns or both is
    exact, loses no pixel and is its own inverse. Planes of X-Trans stay as they are.

    >>> to_common_geometry(np.arange(4).reshape(1, 2, 2), "BGGR")[0]
    array([[3, 2],
           [1, 0]])
    """
    axes = mirrored_axes(cfa)
    if not axes:
        return packed
    if isinstance(packed, np.ndarray):
        return np.flip(packed, axes)  # a view
    return packed.flip(axes)
