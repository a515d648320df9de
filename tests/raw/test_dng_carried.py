"""What a DNG keeps of the file that it was made from, and what it must not keep."""

import os
import shutil
import struct
import subprocess
import warnings

import numpy as np
import pytest
import rawpy
import tifffile
from dng_files import (
    BYTE,
    DOUBLE,
    FLOAT,
    LONG,
    RATIONAL,
    SHORT,
    SRATIONAL,
    TEXT,
    UNDEFINED,
    apply_gain_maps,
    gain_map,
    opcode_list,
    write_camera_dng,
)

from skadl.raw.dng import write_dng
from skadl.raw.rawfile import read_raw
from skadl.raw.tiff_tags import numbers, read_tags

LISTS = (51008, 51009, 51022)
XMP = (
    '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>\n'
    '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF '
    'xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description '
    'rdf:about="" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    'xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" '
    'xmlns:xmp="http://ns.adobe.com/xap/1.0/" '
    'xmlns:crs="http://ns.adobe.com/camera-raw-settings/1.0/" '
    'xmlns:drone-dji="http://www.dji.com/drone-dji/1.0/" '
    'exif:GPSLatitude="48,30N" aux:SerialNumber="77" xmp:Rating="4">'
    "<drone-dji:GpsLongitude>+9.1</drone-dji:GpsLongitude>"
    "<crs:Exposure2012>+0.5</crs:Exposure2012></rdf:Description></rdf:RDF></x:xmpmeta>"
    '<?xpacket end="w"?>'
).encode()


def counts(shape=(64, 96), seed=0):
    return np.random.default_rng(seed).integers(500, 4000, shape, dtype=np.uint16)


def denoise(image):
    """Other counts, with fractions, which are multiplied when they are written."""
    return image.with_mosaic(image.mosaic + np.float32(0.25))


def rewrite(source, **options):
    """What becomes of a file that is read, denoised and written."""
    image = denoise(read_raw(source))
    return write_dng(source.with_name("out.dng"), image, source, **options)


def shading(shape, start=(0, 0)):
    """A lens that darkens and colours its corners: four maps, one for each site."""
    rng = np.random.default_rng(1)
    ends = start[0] + shape[0], start[1] + shape[1]
    return opcode_list(
        *(
            (
                9,
                gain_map(
                    (start[0] + r, start[1] + c, *ends), rng.uniform(1, 3, (5, 7))
                ),
            )
            for r in (0, 1)
            for c in (0, 1)
        )
    )


def test_rewrite__lens_shading__is_that_of_the_camera(tmp_path):
    source = write_camera_dng(
        tmp_path / "a.dng", counts(), raw={51009: (UNDEFINED, shading((64, 96)))}
    )
    path = rewrite(source)
    assert read_tags(path).first[51009].payload == shading((64, 96))
    assert numbers(read_tags(path).first[50707]) == [1, 3, 0, 0]


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("corner", [(3, 5), (2, 4), (1, 2)])
def test_rewrite__lens_shading_and_odd_margin__lies_on_the_same_photosites(
    tmp_path, corner, order
):
    # LibRaw hides a further row or column where a margin of the ActiveArea is odd.
    top, left = corner
    active = 60 - top, 90 - left
    content = shading(active)
    source = write_camera_dng(
        tmp_path / "a.dng",
        counts(),
        order=order,
        raw={50829: (LONG, [top, left, 60, 90]), 51009: (UNDEFINED, content)},
    )
    before = apply_gain_maps(content, active)[top % 2 :, left % 2 :]
    path = rewrite(source)
    shape = read_raw(path).mosaic.shape
    after = apply_gain_maps(read_tags(path).first[51009].payload, shape)
    np.testing.assert_allclose(after, before[: shape[0], : shape[1]], rtol=1e-6)


def test_rewrite__list_of_the_whole_image__begins_at_the_visible_area(tmp_path):
    content = shading((64, 96))
    source = write_camera_dng(
        tmp_path / "a.dng",
        counts(),
        raw={50829: (LONG, [10, 20, 60, 90]), 51008: (UNDEFINED, content)},
    )
    after = apply_gain_maps(read_tags(rewrite(source)).first[51008].payload, (50, 70))
    before = apply_gain_maps(content, (64, 96))[10:60, 20:90]
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_write_dng__part_of_the_picture__says_that_corrections_are_lost(tmp_path):
    source = write_camera_dng(
        tmp_path / "a.dng", counts(), raw={51009: (UNDEFINED, shading((64, 96)))}
    )
    image = read_raw(source)
    part = image.with_mosaic(image.mosaic[:32])
    with pytest.warns(UserWarning, match=r"corrections of a\.dng .*OpcodeList2\. RAW"):
        path = write_dng(tmp_path / "b.dng", part)
    assert not {*LISTS} & {*read_tags(path).first}


def test_rewrite__bad_pixels_by_count__become_a_list(tmp_path):
    mosaic = counts()
    mosaic[[12, 30], [22, 40]] = 0
    fix = opcode_list((4, struct.pack(">2I", 0, 0)))
    source = write_camera_dng(
        tmp_path / "a.dng",
        mosaic,
        raw={50829: (LONG, [10, 20, 60, 90]), 51008: (UNDEFINED, fix)},
    )
    content = read_tags(rewrite(source)).first[51008].payload
    assert content == opcode_list((5, struct.pack(">7I", 0, 2, 0, 2, 2, 20, 20)))


# Crops


@pytest.mark.parametrize(
    ("origin", "size"), [((15, 7), (65, 49)), ((1, 1), (95, 63)), ((0, 0), (96, 64))]
)
def test_rewrite__odd_default_crop__stays(tmp_path, origin, size):
    crop = {50719: (LONG, [*origin]), 50720: (LONG, [*size])}
    source = write_camera_dng(tmp_path / "a.dng", counts(), raw=crop)
    tags = read_tags(rewrite(source)).first
    assert (numbers(tags[50719]), numbers(tags[50720])) == ([*origin], [*size])


def test_rewrite__crop_in_fractions__stays(tmp_path):
    crop = {
        50719: (RATIONAL, [(31, 2), (15, 2)]),
        50720: (RATIONAL, [(129, 2), (97, 2)]),
    }
    source = write_camera_dng(tmp_path / "a.dng", counts(), raw=crop)
    tags = read_tags(rewrite(source)).first
    assert (numbers(tags[50719]), numbers(tags[50720])) == ([15.5, 7.5], [64.5, 48.5])


def test_rewrite__crop_and_odd_margin__is_the_same_part_of_the_picture(tmp_path):
    crop = {
        50829: (LONG, [3, 5, 60, 90]),
        50719: (LONG, [0, 7]),  # from column 5, which LibRaw hides
        50720: (LONG, [64, 40]),
        51125: (RATIONAL, [(1, 10), (1, 4), (1, 2), (3, 4)]),
    }
    source = write_camera_dng(tmp_path / "a.dng", counts(), raw=crop)
    tags = read_tags(rewrite(source)).first
    assert (numbers(tags[50719]), numbers(tags[50720])) == ([0, 6], [63, 40])
    top, left, bottom, right = numbers(tags[51125])
    assert (6 + 40 * top, 6 + 40 * bottom) == pytest.approx((6 + 4, 6 + 20))
    assert (63 * left, 63 * right) == pytest.approx((16 - 1, 48 - 1), abs=1e-3)


# Tags that say the same of any counts

STAYING = {
    50709: (TEXT, b"Labor\0"),
    50722: (SRATIONAL, [(n, 9) for n in range(9)]),
    50730: (SRATIONAL, [(-1, 2)]),
    50731: (RATIONAL, [(5, 4)]),  # BaselineNoise
    50732: (RATIONAL, [(3, 4)]),  # BaselineSharpness
    50734: (RATIONAL, [(1, 1)]),
    50736: (RATIONAL, [(24, 1), (70, 1), (28, 10), (28, 10)]),  # LensInfo
    50779: (SHORT, [17]),
    50936: (TEXT, b"Neutral\0"),
    50940: (FLOAT, [0.0, 0.0, 0.5, 0.6, 1.0, 1.0]),
    50964: (SRATIONAL, [(n, 9) for n in range(9)]),
    52529: (SHORT, [20]),  # CalibrationIlluminant3
    52531: (SRATIONAL, [(n, 7) for n in range(9)]),  # ColorMatrix3
    52532: (SRATIONAL, [(n, 5) for n in range(9)]),  # ForwardMatrix3
}
STALE = {
    50712: (SHORT, [*range(4096)]),  # LinearizationTable
    50735: (TEXT, b"1234567\0"),  # CameraSerialNumber
    50740: (BYTE, b"secrets of the maker"),  # DNGPrivateData
    50781: (BYTE, bytes(range(16))),  # RawDataUniqueID
    50828: (UNDEFINED, b"the file before"),  # OriginalRawFileData
    50830: (LONG, [0, 0, 4, 96]),  # MaskedAreas
    50972: (BYTE, bytes(range(16))),  # RawImageDigest
    51111: (BYTE, bytes(range(16))),  # NewRawImageDigest
}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("place", ["first", "raw"])
def test_rewrite__tags__that_still_hold_stay_and_others_go(tmp_path, order, place):
    source = write_camera_dng(
        tmp_path / "a.dng",
        counts(),
        order=order,
        **{place: STAYING | STALE | {50706: (BYTE, [1, 6, 0, 0])}},
        **({"first": {50706: (BYTE, [1, 6, 0, 0])}} if place == "raw" else {}),
    )
    before, after = read_tags(source), read_tags(rewrite(source)).first
    for code in STAYING:
        assert after[code] == before.find(code), code
    assert not {*STALE} & {*after}
    assert numbers(after[50706]) == [1, 6, 0, 0]  # ColorMatrix3 needs it


def test_rewrite__noise_profile__goes_and_noise_reduction_is_said(tmp_path):
    profile = {51041: (DOUBLE, [1e-3, 1e-6]), 50935: (RATIONAL, [(0, 1)])}
    source = write_camera_dng(tmp_path / "a.dng", counts(), raw=profile)
    tags = read_tags(rewrite(source, noise_reduction=0.75)).first
    assert 51041 not in tags and numbers(tags[50935]) == [0.75]
    # The same counts have the same noise.
    copy = write_dng(tmp_path / "copy.dng", read_raw(source))
    assert read_raw(copy).noise_profile == read_raw(source).noise_profile


@pytest.mark.parametrize("share", [-0.1, 1.5, float("nan")])
def test_write_dng__noise_reduction_that_is_no_share__is_refused(tmp_path, share):
    source = write_camera_dng(tmp_path / "a.dng", counts())
    with pytest.raises(ValueError, match="noise_reduction must be from 0"):
        rewrite(source, noise_reduction=share)
    assert os.listdir(tmp_path) == ["a.dng"]


def test_rewrite__black_level_by_row__is_that_of_the_camera(tmp_path):
    ramp = [(n, 4) for n in range(64)]
    source = write_camera_dng(
        tmp_path / "a.dng",
        counts(),
        raw={50716: (SRATIONAL, ramp), 50829: (LONG, [0, 0, 64, 90])},
    )
    image = read_raw(source)
    assert image.black_level == 512 + 63 / 8
    path = write_dng(tmp_path / "b.dng", image)
    again, deltas = read_raw(path), numbers(read_tags(path).first[50716])
    np.testing.assert_allclose(
        again.black_level + np.array(deltas), 512 + np.arange(64) / 4, atol=1e-3
    )


# Text


@pytest.mark.parametrize(
    "text",
    [
        b"(c) 2014 J\xf6rg\0",
        b"photographer\0editor\0",
        "Jörg".encode() + b"\0",
        b"\xff\xfe\0",
    ],
)
def test_rewrite__text__stays_byte_for_byte(tmp_path, text):
    named = {code: (TEXT, text) for code in (270, 315, 33432)}
    source = write_camera_dng(tmp_path / "a.dng", counts(), first=named)
    tags = read_tags(rewrite(source)).first
    for code in named:
        assert tags[code].payload == text


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        (b"\xdcn\xef\0", b"Cam\xe9ra 1\0", "Ünï Caméra 1"),
        (b"Lab\0\0\0", b"X1\0garbage\0", "Lab X1"),
        (b"", b"Evil\x1b]0;pwn\x07\x1b[2Jcam\0", "Evil\ufffd]0;pwn\ufffd\ufffd[2Jcam"),
        (b"\0", b"A\nB\xe2\x80\xaeC\0", "A B\ufffdC"),
    ],
)
def test_read_raw__name_of_camera__is_text_that_can_be_shown(
    tmp_path, make, model, name
):
    names = {272: (TEXT, model)} | ({271: (TEXT, make)} if make else {})
    without = () if make else (271,)
    source = write_camera_dng(
        tmp_path / "a.dng", counts(), first=names, without=without
    )
    assert read_raw(source).sensor == name
    path = rewrite(source)
    assert read_raw(path).sensor == name
    assert read_tags(path).first[272].payload == model


def test_read_raw__endless_name__is_cut(tmp_path):
    source = write_camera_dng(
        tmp_path / "a.dng", counts(), first={272: (TEXT, b"x" * 70_000 + b"\0")}
    )
    assert len(read_raw(source).sensor) <= 256


def test_rewrite__comment_of_the_photographer__stays(tmp_path):
    comment = b"ASCII\0\0\0first light"
    source = write_camera_dng(
        tmp_path / "a.dng", counts(), exif={37510: (UNDEFINED, comment)}
    )
    path = rewrite(source, history="denoised")
    with tifffile.TiffFile(path) as tiff:
        words = tiff.pages[0].tags[34665].value["UserComment"]
    assert words.startswith("first light; denoised; ")


@pytest.mark.parametrize("gps", [False, True])
def test_rewrite__xmp__stays_without_serial_number_and_position(tmp_path, gps):
    source = write_camera_dng(tmp_path / "a.dng", counts(), first={700: (BYTE, XMP)})
    xmp = read_tags(rewrite(source, gps=gps)).first[700].payload
    assert b'xmp:Rating="4"' in xmp and b"+0.5" in xmp
    assert b"77" not in xmp
    assert (b"48,30N" in xmp, b"+9.1" in xmp) == (gps, gps)


@pytest.mark.parametrize(
    "xmp", ["<a>Jörg</a>".encode("utf-16"), b"<a:GPSLatitude x='1'>open</b>"]
)
def test_rewrite__xmp_that_cannot_be_searched__goes(tmp_path, xmp):
    source = write_camera_dng(tmp_path / "a.dng", counts(), first={700: (BYTE, xmp)})
    assert 700 not in read_tags(rewrite(source)).first


def test_rewrite__iso_given__no_other_iso_contradicts_it(tmp_path):
    exif = {34864: (SHORT, [1]), 34865: (LONG, [800])}
    source = write_camera_dng(tmp_path / "a.dng", counts(), exif=exif)
    assert numbers(read_tags(rewrite(source)).exif[34865]) == [800]
    image = read_raw(source, iso=1600)
    tags = read_tags(write_dng(tmp_path / "b.dng", image, source)).exif
    assert numbers(tags[34855]) == [1600] and 34865 not in tags


def test_rewrite__name_that_is_no_utf_8__is_read_and_written(tmp_path):
    plain = write_camera_dng(tmp_path / "a.dng", counts())
    name = tmp_path / os.fsdecode(b"\xe9t\xe9_1.dng")
    try:
        plain.rename(name)
    except OSError:
        pytest.skip("this file system takes UTF-8 alone")
    image = read_raw(name)
    np.testing.assert_array_equal(image.mosaic, counts())
    path = write_dng(name.with_suffix(".out.dng"), image)
    original = read_tags(path).first[50827].payload
    assert original == "\ufffdt\ufffd_1.dng".encode() + b"\0"


# Other programs


def everything(path):
    """A file with all that is carried."""
    raw = {
        50829: (LONG, [2, 4, 60, 90]),
        50719: (LONG, [3, 1]),
        50720: (LONG, [75, 51]),
        51125: (RATIONAL, [(0, 1), (0, 1), (1, 2), (1, 2)]),
        51009: (UNDEFINED, shading((58, 86))),
        51022: (
            UNDEFINED,
            opcode_list((1, struct.pack(">I8d", 1, 1, 0.1, 0, 0, 0, 0, 0.5, 0.5))),
        ),
    }
    first = STAYING | {700: (BYTE, XMP), 315: (TEXT, b"J\xf6rg\0")}
    return write_camera_dng(path, counts(), first=first, raw=raw)


def test_rewrite__everything__is_read_by_other_programs(tmp_path):
    path = rewrite(everything(tmp_path / "a.dng"))
    with tifffile.TiffFile(path) as tiff, rawpy.imread(str(path)) as raw:
        assert tiff.pages[0].tags["LensInfo"].value[:2] == (24, 1)
        np.testing.assert_array_equal(tiff.pages[0].asarray(), raw.raw_image_visible)
        assert raw.postprocess(half_size=True).shape == (29, 43, 3)


@pytest.mark.skipif(shutil.which("exiftool") is None, reason="exiftool is not here")
def test_rewrite__everything__is_valid_to_exiftool(tmp_path):
    source = everything(tmp_path / "a.dng")
    ours, theirs = (warnings_of_exiftool(path) for path in (rewrite(source), source))
    assert not ours - theirs, "our file has faults that the camera's has not"
    for order in "<>":
        plain = write_camera_dng(tmp_path / "b.dng", counts(), order=order)
        assert not warnings_of_exiftool(rewrite(plain))


def warnings_of_exiftool(path):
    words = ["exiftool", "-validate", "-warning", "-error", "-a", "-s3", str(path)]
    said = subprocess.run(words, capture_output=True, text=True, check=False)
    return {line for line in said.stdout.splitlines()[1:]}


@pytest.mark.parametrize("seed", range(80))
def test_rewrite__damaged_tags__are_carried_or_refused(tmp_path, seed):
    source = everything(tmp_path / "a.dng")
    content = bytearray(source.read_bytes())
    rng = np.random.default_rng(seed)
    begin = 8 + counts().nbytes
    for at in rng.integers(begin, len(content), 1 + seed // 8):
        content[at] = rng.integers(256)
    source.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = read_raw(source, sensor="S", iso=100)
            path = write_dng(tmp_path / "b.dng", denoise(image), source, gps=True)
        except ValueError as error:
            assert "a.dng" in str(error)
            assert os.listdir(tmp_path) == ["a.dng"]
        else:
            assert read_raw(path, iso=100).mosaic.shape == image.mosaic.shape
