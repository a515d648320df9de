"""Files that are sound but not read: what each is, and the way out."""

from __future__ import annotations

from pathlib import Path

from skadl.raw.tiff_tags import TiffTags, numbers, read_tags

_COMPRESSION, _SAMPLE_FORMAT, _BITS = 259, 339, 258
_FLOATING_POINT, _JPEG_XL = 3, 52546

_DEVELOPED = (
    "is a {}, a picture that is developed already, not a RAW file; give the camera's "
    "RAW file."
)
_ARCHIVE = "is a {}; unpack it and give the RAW files inside."
# The first bytes of a kind, and what it is.
_HEADS = (
    (b"\xff\xd8\xff", _DEVELOPED.format("JPEG")),
    (b"\x89PNG\r\n\x1a\n", _DEVELOPED.format("PNG")),
    (b"GIF8", _DEVELOPED.format("GIF")),
    (b"8BPS", _DEVELOPED.format("Photoshop document")),
    (b"\0\0\0\x0cJXL ", _DEVELOPED.format("JPEG XL picture")),
    (b"PK\x03\x04", _ARCHIVE.format("ZIP archive")),
    (b"\x1f\x8b\x08", _ARCHIVE.format("gzip archive")),
    (b"Rar!\x1a\x07", _ARCHIVE.format("RAR archive")),
    (b"7z\xbc\xaf\x27\x1c", _ARCHIVE.format("7z archive")),
)
_PIXEL_SHIFT = (
    "is a pixel shift composite (Sony .arq): several shots in one, with all colours at "
    "every pixel, so there is no mosaic to denoise. Denoise the single .arw shots, and "
    "merge them afterwards."
)
_HEIF_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"hevc")


def why_not_read(path: Path) -> str | None:
    """Say of a file that LibRaw refuses what it is; None if it may be damaged.

    The sentence lacks its subject, the file's name.
    """
    try:
        with path.open("rb") as file:
            head = file.read(16)
    except OSError:
        return None
    if not head:
        return (
            "is empty (0 bytes); copy it from the camera's card again or leave it out."
        )
    if path.suffix.lower() == ".arq":
        return _PIXEL_SHIFT
    for start, sentence in _HEADS:
        if head.startswith(start):
            return sentence
    if head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS:
        return _DEVELOPED.format("HEIF picture")
    return why_tags_not_read(read_tags(path))


def why_tags_not_read(tags: TiffTags) -> str | None:
    """Say of a DNG or TIFF file why its image is not read; None if it may be."""
    found = {
        code: (numbers(tags.mosaic.get(code)) or [None])[0]
        for code in (_COMPRESSION, _SAMPLE_FORMAT, _BITS)
    }
    if tags.is_dng and found[_COMPRESSION] == _JPEG_XL:
        return (
            "is a DNG whose mosaic is stored as JPEG XL (DNG 1.7), which LibRaw cannot "
            "decode yet; convert it with Adobe DNG Converter, set to a compatibility "
            "of DNG 1.6 or earlier (or to uncompressed)."
        )
    if tags.is_dng and found[_SAMPLE_FORMAT] == _FLOATING_POINT:
        bits = f" of {found[_BITS]} bits" if found[_BITS] else ""
        return (
            f"is a DNG of floating-point numbers{bits}, as programs write that merge "
            "or process exposures; LibRaw would cut them to whole counts, and their "
            "noise is no camera's. Denoise the camera's own files before they are "
            "merged."
        )
    return None
