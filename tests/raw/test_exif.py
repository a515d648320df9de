"""Tags: read by one rule, laid out as TIFF says, never from values that do not fit."""

import io
import struct

import exifread
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.raw.exif import exif_iso, exif_tags, read_exposure
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


def tiff(path, entries):
    """Write a file of nothing but tags."""
    path.write_bytes(b"II*\0\x08\0\0\0" + encode_ifd(entries, 8))
    return path


@pytest.mark.parametrize(
    ("values", "iso"),
    [
        ({34855: [65535], 34867: [409600]}, 409600),  # beyond 16 bits: ISOSpeed has it
        ({34867: [3200]}, 3200),
        ({34855: [65535]}, 65535),
        ({34855: [0], 34866: [640]}, 640),
        ({34855: "none"}, None),
        ({}, None),
    ],
)
def test_read_exposure__iso__is_that_of_the_tag_that_has_it(tmp_path, values, iso):
    types = {34855: 3, 34866: 4, 34867: 4}
    entries = [
        encode_entry(code, 2 if isinstance(value, str) else types[code], value)
        for code, value in values.items()
    ]
    entries.append(encode_entry(33434, 5, [0.25]))
    path = tiff(tmp_path / "a.tif", entries)
    assert read_exposure(path) == (iso, 0.25)
    assert exif_iso(exif_tags(path)) == iso
