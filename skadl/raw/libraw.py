"""Opening RAW files with LibRaw: sound ones, and the others with their own reason."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import rawpy

from skadl.raw.data_layout import refusal, why_doubtful, why_impossible
from skadl.raw.file_kinds import why_not_read
from skadl.raw.tiff_tags import read_tags

# No lossless code takes less than a bit for a photosite, real noise takes several: a
# header that promises more would only cost memory (LibRaw takes up to 2 GiB).
_MOST_SITES_PER_BYTE = 16


@contextmanager
def open_libraw(path: Path) -> Iterator[rawpy.RawPy]:
    """Open a file with LibRaw for a moment, its errors as ValueErrors in plain words.

    Arrays of the file must be copied to outlive it.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; check the name and the folder."
        )
    try:
        with _imread(path) as raw:
            _check_size(raw, path)
            yield raw
    except NotImplementedError as error:
        raise ValueError(
            f"{path.name} has a mosaic that rawpy does not know ({error}): it "
            "is damaged, or not Bayer's; leave it out."
        ) from error
    except (rawpy.LibRawError, rawpy.NotSupportedError) as error:
        own_reason = why_not_read(path) or _why_damaged(path)
        if own_reason is not None:
            raise ValueError(f"{path.name} {own_reason}") from error
        reason = error.args[0] if error.args else type(error).__name__
        reason = reason.decode() if isinstance(reason, bytes) else reason
        raise ValueError(
            f"{path.name} is damaged, incomplete or not a RAW file (LibRaw: "
            f"{reason}); copy it from the camera's card again or leave it out."
        ) from error


def _why_damaged(path: Path) -> str | None:
    """Say of a file that LibRaw refuses what its tags cannot mean; None if nothing."""
    tags = read_tags(path)
    fault = why_impossible(tags) or (why_doubtful(tags) if tags.is_dng else None)
    return None if fault is None else refusal(fault)


def _check_size(raw: rawpy.RawPy, path: Path) -> None:
    """Refuse, before memory is taken for them, more pixels than a file can hold."""
    n_sites, n_bytes = raw.sizes.raw_height * raw.sizes.raw_width, path.stat().st_size
    if n_sites > _MOST_SITES_PER_BYTE * n_bytes:
        fault = (
            f"its header promises {n_sites / 1e6:,.1f} megapixels, which {n_bytes:,} "
            "bytes cannot hold"
        )
        raise ValueError(f"{path.name} {refusal(fault)}")


def _imread(path: Path) -> rawpy.RawPy:
    """Open by name, or by content where the name is no UTF-8, which rawpy takes."""
    name = str(path)
    try:
        is_utf_8 = name.encode() == os.fsencode(name)
    except UnicodeEncodeError:
        is_utf_8 = False
    if is_utf_8:
        return rawpy.imread(name)
    with path.open("rb") as file:
        return rawpy.imread(file)
