"""RAW files damaged in the ways in which disks, programs and foes damage them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile

from skadl import read_raw
from skadl.raw.dng import write_dng
from skadl.raw.exif_blocks import encode_entry, encode_ifd
from skadl.raw.image import RawImage
from skadl.raw.tiff_tags import numbers, read_tags

HEADER = 4096  # bytes
_EXIF_POINTER = 34665
_POINTERS = (330, _EXIF_POINTER, 34853)  # to other blocks of tags
_SIZES = (256, 257, 258, 277, 278, 279, 322, 323, 33421, 50713, 50719, 50720, 50829)
_CODES = (*_SIZES, *_POINTERS, 254, 259, 262, 273, 274, 324, 33422, 50706, 50711, 50712)
_CODES += (50714, 50717, 50721, 51008, 51009, 51022, 700, 50708)
_EDGES = (0, 1, 2, 3, 16, 255, 256, 10_000, 30_000, 65_535, 65_536, 100_000, 2**20)
_EDGES += (2**24, 2**31 - 1, 2**31, 2**32 - 1)


def write_seeds(folder: Path, seed: int = 0) -> list[Path]:
    """Write sound DNGs of several kinds, small, for mutations to begin with."""
    rng = np.random.default_rng(seed)
    light = np.kron(rng.uniform(600, 3000, (6, 8)), np.ones((8, 8)))
    mosaic = rng.normal(light, 30).clip(0, 4095).astype(np.uint16)
    image = RawImage(mosaic, "RGGB", 512, 4095, "NIKON D850", 800)
    paths = [
        write_dng(folder / "plain.dng", image),
        write_dng(folder / "jpeg.dng", image, compress=True),
        write_dng(folder / "exif.dng", image),
        folder / "tiles.dng",
    ]
    _lengthen_exif(paths[2], rng)
    tifffile.imwrite(
        paths[3],
        mosaic,
        byteorder=">",
        photometric=32803,
        tile=(64, 64),
        metadata=None,
        extratags=[
            (33421, "H", 2, (2, 2), True),
            (33422, "B", 4, bytes((1, 0, 2, 1)), True),
            (50706, "B", 4, bytes((1, 4, 0, 0)), True),
            (50708, "s", 0, "NIKON D850", True),
            (50714, "H", 1, 512, True),
            (50717, "H", 1, 4095, True),
            (34855, "H", 1, 800, True),
        ],
    )
    paths.append(_write_phone_file(folder / "phone.dng", mosaic))
    fits = _write_fits(folder / "night.fits", mosaic)
    try:
        read_raw(fits, sensor="S", iso=100)
    except (ImportError, ValueError):
        fits.unlink()  # this skadl reads none
    else:
        paths.append(fits)
    return paths


def changed_outside(seed: Path, mutant: bytes) -> bool:
    """Whether a mutant differs from its sound file in more than bytes of the mosaic.

    Of files that are no TIFF, by what follows the first `HEADER` bytes.
    """
    data = seed.read_bytes()
    if len(mutant) != len(data):
        return True
    tags = read_tags(seed)
    spans = [
        range(int(at), int(at + n))
        for places, sizes in ((273, 279), (324, 325))
        for at, n in zip(
            numbers(tags.mosaic.get(places)),
            numbers(tags.mosaic.get(sizes)),
            strict=True,
        )
    ] or [range(HEADER, len(data))]
    changed = np.frombuffer(data, np.uint8) != np.frombuffer(mutant, np.uint8)
    for span in spans:
        if changed[span.start : span.stop].any():
            return False  # among the counts: nobody can tell
    return True


def _write_phone_file(path: Path, mosaic: np.ndarray) -> Path:
    """Write a preview, and the mosaic in a directory of its own, with corrections."""
    height, width = mosaic.shape
    gains = np.linspace(1, 3, 35).astype(">f4").tobytes()
    shading = struct.pack(">8I", 0, 0, height, width, 0, 1, 2, 2)
    shading += struct.pack(">2I4dI", 5, 7, 1 / 4, 1 / 6, 0, 0, 1) + gains
    warp = struct.pack(">I8d", 1, 1, 0.1, 0, 0, 0, 0, 0.5, 0.5)
    pixels = struct.pack(">7I", 0, 1, 1, 4, 4, 0, 0) + struct.pack(">2I", 3, 3)
    lists = [
        struct.pack(">I", 1) + struct.pack(">4I", number, 2**24, 1, len(data)) + data
        for number, data in ((5, pixels), (9, shading), (1, warp))
    ]
    first = [
        (271, "s", 0, "NIKON CORPORATION", True),
        (272, "s", 0, "NIKON D850", True),
        (700, "B", 30, b"<x xmp:Rating='4'>some xmp</x>", True),
        (33432, "s", 0, b"photographer\0editor", True),
        (34855, "H", 1, 800, True),
        (50706, "B", 4, bytes((1, 4, 0, 0)), True),
        (50708, "s", 0, "NIKON D850", True),
        (50721, "2i", 9, [n for v in np.eye(3).flat for n in (int(v), 1)], True),
        (50728, "2I", 3, [1, 2, 1, 1, 2, 3], True),
        (50778, "H", 1, 21, True),
    ]
    own = [
        (33421, "H", 2, (2, 2), True),
        (33422, "B", 4, bytes((0, 1, 1, 2)), True),
        (50713, "H", 2, (2, 2), True),
        (50714, "2I", 4, [512, 1, 1025, 2, 512, 1, 511, 1], True),
        (50716, "2i", height, [n for row in range(height) for n in (row, 64)], True),
        (50717, "H", 1, 4095, True),
        (50719, "I", 2, (3, 5), True),
        (50720, "I", 2, (61, 41), True),
        (50829, "I", 4, (1, 2, height, width), True),
        (51041, "d", 2, (1e-3, 1e-6), True),
        *(
            (code, "B", len(content), content, True)
            for code, content in zip((51008, 51009, 51022), lists, strict=True)
        ),
    ]
    with tifffile.TiffWriter(path) as writer:
        preview = np.full((8, 12, 3), 90, np.uint8)
        kind = {"metadata": None}
        writer.write(preview, photometric="rgb", subifds=1, extratags=first, **kind)
        writer.write(mosaic, photometric=32803, extratags=own, **kind)
    return path


def _write_fits(path: Path, mosaic: np.ndarray) -> Path:
    """Write what the programs of astronomers do: cards of 80 letters, then counts."""
    cards = {
        "SIMPLE": "T",
        "BITPIX": "16",
        "NAXIS": "2",
        "NAXIS1": str(mosaic.shape[1]),
        "NAXIS2": str(mosaic.shape[0]),
        "BZERO": "32768",
        "BSCALE": "1",
        "BAYERPAT": "'RGGB    '",
        "ROWORDER": "'TOP-DOWN'",
        "INSTRUME": "'ASI294MC'",
        "GAIN": "120",
        "EXPTIME": "30.0",
        "PEDESTAL": "512",
    }
    header = "".join(
        f"{name:8}= {value:>20}".ljust(80) for name, value in cards.items()
    )
    header = (header + "END".ljust(80)).encode()
    header += b" " * (-len(header) % 2880)
    counts = (mosaic.astype(np.int32) - 32768).astype(">i2").tobytes()
    path.write_bytes(header + counts + bytes(-len(counts) % 2880))
    return path


def mutate(data: bytes, seed: int) -> tuple[str, bytes]:
    """Damage a file in one of the ways of `MUTATIONS`, taking them in turn."""
    name = list(MUTATIONS)[seed % len(MUTATIONS)]
    return name, MUTATIONS[name](np.random.default_rng(seed), data)


def _truncate(rng: np.random.Generator, data: bytes) -> bytes:
    return data[: int(rng.integers(len(data)))]


def _cut_out(rng: np.random.Generator, data: bytes) -> bytes:
    start = int(rng.integers(len(data)))
    return data[:start] + data[start + int(rng.integers(1, len(data) // 4)) :]


def _flip_bits(rng: np.random.Generator, data: bytes, end: int | None = None) -> bytes:
    values = np.frombuffer(data, np.uint8).copy()
    at = rng.integers(min(end or len(values), len(values)), size=2 ** rng.integers(9))
    values[at] ^= np.uint8(1) << rng.integers(8, size=len(at), dtype=np.uint8)
    return values.tobytes()


def _flip_header_bits(rng: np.random.Generator, data: bytes) -> bytes:
    return _flip_bits(rng, data, HEADER)


def _overwrite(rng: np.random.Generator, data: bytes, end: int | None = None) -> bytes:
    mutant = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        n = int(2 ** rng.integers(4))
        words = (bytes(n), b"\xff" * n, rng.bytes(n), b"\x7f" + b"\xff" * (n - 1))
        at = int(rng.integers(min(end or len(data), len(data)) - n))
        mutant[at : at + n] = words[rng.integers(len(words))]
    return bytes(mutant)


def _overwrite_header(rng: np.random.Generator, data: bytes) -> bytes:
    return _overwrite(rng, data, HEADER)


def _change_tags(rng: np.random.Generator, data: bytes) -> bytes:
    """Give some tags another meaning, type, count or value."""
    order, entries = _tag_entries(data)
    if not entries:
        return _overwrite_header(rng, data)
    mutant = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = entries[rng.integers(len(entries))]
        edges = (*_EDGES, len(data) - 1, rng.integers(2**32), rng.integers(len(data)))
        value = int(edges[rng.integers(len(edges))])
        part = rng.integers(4)
        if part == 0:
            struct.pack_into(order + "H", mutant, at, int(rng.choice(_CODES)))
        elif part == 1:
            struct.pack_into(order + "H", mutant, at + 2, int(rng.integers(20)))
        else:
            struct.pack_into(order + "I", mutant, at + 4 * (part - 1), value)
    return bytes(mutant)


def _change_sizes(rng: np.random.Generator, data: bytes) -> bytes:
    """Promise other sizes of image, strips, tiles or samples."""
    order, entries = _tag_entries(data)
    sizes = [at for at in entries if _u16(order, data, at) in _SIZES]
    if not sizes:
        return _overwrite_header(rng, data)
    mutant = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        at = sizes[rng.integers(len(sizes))]
        value = int(rng.choice([*_EDGES, rng.integers(2**16), rng.integers(2**32)]))
        struct.pack_into(order + "HI", mutant, at + 2, 4, 1)  # one number of 32 bits
        struct.pack_into(order + "I", mutant, at + 8, value)
    return bytes(mutant)


MUTATIONS: dict[str, Callable[[np.random.Generator, bytes], bytes]] = {
    "truncated": _truncate,
    "cut out": _cut_out,
    "bits flipped": _flip_bits,
    "header bits flipped": _flip_header_bits,
    "overwritten": _overwrite,
    "header overwritten": _overwrite_header,
    "tags changed": _change_tags,
    "sizes changed": _change_sizes,
}


def _tag_entries(data: bytes) -> tuple[str, list[int]]:
    """Byte order of a TIFF-like file and where its tags are; none of any other."""
    if data[:2] not in (b"II", b"MM"):
        return "<", []
    order = "<" if data[:2] == b"II" else ">"
    entries: list[int] = []
    blocks, seen = [_u32(order, data, 4)], set()
    while blocks:
        block = blocks.pop()
        if block in seen or not 8 <= block < len(data) - 2:
            continue
        seen.add(block)
        n_entries = _u16(order, data, block)
        ends = block + 2 + 12 * n_entries
        if ends > len(data) - 4:
            continue
        own = range(block + 2, ends, 12)
        entries += own
        blocks += [
            _u32(order, data, at + 8)
            for at in own
            if _u16(order, data, at) in _POINTERS
        ]
        blocks.append(_u32(order, data, ends))
    return order, entries


def _u16(order: str, data: bytes, at: int) -> int:
    return struct.unpack_from(order + "H", data, at)[0]


def _u32(order: str, data: bytes, at: int) -> int:
    return struct.unpack_from(order + "I", data, at)[0]


def _lengthen_exif(path: Path, rng: np.random.Generator) -> None:
    """Put a block as cameras write it in place of a DNG's short one."""
    entries = [
        encode_entry(33434, 5, [1 / 60]),  # ExposureTime
        encode_entry(33437, 5, [2.8]),  # FNumber
        encode_entry(34855, 3, [800]),
        encode_entry(36864, 7, b"0232"),
        encode_entry(36867, 2, "2024:05:06 07:08:09"),
        encode_entry(37386, 5, [50.0]),  # FocalLength
        encode_entry(37500, 7, rng.bytes(400)),  # MakerNote
        encode_entry(42034, 5, [24.0, 70.0, 2.8, 2.8]),  # LensSpecification
        encode_entry(42036, 2, "24-70mm f/2.8"),
    ]
    at = path.stat().st_size + path.stat().st_size % 2
    path.write_bytes(path.read_bytes().ljust(at, b"\0") + encode_ifd(entries, at))
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags[_EXIF_POINTER].overwrite(at)
