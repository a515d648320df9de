"""What is read from a RAW file, and what is refused with which sentence."""

import pickle

import numpy as np
import pytest
import rawpy
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from skadl.raw.dng import write_dng
from skadl.raw.exif import camera_name, exif_sensor, exif_tags
from skadl.raw.image import RawImage
from skadl.raw.mosaic import CFA_PATTERNS
from skadl.raw.rawfile import open_raw, read_raw

COLOUR_CODES = {"R": 0, "G": 1, "B": 2}
XTRANS = "GBGGRGRGRBGBGBGGRGGRGGBGBGBRGRGRGGBG"


def noise_mosaic(shape=(32, 48), low=400, high=4000, seed=0):
    return np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint16)


def raw_image(mosaic=None, cfa="RGGB", black=512, white=4095, sensor="S1", iso=800):
    mosaic = noise_mosaic() if mosaic is None else mosaic
    return RawImage(mosaic, cfa, black, white, sensor, iso)


def plain_dng(path, data, *, pattern="RGGB", photometric=32803, tags=()):
    """Write a DNG without our writer, so that it can be odd."""
    side = int(len(pattern) ** 0.5)
    tags = {
        50706: (50706, "B", 4, bytes((1, 4, 0, 0)), True),
        50708: (50708, "s", 0, "Unique One", True),
        50717: (50717, "I", 1, 4095, True),
        **{tag[0]: (*tag, True) for tag in tags},
    }
    if photometric == 32803:
        codes = bytes(COLOUR_CODES[letter] for letter in pattern)
        tags[33421] = (33421, "H", 2, (side, side), True)
        tags[33422] = (33422, "B", len(codes), codes, True)
    tifffile.imwrite(
        path,
        data,
        photometric=photometric,
        metadata=None,
        software=None,
        extratags=list(tags.values()),
    )
    return path


@pytest.fixture
def dng(tmp_path):
    return write_dng(tmp_path / "a.dng", raw_image())


# Reading


def test_read_raw__good_file__gives_counts_and_facts(dng):
    image = read_raw(dng)
    np.testing.assert_array_equal(image.mosaic, noise_mosaic())
    assert image.mosaic.dtype == np.uint16
    assert (image.cfa, image.black_level, image.white_level) == ("RGGB", 512, 4095)
    assert (image.sensor, image.iso, image.ratio) == ("S1", 800, 1)
    assert image.path == dng


def test_read_raw__mosaic_outlives_the_file_handle(dng):
    mosaic = read_raw(dng).mosaic
    assert mosaic.base is None and mosaic.flags.owndata and mosaic.flags.writeable
    dng.unlink()
    np.testing.assert_array_equal(mosaic, noise_mosaic())


def test_read_raw__path_as_string_or_with_other_letters__reads(tmp_path):
    path = write_dng(tmp_path / "Käse 1.dng", raw_image())
    assert read_raw(str(path)).sensor == "S1"


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("top", [0, 1, 2, 3])
@pytest.mark.parametrize("left", [0, 1, 4])
def test_read_raw__margins__cfa_is_that_of_visible_corner(tmp_path, cfa, top, left):
    # The colour of every photosite comes from DNG 1.4: CFAPattern starts at the
    # corner of ActiveArea. LibRaw may drop one more row and column.
    data = noise_mosaic((40, 50))
    pattern = np.array([*cfa]).reshape(2, 2)
    rows, columns = np.indices(data.shape)
    colours = pattern[(rows - top) % 2, (columns - left) % 2]
    path = plain_dng(
        tmp_path / "m.dng",
        data,
        pattern=cfa,
        tags=[(50829, "I", 4, (top, left, top + 32, left + 44))],
    )
    image = read_raw(path, iso=100)
    first_row, first_column = top + top % 2, left + left % 2
    visible = (slice(first_row, top + 32), slice(first_column, left + 44))
    np.testing.assert_array_equal(image.mosaic, data[visible])
    assert image.cfa == "".join(colours[visible][:2, :2].ravel())


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize("top", [0, 2])
def test_read_raw__black_level_per_site__is_in_cfa_reading_order(tmp_path, cfa, top):
    blacks = (400, 410, 420, 430)
    path = plain_dng(
        tmp_path / "m.dng",
        noise_mosaic((40, 50)),
        pattern=cfa,
        tags=[
            (50829, "I", 4, (top, 0, top + 32, 44)),
            (50713, "H", 2, (2, 2)),
            (50714, "I", 4, blacks),
        ],
    )
    assert read_raw(path, iso=100).black_level == blacks


def test_read_raw__overrides__replace_what_the_file_says(dng):
    image = read_raw(
        dng, sensor="X", iso=50, ratio=4, black_level=(1, 2, 3, 4), white_level=16383
    )
    assert (image.sensor, image.iso, image.ratio) == ("X", 50, 4)
    assert (image.black_level, image.white_level) == ((1, 2, 3, 4), 16383)


@pytest.mark.parametrize("white", [2048, 4096, 65535])
def test_read_raw__other_levels__keep_the_noise_of_the_profile_in_counts(
    tmp_path, white
):
    profile = (51041, "d", 2, (1e-3, 1e-6))
    path = plain_dng(tmp_path / "n.dng", noise_mosaic(high=2000), tags=[profile])
    image = read_raw(path, iso=100, black_level=0, white_level=white)
    slope, offset = image.noise_profile[0]
    assert slope * image.span == pytest.approx(1e-3 * 4095)
    assert offset * image.span**2 == pytest.approx(1e-6 * 4095**2)


def test_read_raw__only_unique_camera_model__is_the_sensor(tmp_path):
    path = plain_dng(tmp_path / "u.dng", noise_mosaic())
    assert read_raw(path, iso=100).sensor == "Unique One"


def test_read_raw__no_camera_in_file__asks_for_sensor(tmp_path):
    path = plain_dng(tmp_path / "u.dng", noise_mosaic(), tags=[(50708, "s", 0, " ")])
    with pytest.raises(
        ValueError, match="u.dng does not say which camera.*give sensor="
    ):
        read_raw(path, iso=100)
    assert read_raw(path, iso=100, sensor="S").sensor == "S"


def test_read_raw__no_iso_in_file__asks_for_it_and_takes_it(tmp_path):
    path = plain_dng(tmp_path / "n.dng", noise_mosaic())
    with pytest.raises(ValueError, match="n.dng does not say its ISO; give iso="):
        read_raw(path)
    assert read_raw(path, iso=640).iso == 640


def test_read_raw__rawpy_without_other__takes_iso_from_exif(dng, monkeypatch):
    class OldRawPy:
        """A rawpy.RawPy as it was before it had `other`."""

        def __init__(self, raw):
            self.raw = raw

        def __getattr__(self, name):
            if name == "other":
                raise AttributeError(name)
            return getattr(self.raw, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.raw.close()

    imread = rawpy.imread
    monkeypatch.setattr(rawpy, "imread", lambda path: OldRawPy(imread(path)))
    assert read_raw(dng).iso == 800


def test_exif_tags__tiff_block_inside_another_format__is_found(tmp_path, dng):
    inside = tmp_path / "a.raf"
    inside.write_bytes(b"FUJIFILMCCD-RAW " + bytes(132) + dng.read_bytes())
    # A block that starts elsewhere than at 8 is no EXIF block of a camera.
    block = bytearray(inside.read_bytes())
    assert block[148:156] == b"II*\0\x08\0\0\0" or block[148:152] == b"II*\0"
    block[152:156] = (8).to_bytes(4, "little")
    assert exif_sensor(exif_tags(dng)) == exif_sensor(exif_tags(inside)) == "S1"


def test_exif_tags__garbage__is_empty(tmp_path):
    path = tmp_path / "g"
    for content in (b"", b"II*\0", b"MM\0*\0\0\0\x08\xff\xff\xff", bytes(100)):
        path.write_bytes(content)
        assert exif_tags(path).first == {}


# Refusals


def test_read_raw__missing_file__says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file '.*no.dng'"):
        read_raw(tmp_path / "no.dng")
    with pytest.raises(FileNotFoundError):
        read_raw(tmp_path)


@pytest.mark.parametrize("kept", [0.0, 0.01, 0.2, 0.5, 0.9, 0.98])
def test_read_raw__truncated_file__is_refused(dng, kept):
    content = dng.read_bytes()
    dng.write_bytes(content[: int(kept * len(content))])
    with pytest.raises(ValueError, match="a.dng is (damaged|empty)"):
        read_raw(dng)


def test_read_raw__file_of_another_kind__is_refused(tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not a photograph " * 100)
    with pytest.raises(ValueError, match="notes.txt is damaged.*not a RAW file"):
        read_raw(path)


def test_read_raw__header_of_far_more_pixels_than_bytes__is_refused(tmp_path):
    # LibRaw would take gigabytes for them, and leave most of them at 0.
    path = write_dng(tmp_path / "b.dng", raw_image(), compress=True)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        for code in (256, 257, 278):
            tiff.pages[0].tags[code].overwrite(30_000)
    with pytest.raises(ValueError, match="b.dng .*promises 900.0 megapixels, which"):
        read_raw(path)


def test_read_raw__best_compressed_mosaic__passes_the_check_of_its_size(tmp_path):
    mosaic = np.full((1000, 1000), 600, np.uint16)
    mosaic[0, 0] = 601
    path = write_dng(tmp_path / "b.dng", raw_image(mosaic), compress=True)
    assert 7 < mosaic.size / path.stat().st_size < 8
    np.testing.assert_array_equal(read_raw(path).mosaic, mosaic)


def test_read_raw__rotated_mosaic__is_refused(tmp_path):
    staggered = (50711, "H", 1, 2)  # CFALayout of Fujifilm's Super CCD
    path = plain_dng(tmp_path / "s.dng", noise_mosaic(), tags=[staggered])
    with pytest.raises(ValueError, match="s.dng has a mosaic rotated by 45 degrees"):
        read_raw(path, iso=100)


@pytest.mark.parametrize(
    ("shape", "pattern", "start"),
    [
        ((4, 4), "RRGGRRGGGGBBGGBB", "RRGG"),  # Quad Bayer
        ((8, 2), "RGGBGRBGGBRGRGGB", "RGGB"),
        ((8, 2), "RGGBRGGBRGGBGRBG", "RGGB"),
        ((2, 2), "GGRB", "GGRB"),
    ],
)
def test_read_raw__pattern_that_is_not_bayers__is_refused(
    tmp_path, shape, pattern, start
):
    path = plain_dng(tmp_path / "q.dng", noise_mosaic(), pattern=pattern)
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags[33421].overwrite(shape)
    with pytest.raises(
        ValueError, match=f"q.dng has a mosaic that begins with {start}"
    ):
        read_raw(path, iso=100)


def test_read_raw__linear_dng__is_refused(tmp_path):
    path = plain_dng(tmp_path / "l.dng", noise_mosaic((32, 48, 3)), photometric=34892)
    with pytest.raises(ValueError, match="l.dng has no mosaic"):
        read_raw(path, iso=100)


def test_read_raw__monochrome__is_refused(tmp_path):
    path = plain_dng(tmp_path / "m.dng", noise_mosaic(), photometric="minisblack")
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags[262].overwrite(34892)  # LinearRaw, of a single sample
    with pytest.raises(ValueError, match="m.dng has no mosaic"):
        read_raw(path, iso=100)


def test_read_raw__complementary_colours__are_refused(tmp_path):
    codes = {"G": 1, "M": 4, "C": 3, "Y": 5}  # of CFAPattern, in LibRaw's order
    path = plain_dng(
        tmp_path / "y.dng",
        noise_mosaic(),
        tags=[(50710, "B", 4, bytes(codes.values()))],
    )
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags[33422].overwrite(bytes(codes[c] for c in "GMYC"))
    with pytest.raises(ValueError, match="y.dng has a mosaic of the colours GMYC"):
        read_raw(path, iso=100)


@pytest.mark.parametrize("count", [0, 512, 4095])
def test_read_raw__constant_mosaic__is_refused(tmp_path, count):
    mosaic = np.full((32, 48), count, np.uint16)
    path = plain_dng(tmp_path / "c.dng", mosaic)
    with pytest.raises(ValueError, match=f"c.dng holds only the count {count}"):
        read_raw(path, iso=100)


@pytest.mark.parametrize(
    ("levels", "message"),
    [
        ({"white_level": 500}, "white level 500, not above its black level 512"),
        ({"white_level": 1023}, "of its counts far above the white level 1023"),
        ({"black_level": 3900}, "of its counts below the black level 3900"),
        ({"black_level": float("nan")}, "not above its black level nan"),
    ],
)
def test_read_raw__levels_that_contradict_the_counts__are_refused(dng, levels, message):
    with pytest.raises(ValueError, match=f"{message}.*; give read_raw black_level="):
        read_raw(dng, **levels)


@pytest.mark.parametrize("offset", [-10, 0, 10])
def test_read_raw__dark_frame_with_hot_pixels__passes(tmp_path, offset):
    rng = np.random.default_rng(1)
    dark = np.rint(rng.normal(512 + offset, 8, (128, 128)))
    dark.flat[rng.choice(dark.size, 12, replace=False)] = 65535  # 0.07 %
    path = write_dng(tmp_path / "d.dng", raw_image(dark))
    np.testing.assert_array_equal(read_raw(path).mosaic, dark)


def test_read_raw__highlights_somewhat_above_listed_white__pass(tmp_path):
    # LibRaw lists 3692 for cameras of which some files saturate at 4095.
    mosaic = noise_mosaic()
    mosaic[:16] = 4095
    path = write_dng(tmp_path / "h.dng", raw_image(mosaic, black=128, white=3692))
    np.testing.assert_array_equal(read_raw(path).mosaic, mosaic)


# Names


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS 6D", "Canon EOS 6D"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("Eastman Kodak Company", "Kodak DC50 Zoom", "Kodak DC50 Zoom"),
        ("Leica Camera AG", "M8 Digital Camera", "Leica M8 Digital Camera"),
        ("OLYMPUS IMAGING CORP.", "E-M1", "OLYMPUS E-M1"),
        ("SONY", " ILCE-7SM2  ", "SONY ILCE-7SM2"),
        ("", "X1", "X1"),
        ("Camera", "", "Camera"),
        ("", "", ""),
    ],
)
def test_camera_name__known_cameras(make, model, name):
    assert camera_name(make, model) == name


@given(st.text("aB .-", max_size=8), st.text("aB .-", max_size=8))
def test_camera_name__own_result_as_model__stays(make, model):
    name = camera_name(make, model)
    assert camera_name("", name) == name


# Lazy reading


def test_open_raw__file_is_read_on_first_use_only(tmp_path):
    path = tmp_path / "later.dng"
    image = open_raw(path, sensor="S2", ratio=8)
    assert (image.sensor, image.ratio, image.path) == ("S2", 8, path)
    with pytest.raises(FileNotFoundError):
        image.cfa  # noqa: B018
    write_dng(path, raw_image(cfa="GBRG"))
    assert (image.cfa, image.iso, image.black_level) == ("GBRG", 800, 512)
    np.testing.assert_array_equal(image.mosaic, noise_mosaic())


def test_open_raw__overrides__reach_the_reader(dng):
    image = open_raw(dng, iso=100, black_level=[1, 2, 3, 4], white_level=8000)
    assert (image.iso, image.black_level, image.white_level) == (
        100,
        (1, 2, 3, 4),
        8000,
    )


@pytest.mark.parametrize("wrong", [{"iso": 0}, {"ratio": -1}])
def test_open_raw__impossible_number__is_refused_at_once(dng, wrong):
    with pytest.raises(ValueError, match="must be a positive finite number"):
        open_raw(dng, **wrong)


def test_open_raw__pickled__reads_elsewhere(dng):
    image = pickle.loads(pickle.dumps(open_raw(dng, iso=100)))
    assert (image.iso, image.sensor) == (100, "S1")
    np.testing.assert_array_equal(image.mosaic, noise_mosaic())
