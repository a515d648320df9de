"""FITS frames: right mosaic and levels in, the same cards and numbers out."""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skadl import RawImage, read_raw
from skadl.commands.denoise_files import find_raw_files, plan_outputs
from skadl.commands.main import main
from skadl.raw.fits import fits_facts
from skadl.raw.fits_header import counts_step
from skadl.raw.fits_output import write_fits
from skadl.raw.imagefile import write_image

fits = pytest.importorskip("astropy.io.fits")

CARDS = {"BAYERPAT": "RGGB", "INSTRUME": "ASI", "GAIN": 100, "PEDESTAL": 64}
DTYPES = ("u1", "i2", "u2", "i4", "u4", "f4", "f8")


def counts_of(dtype="u2", shape=(24, 32), seed=0):
    counts = np.random.default_rng(seed).normal(1000, 30, shape)
    return (counts / 5 if dtype == "u1" else counts).astype(dtype)


def write(path, counts, kind=None, **cards):
    hdu = (kind or fits.PrimaryHDU)(counts)
    hdu.header.update({**CARDS, **cards})
    for name in [name for name, value in hdu.header.items() if value == "absent"]:
        del hdu.header[name]
    hdu.writeto(path, overwrite=True)
    return path


@pytest.mark.parametrize("dtype", DTYPES)
def test_read_raw__every_bitpix__gives_what_astropy_gives(tmp_path, dtype):
    counts = counts_of(dtype)
    image = read_raw(write(tmp_path / "a.fits", counts))
    np.testing.assert_array_equal(image.mosaic, counts)
    assert image.mosaic.dtype.isnative
    assert image.black_level == 64 and image.sensor == "ASI"
    assert image.white_level == (255 if dtype == "u1" else 65535)


@pytest.mark.parametrize("suffix", [".fit", ".FITS", ".fts", ".dat"])
def test_read_raw__any_ending__is_known_by_name_or_content(tmp_path, suffix):
    counts = counts_of()
    path = write(tmp_path / "a.fits", counts).rename(tmp_path / f"b{suffix}")
    np.testing.assert_array_equal(read_raw(path).mosaic, counts)


def test_read_raw__numbers_scaled_by_any_step__are_the_physical_ones(tmp_path):
    stored = np.arange(24 * 32, dtype=np.int16).reshape(24, 32)
    hdu = fits.PrimaryHDU(stored)
    hdu.header.update({**CARDS, "PEDESTAL": 1})
    hdu.writeto(tmp_path / "a.fits")
    with fits.open(tmp_path / "a.fits", "update", do_not_scale_image_data=True) as f:
        f[0].header["BSCALE"], f[0].header["BZERO"] = 0.5, 10.0
    image = read_raw(tmp_path / "a.fits")
    np.testing.assert_array_equal(image.mosaic, fits.getdata(tmp_path / "a.fits"))
    np.testing.assert_array_equal(image.mosaic, 10 + 0.5 * stored)
    write_fits(tmp_path / "b.fits", image)
    with fits.open(tmp_path / "b.fits", do_not_scale_image_data=True) as f:
        np.testing.assert_array_equal(f[0].data, stored)
        assert (f[0].header["BSCALE"], f[0].header["BZERO"]) == (0.5, 10.0)


@pytest.mark.parametrize("compression", ["RICE_1", "GZIP_1"])
def test_read_raw__compressed__is_read_and_written_plain(tmp_path, compression):
    counts, path = counts_of(), tmp_path / "a.fits.fz"
    hdu = fits.CompImageHDU(counts, compression_type=compression)
    hdu.header.update({**CARDS, "OBJECT": "M31"})
    hdu.writeto(path)
    image = read_raw(path)
    np.testing.assert_array_equal(image.mosaic, counts)
    write_fits(tmp_path / "b.fits", image)
    np.testing.assert_array_equal(fits.getdata(tmp_path / "b.fits"), counts)
    assert fits.getheader(tmp_path / "b.fits")["OBJECT"] == "M31"


def colour_at(path, row, column):
    """Colour of a pixel, counted in the picture from its top left corner."""
    image, facts = read_raw(path), fits_facts(path)
    if facts.row_order == "BOTTOM-UP":
        row = image.mosaic.shape[0] - 1 - row
    return image.cfa[2 * (row % 2) + column % 2]


@pytest.mark.parametrize("height", [24, 25])
@pytest.mark.parametrize("order", ["TOP-DOWN", "BOTTOM-UP"])
@pytest.mark.parametrize("pattern", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_read_raw__row_order__pattern_is_that_of_the_pictures_corner(
    tmp_path, pattern, order, height
):
    path = write(
        tmp_path / "a.fit",
        counts_of(shape=(height, 32)),
        BAYERPAT=pattern,
        ROWORDER=order,
    )
    corner = [colour_at(path, row, column) for row in (0, 1) for column in (0, 1)]
    assert "".join(corner) == pattern


@pytest.mark.parametrize(
    "offsets, expected",
    [((0, 0), "RGGB"), ((1, 0), "GRBG"), ((0, 1), "GBRG"), ((1, 1), "BGGR")],
)
def test_read_raw__bayer_offsets__move_the_pattern(tmp_path, offsets, expected):
    cards = dict(zip(("XBAYROFF", "YBAYROFF"), offsets, strict=True))
    assert read_raw(write(tmp_path / "a.fit", counts_of(), **cards)).cfa == expected


@pytest.mark.parametrize(
    "cards, iso",
    [
        ({"GAIN": 0}, 100),
        ({"GAIN": 200}, 1000),
        ({"GAIN": 80.0}, 251.2),
        ({"GAIN": 1600}, 1600),  # a DSLR's
        ({"GAIN": 120, "ISOSPEED": 800}, 800),
    ],
)
def test_read_raw__gain__stands_for_the_iso(tmp_path, cards, iso):
    path = write(tmp_path / "a.fit", counts_of(), **cards)
    assert read_raw(path).iso == pytest.approx(iso)
    assert read_raw(path, iso=55).iso == 55


@pytest.mark.parametrize("sign", [1, -1])
def test_read_raw__pedestal_of_either_sign__is_the_black_level(tmp_path, sign):
    path = write(tmp_path / "a.fit", counts_of(), PEDESTAL=sign * 400)
    assert read_raw(path).black_level == 400


@pytest.mark.parametrize("pedestal", ["absent", 30_000])
def test_read_raw__no_believable_black_level__is_said(tmp_path, pedestal):
    path = write(tmp_path / "a.fit", counts_of(), PEDESTAL=pedestal, OFFSET=50)
    with pytest.warns(UserWarning, match="PEDESTAL"):
        assert read_raw(path).black_level == 0
    assert read_raw(path, black_level=500).black_level == 500


@pytest.mark.parametrize(
    "counts, cards, white",
    [
        (counts_of() // 16 * 16, {}, 65520),  # 12 bits in 16
        (counts_of() // 4 * 4, {}, 65532),  # 14 bits in 16
        (np.minimum(counts_of() * 4, 4095), {}, 4095),  # 12 bits as they are
        (counts_of(), {"SATURATE": 60_000}, 60_000),
        (counts_of(), {"SATURATE": 900}, 65535),  # which the counts contradict
        (counts_of("f4") / 65535, {"PEDESTAL": 0.001}, 1),  # Siril's floats
        (counts_of("f4"), {}, 65535),
    ],
)
def test_read_raw__white_level__is_where_the_counts_can_end(
    tmp_path, counts, cards, white
):
    assert read_raw(write(tmp_path / "a.fit", counts, **cards)).white_level == white


@given(arrays(np.uint16, (4, 6)), st.integers(0, 8))
def test_counts_step__scaled_counts__is_a_power_of_two_that_divides_all(counts, bits):
    scaled = counts << bits
    step = counts_step(scaled)
    assert 1 <= step <= 256 and step & (step - 1) == 0
    assert not (scaled % step).any()
    assert step >= 2**bits or not scaled.any()


COLOUR = np.zeros((3, 24, 32), np.uint16) + counts_of()
NAN = np.where(np.eye(24, 32), np.nan, counts_of("f4")).astype(np.float32)


@pytest.mark.parametrize(
    "counts, cards, words",
    [
        (COLOUR, {}, "colour picture"),
        (np.stack([counts_of()] * 5), {}, "5 pictures"),
        (counts_of(), {"BAYERPAT": "absent"}, "BAYERPAT.*monochrome.*setval"),
        (counts_of(), {"BAYERPAT": "GRGR"}, "colour pattern 'GRGR'"),
        (NAN, {}, "24 pixels without a value"),
        (counts_of("i2"), {"BLANK": 1000}, r"pixels without a value \(BLANK\)"),
        (counts_of() * 0 + 7, {"PEDESTAL": 1}, "only the count 7"),
        (counts_of("i4") * 100, {}, "SATURATE"),
        (counts_of(), {"INSTRUME": "absent"}, "--sensor"),
        (counts_of(), {"GAIN": "absent"}, "--iso"),
    ],
)
def test_read_raw__what_is_no_mosaic__is_refused_for_its_own_reason(
    tmp_path, counts, cards, words
):
    if "BLANK" in cards:
        cards = {"BLANK": int(counts[0, 0])}
    path = write(tmp_path / "a.fit", counts, **cards)
    with pytest.raises(ValueError, match=f"(?s)a.fit.*{words}"):
        read_raw(path)


def test_read_raw__several_images__are_refused(tmp_path):
    images = [fits.PrimaryHDU(counts_of()), fits.ImageHDU(counts_of(seed=1))]
    fits.HDUList(images).writeto(tmp_path / "a.fits")
    with pytest.raises(ValueError, match="holds 2 images"):
        read_raw(tmp_path / "a.fits")


def test_read_raw__image_in_an_extension__is_read_and_written_there(tmp_path):
    hdu = fits.ImageHDU(counts_of())
    hdu.header.update(CARDS)
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / "a.fits")
    image = read_raw(tmp_path / "a.fits")
    write_fits(tmp_path / "b.fits", image)
    with fits.open(tmp_path / "b.fits") as found:
        assert found[0].data is None
        np.testing.assert_array_equal(found[1].data, counts_of())


@given(st.integers(0, 8000), st.binary(min_size=1, max_size=3))
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_read_raw__damaged_bytes__are_an_image_or_a_value_error(tmp_path, at, wrong):
    path = write(tmp_path / "a.fits", counts_of())
    content = bytearray(path.read_bytes())
    content[at : at + len(wrong)] = wrong
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = read_raw(path)
        except ValueError as error:
            assert len(str(error)) < 600
        else:
            assert np.isfinite(image.mosaic).all()


@pytest.mark.parametrize("sums", ["datasum", True])
def test_read_raw__counts_against_their_own_sum__are_damaged(tmp_path, sums):
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(counts_of())
    hdu.header.update(CARDS)
    hdu.writeto(path, checksum=sums)
    read_raw(path)
    content = bytearray(path.read_bytes())
    content[-2880] ^= 4  # the first count
    path.write_bytes(content)
    with pytest.raises(ValueError, match="DATASUM"):
        read_raw(path)


def test_read_raw__card_corrected_after_its_sum__is_no_damage(tmp_path):
    path = tmp_path / "a.fits"
    hdu = fits.PrimaryHDU(counts_of())
    hdu.header.update(CARDS)
    hdu.writeto(path, checksum=True)
    fits.setval(path, "INSTRUME", value="QHY")
    assert read_raw(path).sensor == "QHY"


@pytest.mark.parametrize("kept", [0, 9, 100, 2880, 3000, 4300])
def test_read_raw__cut_short__is_damaged(tmp_path, kept):
    path = write(tmp_path / "a.fits", counts_of())
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ValueError, match="a.fits is damaged or incomplete|is damaged,"):
        read_raw(path)


def test_read_raw__header_that_promises_terabytes__takes_no_memory(tmp_path):
    path = write(tmp_path / "a.fits", counts_of())
    content = path.read_bytes().replace(
        b"NAXIS1  =                   32", b"NAXIS1  =         200000000000"
    )
    path.write_bytes(content)
    with pytest.raises(ValueError, match="damaged"):
        read_raw(path)


@pytest.mark.parametrize("dtype", DTYPES)
def test_write_fits__template__keeps_cards_numbers_and_rows(tmp_path, dtype):
    path = write(
        tmp_path / "a.fit", counts_of(dtype), OBJECT="M31", ROWORDER="TOP-DOWN"
    )
    with fits.open(path, "update", do_not_scale_image_data=True) as file:
        file[0].header["HISTORY"] = "taken by hand"
        file[0].add_checksum()
    before = fits.getheader(path)
    image = read_raw(path)
    denoised = image.with_mosaic(image.mosaic.astype(np.float32) + 0.3)
    write_fits(tmp_path / "b.fit", denoised, history="denoised")
    with fits.open(
        tmp_path / "b.fit", checksum=True
    ) as file:  # warns where it is wrong
        written, after = file[0].data, file[0].header
    for card in before.cards:
        if card.keyword not in ("HISTORY", "CHECKSUM", "DATASUM"):
            assert after[card.keyword] == card.value
    assert len(after["HISTORY"]) == len(before["HISTORY"]) + 1
    assert "denoised" in str(after["HISTORY"])
    assert written.dtype.newbyteorder("=") == np.dtype(dtype)
    expected = denoised.mosaic if dtype in ("f4", "f8") else np.rint(denoised.mosaic)
    np.testing.assert_array_equal(written, expected.astype(written.dtype))


@pytest.mark.parametrize("dtype", ["u1", "i2", "u2"])
def test_write_fits__counts_beyond_the_bits__are_clipped(tmp_path, dtype):
    image = read_raw(write(tmp_path / "a.fit", counts_of(dtype)))
    limits = np.iinfo(dtype)
    far = np.full(image.mosaic.shape, 1e6, np.float32)
    far[0] = -1e6
    write_fits(tmp_path / "b.fit", image.with_mosaic(far))
    written = fits.getdata(tmp_path / "b.fit")
    assert (written[0] == limits.min).all() and (written[1:] == limits.max).all()


@pytest.mark.parametrize("fraction", [0.0, 0.25])
def test_write_image__no_template__is_read_back_the_same(tmp_path, fraction):
    counts = counts_of("f4").round() + np.float32(fraction)
    image = RawImage(counts, "GBRG", 64, 65535, "ASI", 800)
    write_image(tmp_path / "a.fits", image)
    back = read_raw(tmp_path / "a.fits")
    np.testing.assert_array_equal(back.mosaic, counts)
    assert (back.cfa, back.black_level, back.white_level) == ("GBRG", 64, 65535)
    assert (back.sensor, back.iso) == ("ASI", 800)


def test_write_fits__its_own_source_nan_or_other_size__is_refused(tmp_path):
    image = read_raw(write(tmp_path / "a.fit", counts_of()))
    with pytest.raises(ValueError, match="would replace"):
        write_fits(tmp_path / "a.fit", image)
    wrong = image.with_mosaic(np.full(image.mosaic.shape, np.nan))
    with pytest.raises(ValueError, match="not finite"):
        write_fits(tmp_path / "b.fit", wrong)
    with pytest.raises(ValueError, match="32 x 24 pixels, the image 32 x 22"):
        write_fits(tmp_path / "b.fit", image.with_mosaic(image.mosaic[2:]))
    assert [path.name for path in tmp_path.iterdir()] == ["a.fit"]


def test_read_raw__without_astropy__says_how_to_get_it(tmp_path, monkeypatch):
    path = write(tmp_path / "a.fit", counts_of())
    monkeypatch.setitem(sys.modules, "astropy.io.fits", None)
    with pytest.raises(ValueError, match=r'pip install "skadl\[fits\]"'):
        read_raw(path)


def test_plan_outputs__fits__stay_fits_unless_another_is_named(tmp_path):
    for name in ("a.fit", "b.FITS", "c.fits.fz", "d.dng", ".e.fit"):
        (tmp_path / name).touch()
    files, _ = find_raw_files([tmp_path])
    assert len(files) == 4

    def names(file_format):
        plan = plan_outputs(files, Path("out"), file_format, False)
        return [result.output.name for result in plan]

    assert names(None) == ["a.fit", "b.FITS", "c.fits", "d.dng"]
    assert names("fits") == ["a.fit", "b.FITS", "c.fits", "d.fits"]
    assert names("npy") == ["a.npy", "b.npy", "c.fits.npy", "d.npy"]


def test_denoise__fits__comes_out_as_fits_with_its_cards(tmp_path):
    rng = np.random.default_rng(0)
    counts = (64 + rng.poisson(300, (128, 160)) * 4).astype(np.uint16)
    path = write(tmp_path / "a.fit", counts, OBJECT="M31", EXPTIME=10.0)
    words = ["denoise", str(path), "--out", str(tmp_path / "out")]
    outcome = CliRunner().invoke(
        main, [*words, "--noise", "316,4,5", "--device", "cpu"]
    )
    assert outcome.exit_code == 0, outcome.output
    after = fits.getheader(tmp_path / "out/a.fit")
    assert after["OBJECT"] == "M31" and "denoised" in str(after["HISTORY"])
    denoised = fits.getdata(tmp_path / "out/a.fit")
    assert denoised.dtype == counts.dtype and denoised.std() < counts.std() / 4
    assert denoised.mean() == pytest.approx(counts.mean(), rel=1e-3)


def test_info__fits__says_what_stands_for_the_iso(tmp_path):
    path = write(tmp_path / "a.fit", counts_of(), PEDESTAL="absent", EXPTIME=10)
    outcome = CliRunner().invoke(main, ["info", str(path)])
    assert "card GAIN, 100" in outcome.output and "10 s" in outcome.output
    assert "0 is\n        taken" in outcome.output
    record = json.loads(CliRunner().invoke(main, ["info", str(path), "--json"]).output)
    assert record["fits"]["gain_setting"] == 100 and record["iso"] == 316.2
