"""Records: what they hold, what they refuse, and that lazy ones stay lazy."""

from __future__ import annotations

import base64
import io
import pickle
from dataclasses import FrozenInstanceError
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.pair import RawPair, make_pairs

FACTS = dict(
    cfa="RGGB", black_level=64, white_level=1023, sensor="S", iso=100, ratio=1.0
)
FRAMES = np.arange(3 * 4 * 6, dtype=np.uint16).reshape(3, 4, 6)
PAIR_FACTS = dict(sensor="S", iso=100, cfa="RGGB", black_level=0, white_level=1023)


def raw_image(mosaic=None, **changes):
    mosaic = np.full((4, 6), 200, np.uint16) if mosaic is None else mosaic
    return RawImage(mosaic, **(FACTS | changes))


class CountingReader:
    """Reads an image "from a file" and counts how often."""

    def __init__(self):
        self.n_reads = 0

    def __call__(self, path):
        self.n_reads += 1
        return raw_image(np.full((2, 2), self.n_reads, np.uint16), iso=1600)


def read_constant(path):
    return raw_image()


def explode(path):
    raise AssertionError(f"{path} was read although nobody asked")


# One image


@pytest.mark.parametrize("field", ["mosaic", *FACTS, "path"])
def test_image__any_field__is_frozen(field):
    image = raw_image()
    with pytest.raises(FrozenInstanceError):
        setattr(image, field, getattr(image, field))


def test_image__equal_content__compares_by_identity():
    image = raw_image()
    assert image == image
    assert image != raw_image()
    assert len({image, raw_image()}) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (dict(cfa="RGBG"), "is not known; use one of RGGB"),
        (dict(black_level=np.nan), "black_level"),
        (dict(black_level=(1, 2)), "black_level"),
        (dict(black_level=1023), "white_level 1023 must lie above"),
        (dict(black_level=(1, 2, 3, 2000)), "white_level 1023 must lie above"),
        (dict(white_level=-1), "white_level must be a positive"),
        (dict(white_level=np.inf), "white_level must be a positive"),
        (dict(sensor=""), "sensor must be a non-empty string"),
        (dict(sensor=7), "sensor must be a non-empty string"),
        (dict(iso=0), "iso must be a positive"),
        (dict(iso=None), "iso must be a positive"),
        (dict(iso="fast"), "iso must be a positive"),
        (dict(ratio=-1), "ratio must be a positive"),
        (dict(ratio=np.nan), "ratio must be a positive"),
    ],
)
def test_image__field_out_of_range__names_the_field(changes, message):
    with pytest.raises(ValueError, match=message):
        raw_image(**changes)


@pytest.mark.parametrize(
    "mosaic",
    [
        np.zeros((2, 2, 3)),
        np.zeros((1, 8)),
        np.zeros((4, 4), complex),
        np.zeros((4, 4), bool),
        np.array([["a", "b"], ["c", "d"]]),
        None,
    ],
)
def test_image__not_a_mosaic__says_type_and_shape(mosaic):
    with pytest.raises(ValueError, match="real numeric array of shape"):
        RawImage(mosaic, **FACTS)


def test_image__odd_sides__packs_the_even_part():
    mosaic = np.arange(35, dtype=np.uint16).reshape(5, 7)
    packed = raw_image(mosaic).packed()
    np.testing.assert_array_equal(packed, raw_image(mosaic[:4, :6]).packed())


def test_image__black_level_per_site__goes_to_its_plane(cfa):
    black = (10, 20, 30, 40)
    mosaic = np.tile(np.reshape(black, (2, 2)), (2, 3))
    image = raw_image(mosaic, cfa=cfa, black_level=black)
    np.testing.assert_array_equal(image.normalised(), 0)


def test_image__numbers_of_any_kind__are_parsed_to_floats():
    image = raw_image(
        black_level=np.array([5, 5, 5, 5]), iso="200", white_level=np.uint16(99)
    )
    assert (image.black_level, image.iso, image.white_level) == (5.0, 200.0, 99.0)


def test_image__below_black_and_above_white__is_not_clipped():
    planes = raw_image(np.array([[0, 4000], [64, 1023]])).normalised().ravel()
    assert planes[0] < 0 and planes[1] > 1


def test_image__with_mosaic__keeps_every_other_fact():
    image = raw_image(cfa="BGGR", black_level=(1, 2, 3, 4), ratio=30, iso=250)
    other = image.with_mosaic(np.zeros((8, 8)))
    assert other.mosaic.shape == (8, 8)
    for field in FACTS:
        assert getattr(other, field) == getattr(image, field)


def test_image__repr__is_one_short_line():
    text = repr(raw_image(np.zeros((2000, 3000), np.uint16), ratio=30))
    assert text == "RawImage(2000x3000 RGGB, sensor='S', iso=100, ratio=30)"


def test_image__pickled__is_the_same_image():
    image = raw_image(FRAMES[0], black_level=(1, 2, 3, 4), ratio=7)
    copy = pickle.loads(pickle.dumps(image))
    np.testing.assert_array_equal(copy.mosaic, image.mosaic)
    assert copy.black_level == image.black_level and copy.ratio == image.ratio


# Lazy images


def test_lazy__built_and_shown__reads_nothing():
    image = LazyRawImage("a.dng", explode)
    assert "a.dng" in repr(image) and image.path.name == "a.dng"
    RawPair(image, image)


def test_lazy__overridden_field__reads_nothing():
    image = LazyRawImage("a.dng", explode, sensor="mine", iso=50)
    assert (image.sensor, image.iso) == ("mine", 50)


def test_lazy__header__is_read_once():
    reader = CountingReader()
    image = LazyRawImage("a.dng", reader)
    assert (image.iso, image.sensor, image.cfa) == (1600, "S", "RGGB")
    assert (image.iso, image.white_level, image.ratio) == (1600, 1023, 1)
    assert reader.n_reads == 1


def test_lazy__mosaic__is_read_at_every_access_and_never_kept():
    reader = CountingReader()
    image = LazyRawImage("a.dng", reader)
    assert [image.mosaic[0, 0] for _ in range(3)] == [1, 2, 3]
    held = [v for v in vars(image).values() if isinstance(v, (np.ndarray, RawImage))]
    assert not held
    assert image.iso == 1600 and reader.n_reads == 3  # the header came along


def test_lazy__overrides__win_over_the_file():
    image = LazyRawImage("a.dng", CountingReader(), iso=50, ratio=10)
    assert (image.iso, image.ratio, image.sensor) == (50, 10, "S")
    assert image.mosaic.shape == (2, 2)


def test_lazy__bad_override__is_refused_when_read():
    with pytest.raises(ValueError, match="iso must be a positive"):
        _ = LazyRawImage("a.dng", read_constant, iso=-1).mosaic


def test_lazy__methods_of_an_image__work():
    image = LazyRawImage("a.dng", read_constant)
    np.testing.assert_array_equal(image.normalised(), raw_image().normalised())
    assert type(image.with_mosaic(np.zeros((2, 2)))) is RawImage


def test_lazy__pickled__stays_lazy_and_unread():
    image = pickle.loads(pickle.dumps(LazyRawImage("a.dng", read_constant, iso=77)))
    assert isinstance(image, LazyRawImage)
    assert image.iso == 77 and image.sensor == "S"


@pytest.mark.parametrize("field", ["mosaic", *FACTS, "path"])
def test_lazy__any_field__is_frozen(field):
    with pytest.raises((FrozenInstanceError, AttributeError)):
        setattr(LazyRawImage("a.dng", read_constant), field, 1)


# Pairs


def test_pair__facts__are_those_of_the_noisy_frame():
    pair = RawPair(raw_image(iso=800, ratio=30, sensor="N"), raw_image())
    assert (pair.sensor, pair.iso, pair.ratio, pair.scene) == ("N", 800, 30, None)


@pytest.mark.parametrize("role", ["noisy", "clean"])
def test_pair__member_is_an_array__points_to_make_pairs(role):
    members = dict(noisy=raw_image(), clean=raw_image()) | {role: np.zeros((4, 4))}
    with pytest.raises(TypeError, match=rf"RawPair.{role} .* ndarray.*make_pairs"):
        RawPair(**members)


def test_pair__field__is_frozen():
    pair = RawPair(raw_image(), raw_image())
    with pytest.raises(FrozenInstanceError):
        pair.scene = "other"


def test_make_pairs__scalars__hold_for_all():
    pairs = make_pairs(FRAMES, FRAMES, **PAIR_FACTS, ratio=10, scene="desk")
    assert len(pairs) == 3
    assert {pair.sensor for pair in pairs} == {"S"}
    assert {(pair.ratio, pair.clean.ratio, pair.scene) for pair in pairs} == {
        (10, 1, "desk")
    }


def test_make_pairs__sequences__are_taken_in_order():
    facts = dict(
        sensor=["A", "B", "C"],
        iso=(1, 2, 3),
        cfa=np.array(["RGGB", "BGGR", "GRBG"]),
        black_level=[0, 5, (1, 2, 3, 4)],
        white_level=[100, 200, 300],
        ratio=np.array([1, 2, 4]),
        scene=[7, 8, 9],
    )
    pairs = make_pairs(list(FRAMES), list(FRAMES), **facts)
    assert [pair.noisy.cfa for pair in pairs] == ["RGGB", "BGGR", "GRBG"]
    assert [pair.clean.black_level for pair in pairs] == [0, 5, (1, 2, 3, 4)]
    for name in ("sensor", "iso", "ratio", "scene"):
        assert [getattr(pair, name) for pair in pairs] == list(facts[name])
    for pair, frame in zip(pairs, FRAMES, strict=True):
        np.testing.assert_array_equal(pair.noisy.mosaic, frame)


def test_make_pairs__four_black_levels__are_cfa_positions_even_for_four_pairs():
    frames = np.zeros((4, 2, 2))
    facts = PAIR_FACTS | dict(black_level=[1, 2, 3, 4])
    for pair in make_pairs(frames, frames, **facts):
        assert pair.noisy.black_level == (1, 2, 3, 4)


def test_make_pairs__numbers_differ__are_both_named():
    with pytest.raises(ValueError, match="got 3 noisy and 2 clean"):
        make_pairs(FRAMES, FRAMES[:2], **PAIR_FACTS)


@pytest.mark.parametrize("name", ["sensor", "iso", "cfa", "black_level", "ratio"])
def test_make_pairs__fact_of_wrong_length__is_named(name):
    with pytest.raises(ValueError, match=f"{name} has 2 entries for 3 pairs"):
        make_pairs(FRAMES, FRAMES, **(PAIR_FACTS | {name: [1, 2]}))


# Views for notebooks


class Page(HTMLParser):
    """Tags that are open, pictures, and the text of a page."""

    def __init__(self, html):
        super().__init__()
        self.open, self.sources, self.tags, self.text = [], [], set(), ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        if tag == "img":
            self.sources.append(dict(attrs)["src"])
        else:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data + "\n"

    def pictures(self):
        for source in self.sources:
            kind, data = source.split(",")
            assert kind == "data:image/png;base64"
            yield np.asarray(Image.open(io.BytesIO(base64.b64decode(data))))


HOSTILE = "<script>alert('x')</script>&\"\n"


@pytest.mark.parametrize("shape", [(2, 2), (3, 900), (401, 602), (1200, 2)])
@pytest.mark.parametrize("cfa", ["RGGB", "BGGR", "GRBG", "GBRG"])
def test_view__even_grey__is_a_small_grey_picture(shape, cfa):
    grey = raw_image(np.full(shape, 300, np.uint16), cfa=cfa)
    (picture,) = Page(grey._repr_html_()).pictures()
    assert max(picture.shape[:2]) <= 192 and len(np.unique(picture)) == 1
    assert 0 < picture[0, 0, 0]


def test_view__left_red_right_blue__is_shown_so():
    mosaic = np.full((40, 80), 64, np.uint16)
    mosaic[::2, :40:2] = 900
    mosaic[1::2, 41::2] = 900
    (picture,) = Page(raw_image(mosaic)._repr_html_()).pictures()
    assert picture.shape == (20, 40, 3)
    assert (picture[:, :20, 0] > picture[:, :20, 2]).all()
    assert (picture[:, 20:, 2] > picture[:, 20:, 0]).all()


def test_view__hostile_names_and_values__are_escaped_and_shown():
    mosaic = np.full((4, 6), np.nan)
    mosaic[0, 0] = np.inf
    image = raw_image(mosaic, sensor=HOSTILE, path=Path(HOSTILE.replace("/", "")))
    for shown in (image, RawPair(image, image, scene=HOSTILE)):
        page = Page(shown._repr_html_())
        assert "script" not in page.tags
        assert HOSTILE.strip() in page.text
        assert all((picture == 0).all() for picture in page.pictures())


def test_view__pair__shows_both_frames_alike():
    dark, bright = (raw_image(np.full((4, 6), c, np.uint16)) for c in (200, 300))
    noisy, clean = Page(RawPair(dark, bright)._repr_html_()).pictures()
    assert (noisy < clean).all()


def test_view__lazy_image__reads_its_file_or_says_why_not():
    reader = CountingReader()
    page = Page(LazyRawImage("a.dng", reader)._repr_html_())
    assert reader.n_reads == 1 and "a.dng" in page.text and "1600" in page.text
    missing = LazyRawImage("<gone>.dng", lambda path: Path("/no/such/<b>").read_bytes())
    for shown in (missing, RawPair(missing, missing)):
        page = Page(shown._repr_html_())
        assert "No such file" in page.text and "b" not in page.tags
