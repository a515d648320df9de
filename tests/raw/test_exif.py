"""Blocks of tags: laid out as TIFF says, and never from values that do not fit."""

import io
import struct

import exifread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.raw.exif_blocks import encode_entry, encode_ifd


@given(
    seconds=st.floats(1e-4, 1000),
    iso=st.integers(1, 65535),
    lens=st.text("ab ", max_size=9),
)
def test_encode_ifd__read_by_exifread__gives_the_values(seconds, iso, lens):
    entries = [encode_entry(36867, 2, "2024"), encode_entry(33434, 5, [seconds])]
    entries.append(encode_entry(34855, 3, [iso]))
    if lens.strip():
        entries.append(encode_entry(42036, 2, lens))
    first = struct.pack("<HHHIII", 1, 34665, 4, 1, 26, 0)
    content = b"II*\0\x08\0\0\0" + first + encode_ifd(entries, 26)
    tags = exifread.process_file(io.BytesIO(content), details=False)
    assert float(tags["EXIF ExposureTime"].values[0]) == pytest.approx(
        seconds, rel=1e-2, abs=1e-6
    )
    assert tags["EXIF ISOSpeedRatings"].values == [iso]
    assert tags["EXIF DateTimeOriginal"].values == "2024"
    if lens.strip():
        assert tags["EXIF LensModel"].values == lens.strip()


@pytest.mark.parametrize(
    ("type_", "values"),
    [
        (2, ""),
        (3, [70_000]),
        (3, [-1]),
        (3, ["text"]),
        (4, []),
        (5, [-0.5]),
        (5, [1e12]),
        (5, [None]),
        (5, [float("nan")]),
        (5, [float("inf")]),
        (10, [3e9]),
    ],
)
def test_encode_entry__value_that_does_not_fit__is_refused(type_, values):
    with pytest.raises(ValueError, match="EXIF tag 1 (cannot hold|has no value)"):
        encode_entry(1, type_, values)
