"""A DNG that LibRaw reads back as it was written, and that leaves no debris."""

import os
import sys

import exifread
import numpy as np
import pytest
import rawpy
import tifffile
from dng_files import LONG, RATIONAL, SHORT, SRATIONAL, TEXT, write_camera_dng
from hypothesis import given, settings
from hypothesis import strategies as st

import skadl
from skadl.raw.dng import write_dng
from skadl.raw.image import RawImage
from skadl.raw.mosaic import CFA_PATTERNS
from skadl.raw.rawfile import open_raw, read_raw

RNG_SEED = 0


def scene(shape=(64, 80), seed=RNG_SEED):
    """Blocks of saturated colours between counts 600 and 4000."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(600, 4000, (4, -(-shape[0] // 16), -(-shape[1] // 16)))
    planes = np.kron(blocks, np.ones((8, 8)))
    mosaic = np.empty((2 * planes.shape[1], 2 * planes.shape[2]), np.uint16)
    for index, plane in enumerate(planes):
        mosaic[index // 2 :: 2, index % 2 :: 2] = plane
    return mosaic[: shape[0], : shape[1]].copy()


def raw_image(mosaic=None, **facts):
    facts = {
        "cfa": "RGGB",
        "black_level": 512,
        "white_level": 4095,
        "sensor": "NIKON D850",
        "iso": 800,
        **facts,
    }
    return RawImage(scene() if mosaic is None else mosaic, **facts)


def tag(path, code):
    with tifffile.TiffFile(path) as tiff:
        return tiff.pages[0].tags[code].value


def set_tag(path, code, value):
    with tifffile.TiffFile(path, mode="r+b") as tiff:
        tiff.pages[0].tags[code].overwrite(value)


def develop(path, **options):
    with rawpy.imread(str(path)) as raw:
        return raw.postprocess(use_camera_wb=True, no_auto_bright=True, **options)


@st.composite
def raw_images(draw):
    shape = draw(st.tuples(st.integers(22, 41), st.integers(22, 41)))
    blacks = draw(st.tuples(*[st.integers(0, 2000)] * 4))
    white = draw(st.integers(4095, 65535))
    seed = draw(st.integers(0, 2**16))
    mosaic = np.random.default_rng(seed).integers(0, white + 1, shape, dtype=np.uint16)
    return RawImage(
        mosaic,
        draw(st.sampled_from(CFA_PATTERNS)),
        blacks,
        white,
        draw(st.sampled_from(["A7S2", "Sony Sony 7", "Camera 1", "Appareil numéro 1"])),
        draw(st.integers(1, 500_000)),
    )


@settings(deadline=None)
@given(image=raw_images())
def test_write_dng__read_back__is_bit_exact(image, tmp_path_factory):
    path = write_dng(tmp_path_factory.getbasetemp() / "round.dng", image)
    again = read_raw(path)
    np.testing.assert_array_equal(again.mosaic, image.mosaic)
    for field in ("cfa", "black_level", "white_level", "sensor", "iso"):
        assert getattr(again, field) == getattr(image, field), field


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (23, 24), (24, 23)])
def test_write_dng__small_and_odd_sizes__are_stored_whole(tmp_path, shape):
    mosaic = scene((32, 32))[: shape[0], : shape[1]]
    path = write_dng(tmp_path / "a.dng", raw_image(mosaic))
    np.testing.assert_array_equal(tifffile.imread(path), mosaic)


def test_write_dng__float_counts__are_rounded_and_clipped(tmp_path):
    mosaic = scene().astype(np.float32)
    mosaic[0, :4] = [-3.0, 1e6, 700.4, 700.6]
    path = write_dng(tmp_path / "a.dng", raw_image(mosaic))
    # Times 16, the power of two that takes 4095 to 16 bits.
    assert read_raw(path).mosaic[0, :4].tolist() == [0, 65535, 11206, 11210]


def test_write_dng__fractional_levels__are_kept_in_the_file(tmp_path):
    image = raw_image(black_level=(510.5, 512, 513.25, 514), white_level=4000.4)
    path = write_dng(tmp_path / "a.dng", image)
    numerators, denominators = np.reshape(tag(path, 50714), (4, 2)).T
    assert (numerators / denominators).tolist() == [510.5, 512, 513.25, 514]
    assert tag(path, 50717) == 4000
    assert read_raw(path).black_level == image.black_level


def test_write_dng__required_tags__are_there(tmp_path):
    path = write_dng(tmp_path / "a.dng", raw_image())
    assert tag(path, 254) == 0  # NewSubfileType: main image
    assert tag(path, 50706) == b"\1\4\0\0"  # DNGVersion
    assert tag(path, 50778) == 21  # CalibrationIlluminant1: D65
    assert (tag(path, 271), tag(path, 272)) == ("NIKON", "D850")
    assert tag(path, 50708) == "NIKON D850"
    assert tag(path, 305) == f"skadl {skadl.__version__}"
    assert len(tag(path, 50721)) == 18 and len(tag(path, 50728)) == 6


def test_write_dng__returns_path_and_takes_strings(tmp_path):
    path = write_dng(str(tmp_path / "a.dng"), raw_image())
    assert path == tmp_path / "a.dng" and path.is_file()


# Rendering


def test_write_dng__no_template__mean_of_the_image_is_grey(tmp_path):
    mosaic = np.full((64, 64), 512, np.uint16)
    mosaic[::2, ::2] += 400  # R
    mosaic[1::2, ::2] += 800  # G
    mosaic[::2, 1::2] += 800
    mosaic[1::2, 1::2] += 1600  # B
    path = write_dng(tmp_path / "a.dng", raw_image(mosaic))
    inner = develop(path)[8:-8, 8:-8].reshape(-1, 3).astype(int)
    assert np.ptp(inner, axis=1).max() <= 1


def test_write_dng__image_darker_than_black__still_has_a_neutral(tmp_path):
    path = write_dng(tmp_path / "a.dng", raw_image(np.full((32, 32), 511, np.uint16)))
    assert tag(path, 50728) == (1, 1, 1, 1, 1, 1)


def coloured_template(path):
    """Write a DNG whose colour matrix, white balance and flip are not the defaults."""
    write_dng(path, raw_image())
    matrix = [10088, -2735, -826, -4900, 13444, 1117, -641, 3300, 5392]
    set_tag(path, 50721, [n for value in matrix for n in (value, 10_000)])
    set_tag(path, 50728, [8722, 10_000, 1, 1, 5928, 10_000])
    set_tag(path, 274, 6)
    return path


@pytest.mark.parametrize("by_image_path", [False, True])
def test_write_dng__template__develops_to_the_same_picture(tmp_path, by_image_path):
    template = coloured_template(tmp_path / "camera.dng")
    if by_image_path:
        path = write_dng(tmp_path / "a.dng", read_raw(template))
    else:
        path = write_dng(tmp_path / "a.dng", raw_image(), template=template)
    ours, theirs = develop(path), develop(template)
    assert ours.shape == theirs.shape == (80, 64, 3)  # turned by 90 degrees
    assert np.abs(ours.astype(int) - theirs).max() <= 1
    plain = develop(write_dng(tmp_path / "b.dng", raw_image()), user_flip=6)
    assert np.abs(plain.astype(int) - theirs).max() > 20


@pytest.mark.parametrize("orientation", range(1, 9))
def test_write_dng__template__keeps_every_orientation(tmp_path, orientation):
    template = write_dng(tmp_path / "camera.dng", raw_image())
    set_tag(template, 274, orientation)
    path = write_dng(tmp_path / "a.dng", raw_image(), template=template)
    assert tag(path, 274) == orientation


def test_write_dng__matrix_that_libraw_hides__is_measured(tmp_path, monkeypatch):
    template = coloured_template(tmp_path / "camera.dng")
    set_tag(template, 50728, [1] * 6)

    class SecretiveRawPy:
        """A rawpy.RawPy of a model with a built-in matrix that is not handed out."""

        rgb_xyz_matrix = np.zeros((4, 3))

        def __init__(self, raw):
            self.raw = raw

        def __getattr__(self, name):
            return getattr(self.raw, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.raw.close()

    imread = rawpy.imread
    with monkeypatch.context() as patch:
        patch.setattr(rawpy, "imread", lambda path: SecretiveRawPy(imread(path)))
        patch.setattr("skadl.raw.dng_source._has_colours", lambda tags: False)
        path = write_dng(tmp_path / "a.dng", raw_image(), template=template)
    with rawpy.imread(str(path)) as ours, rawpy.imread(str(template)) as theirs:
        np.testing.assert_allclose(ours.color_matrix, theirs.color_matrix, atol=0.01)


def test_write_dng__template_that_is_no_dng__takes_libraws_matrix(
    tmp_path, monkeypatch
):
    template = write_dng(tmp_path / "camera.dng", raw_image(sensor="NIKON D850"))
    with rawpy.imread(str(template)) as raw:
        known, white = raw.rgb_xyz_matrix[:3], raw.camera_whitebalance[:3]
    monkeypatch.setattr("skadl.raw.dng_source._has_colours", lambda tags: False)
    path = write_dng(tmp_path / "a.dng", raw_image(), template=template)
    written = np.reshape(tag(path, 50721), (3, 3, 2))
    np.testing.assert_allclose(written[..., 0] / written[..., 1], known, atol=1e-4)
    numerators, denominators = np.reshape(tag(path, 50728), (3, 2)).T
    np.testing.assert_allclose(numerators / denominators * white, white[1], atol=1e-3)


def test_write_dng__source_gone_or_no_raw_file__uses_defaults(tmp_path):
    notes = tmp_path / "notes.txt"
    notes.write_text("no photograph")
    default = write_dng(tmp_path / "default.dng", raw_image()).read_bytes()
    for source in (notes, tmp_path / "gone.dng"):
        path = write_dng(tmp_path / "a.dng", raw_image(path=source))
        assert path.read_bytes() == default


# Bit depth


@settings(deadline=None, max_examples=25)
@given(
    bits=st.integers(8, 16),
    black=st.integers(0, 64),
    noise=st.floats(0.05, 2),
    seed=st.integers(0, 2**16),
)
def test_write_dng__denoised_shadows__keep_a_quarter_of_their_noise(
    bits, black, noise, seed, tmp_path_factory
):
    # What 16 bits cannot hold is no fault of the file: see the notes of write_dng.
    noise = max(noise, 1.2 * 2 ** (bits - 16))
    rng = np.random.default_rng(seed)
    image = raw_image(
        black + 10 + rng.normal(0, noise, (64, 64)),
        black_level=black,
        white_level=2**bits - 1,
    )
    path = write_dng(tmp_path_factory.getbasetemp() / "shadows.dng", image)
    again = read_raw(path)
    error = (again.normalised() - image.normalised()) * image.span
    assert np.sqrt(np.mean(error**2)) < noise / 4
    assert abs(error.mean()) < noise / 20


def test_write_dng__fractional_counts__develop_as_the_whole_ones(tmp_path):
    whole = develop(write_dng(tmp_path / "a.dng", raw_image()))
    path = write_dng(tmp_path / "b.dng", raw_image(scene() + 0.01))
    assert read_raw(path).white_level == 65520
    assert np.abs(develop(path).astype(int) - whole).max() <= 1


# Compression


@pytest.mark.parametrize("shape", [(64, 80), (23, 24), (25, 31), (300, 512)])
@pytest.mark.parametrize("kind", ["scene", "noise"])
def test_write_dng__compressed__reads_back_bit_exact(tmp_path, shape, kind):
    pytest.importorskip("imagecodecs")
    rng = np.random.default_rng(RNG_SEED)
    noise = rng.integers(0, 65536, shape, dtype=np.uint16)
    mosaic = scene(shape) if kind == "scene" else noise
    image = raw_image(mosaic, white_level=65535)
    path = write_dng(tmp_path / "a.dng", image, compress=True)
    assert tag(path, 259) == 7  # Compression: JPEG, lossless for 16 bits
    np.testing.assert_array_equal(read_raw(path).mosaic, mosaic)


def test_write_dng__compressed__is_smaller(tmp_path):
    pytest.importorskip("imagecodecs")
    plain = write_dng(tmp_path / "a.dng", raw_image()).stat().st_size
    small = write_dng(tmp_path / "b.dng", raw_image(), compress=True).stat().st_size
    assert small < 0.6 * plain


def test_write_dng__compression_not_installed__says_what_to_install(
    tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    with pytest.raises(ImportError, match=r'pip install "skadl\[dng\]"'):
        write_dng(tmp_path / "a.dng", raw_image(), compress=True)
    assert os.listdir(tmp_path) == []


# What is carried over


EXPOSURE = {
    33434: (RATIONAL, [(1, 125)]),
    33437: (RATIONAL, [(28, 10)]),
    34855: (SHORT, [640]),
    36867: (TEXT, b"2024:05:06 07:08:09\0"),
    37380: (SRATIONAL, [(-1, 3)]),
    37386: (RATIONAL, [(35, 1)]),
    42033: (TEXT, b"serial number 7\0"),
    42036: (TEXT, b"35mm f/1.8\0"),
}
POSITION = {1: (TEXT, b"N\0"), 2: (RATIONAL, [(97, 2), (0, 1), (0, 1)])}


def photograph(path, margins=(0, 0), raw=(), first=(), **layout):
    """Write what a camera would: a DNG with make, lens, exposure and position."""
    camera = {
        271: (TEXT, b"NIKON CORPORATION\0"),
        272: (TEXT, b"NIKON D850\0"),
        306: (TEXT, b"2024:05:06 07:08:09\0"),
        50708: (TEXT, b"NIKON D850\0"),
        50964: (SRATIONAL, [(n, 9) for n in range(9)]),
        **dict(first),
    }
    mosaic = np.pad(scene(), [(margins[0], 0), (margins[1], 0)], constant_values=512)
    return write_camera_dng(
        path,
        mosaic,
        first=camera,
        raw=dict(raw),
        exif=EXPOSURE,
        gps=POSITION,
        **layout,
    )


def exif(path):
    with path.open("rb") as file:
        tags = exifread.process_file(file, details=False)
    return {name: str(found) for name, found in tags.items()}


def test_write_dng__photograph__keeps_camera_lens_and_exposure(tmp_path):
    template = photograph(tmp_path / "camera.dng")
    ours = exif(write_dng(tmp_path / "a.dng", read_raw(template)))
    theirs = exif(template)
    for name in (
        "Image Make",
        "Image Model",
        "Image DateTime",
        "EXIF ExposureTime",
        "EXIF FNumber",
        "EXIF DateTimeOriginal",
        "EXIF ExposureBiasValue",
        "EXIF FocalLength",
        "EXIF ISOSpeedRatings",
        "EXIF LensModel",
    ):
        assert ours[name] == theirs[name], name
    assert ours["EXIF ISOSpeedRatings"] == "640"


@pytest.mark.parametrize("gps", [False, True])
def test_write_dng__position__only_on_request(tmp_path, gps):
    template = photograph(tmp_path / "camera.dng")
    path = write_dng(tmp_path / "a.dng", read_raw(template), gps=gps)
    found = exif(path)
    assert ("GPS GPSLatitude" in found) == gps
    if gps:
        assert found["GPS GPSLatitude"] == "[97/2, 0, 0]"
    assert b"serial number" not in path.read_bytes()


def test_write_dng__dng_template__keeps_its_colour_tags(tmp_path):
    template = photograph(tmp_path / "camera.dng")
    path = write_dng(tmp_path / "a.dng", read_raw(template))
    for code in (50708, 50721, 50728, 50778, 50964):
        assert tag(path, code) == tag(template, code), code


def test_write_dng__name_beyond_ascii__survives_two_copies(tmp_path):
    first = write_dng(tmp_path / "a.dng", raw_image(sensor="Käse 1"))
    path = write_dng(tmp_path / "b.dng", read_raw(first))
    assert read_raw(path).sensor == "Käse 1"


def test_write_dng__default_crop__follows_the_active_area(tmp_path):
    crop = {
        50719: (LONG, [4, 6]),
        50720: (LONG, [60, 50]),
        50829: (LONG, [8, 12, 72, 92]),
    }
    template = photograph(tmp_path / "camera.dng", (8, 12), crop)
    image = read_raw(template)
    np.testing.assert_array_equal(image.mosaic, scene())
    path = write_dng(tmp_path / "a.dng", image)
    assert (tag(path, 50719), tag(path, 50720)) == ((4, 6), (60, 50))
    part = write_dng(tmp_path / "b.dng", image.with_mosaic(scene()[:32]))
    with tifffile.TiffFile(part) as tiff:
        assert 50719 not in tiff.pages[0].tags


def test_write_dng__history__stands_in_the_comment(tmp_path):
    image = raw_image(scene() + np.float32(0.25))
    path = write_dng(tmp_path / "a.dng", image, history="denoised\nby é")
    with tifffile.TiffFile(path) as tiff:
        comment = tiff.pages[0].tags[34665].value["UserComment"]
    assert comment == (
        "denoised by é; counts and levels multiplied by 16; "
        f"written by skadl {skadl.__version__}"
    )


# Failures


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (raw_image(np.full((4, 4), np.nan)), "not finite; a DNG stores whole numbers"),
        (raw_image(np.full((4, 4), np.inf)), "not finite"),
        (raw_image(white_level=70_000), "do not both fit into a DNG's 16 bits"),
        (raw_image(black_level=-1), "do not both fit into a DNG's 16 bits"),
        (raw_image(black_level=0, white_level=1), "only 1 counts lie between"),
    ],
)
def test_write_dng__image_that_does_not_fit__leaves_nothing(tmp_path, image, message):
    with pytest.raises(ValueError, match=message):
        write_dng(tmp_path / "a.dng", image)
    assert os.listdir(tmp_path) == []


def test_write_dng__failure_in_the_middle__keeps_the_older_file(tmp_path, monkeypatch):
    path = write_dng(tmp_path / "a.dng", raw_image())
    before = path.read_bytes()

    def run_out_of_space(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr("skadl.raw.dng._lay_out", run_out_of_space)
    with pytest.raises(OSError, match="no space left"):
        write_dng(path, raw_image(iso=100))
    assert os.listdir(tmp_path) == ["a.dng"] and path.read_bytes() == before


def test_write_dng__template_missing_or_no_raw_file__is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file '.*no.nef'"):
        write_dng(tmp_path / "a.dng", raw_image(), template=tmp_path / "no.nef")
    notes = tmp_path / "notes.txt"
    notes.write_text("no photograph")
    with pytest.raises(ValueError, match="notes.txt is damaged.*not a RAW file"):
        write_dng(tmp_path / "a.dng", raw_image(), template=notes)
    assert os.listdir(tmp_path) == ["notes.txt"]


@pytest.mark.parametrize("seed", range(60))
def test_write_dng__damaged_template__is_used_or_refused(tmp_path, seed):
    template = photograph(tmp_path / "camera.dng")
    content = bytearray(template.read_bytes())
    rng = np.random.default_rng(seed)
    # In the header and in the blocks at the end; the counts between do not matter.
    places = np.r_[4:1000, len(content) - 400 : len(content)]
    for at in rng.choice(places, 1 + seed // 6, replace=False):
        content[at] = rng.integers(256)
    template.write_bytes(content)
    path = tmp_path / "a.dng"
    try:
        write_dng(path, raw_image(), template, gps=True)
    except ValueError as error:
        assert "camera.dng is damaged" in str(error)
        assert os.listdir(tmp_path) == ["camera.dng"]
    else:
        np.testing.assert_array_equal(read_raw(path).mosaic, scene())


def test_write_dng__missing_folder__is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder '.*new'.*create"):
        write_dng(tmp_path / "new" / "a.dng", raw_image())


def test_write_dng__onto_its_own_source__is_refused(tmp_path):
    path = write_dng(tmp_path / "a.dng", raw_image())
    before = path.read_bytes()
    for image, template in ((read_raw(path), None), (raw_image(), path)):
        with pytest.raises(ValueError, match="a.dng would replace the RAW file"):
            write_dng(path, image, template)
    assert path.read_bytes() == before


def test_write_dng__lazy_image__is_read_once_for_its_counts(tmp_path, monkeypatch):
    source = write_dng(tmp_path / "a.dng", raw_image())
    lazy = open_raw(source)
    path = write_dng(tmp_path / "b.dng", lazy)
    np.testing.assert_array_equal(read_raw(path).mosaic, scene())
