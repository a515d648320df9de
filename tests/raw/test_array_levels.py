"""Arrays that contradict their levels, masks, and facts beyond reason are refused."""

from __future__ import annotations

import numpy as np
import pytest

from skadl import RawImage, make_pairs

FACTS = dict(sensor="S", iso=800, cfa="RGGB")
COUNTS = dict(black_level=512, white_level=16383)


@pytest.fixture
def frames():
    return np.random.default_rng(0).integers(520, 9000, (2, 16, 16), dtype=np.uint16)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x / 16383,
        lambda x: (x - 512.0) / 15871,
        lambda x: (x / 64).astype(np.uint8),  # an 8-bit preview
        lambda x: x.astype(np.uint32) * 16,
        lambda x: x - 9000.0,
        lambda x: np.where(np.arange(16) == 3, 1e300, x),
        lambda x: np.where(np.arange(16) == 3, -1e12, x),
    ],
    ids=["over white", "normalised", "8 bit", "18 bit", "shifted", "1e300", "-1e12"],
)
@pytest.mark.parametrize("role", ["noisy", "clean"])
def test_make_pairs__other_units_than_the_levels__are_refused(frames, change, role):
    given = {"noisy": frames, "clean": frames, role: change(frames)}
    with pytest.raises(ValueError, match=rf"{role}\[0\] holds values from.*black at"):
        make_pairs(**given, **FACTS, **COUNTS)


def test_make_pairs__normalised_without_black__is_refused(frames):
    with pytest.raises(ValueError, match="white_level=1 for normalised data"):
        make_pairs(
            frames / 16383, frames / 16383, **FACTS, black_level=0, white_level=16383
        )


def test_make_pairs__what_levels_allow__is_taken(frames):
    dark = np.random.default_rng(1).normal(512, 3, (2, 16, 16))
    bright = np.where(np.arange(16) < 4, 40_000.0, frames)  # a quarter, brightened
    normalised = dict(black_level=0, white_level=1)
    make_pairs(dark, dark.round(), **FACTS, **COUNTS)
    make_pairs(frames, bright, **FACTS, **COUNTS)
    make_pairs(frames / 16383, frames / 16383, **FACTS, **normalised)
    make_pairs(np.zeros((2, 4, 4)), np.zeros((2, 4, 4)), **FACTS, **normalised)


def test_image__masked_array__is_refused_unless_nothing_is_masked(frames):
    masked = np.ma.masked_greater(frames[0], 8000)
    with pytest.raises(ValueError, match=r"masked array with \d+ masked pixels"):
        RawImage(masked, "RGGB", 512, 16383, "S", 800)
    nothing = np.ma.masked_greater(frames[0], 20_000)
    image = RawImage(nothing, "RGGB", 512, 16383, "S", 800)
    np.testing.assert_array_equal(image.mosaic, frames[0])


@pytest.mark.parametrize("value", [1e300, 1e-30, 10**400, -(10**400)])
@pytest.mark.parametrize("name", ["iso", "ratio", "white_level", "black_level"])
def test_image__fact_beyond_reason__is_named(frames, name, value):
    facts = dict(iso=800, ratio=1.0, **COUNTS) | {name: value}
    if (name, value) == ("black_level", 1e-30):
        return
    with pytest.raises(ValueError, match=name):
        RawImage(frames[0], "RGGB", sensor="S", **facts)
