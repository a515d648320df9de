"""A noisy frame as its own truth, and copies that count as independent frames."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_fits import BRIEF, target_pairs, tiny_denoiser

from skadl import RawPair, check_pairs
from skadl.datasets import make_domain


@pytest.fixture(scope="module")
def pairs():
    return make_domain("SonyA7S2", 4, size=64, iso=1600, ratio=4, random_state=1)


def in_other_counts(image, scale):
    """The same frame as another program stores it."""
    levels = dict(
        black_level=scale * image.black_level, white_level=scale * image.white_level
    )
    return replace(image, mosaic=image.mosaic.astype(float) * scale, **levels)


def brightened(image):
    """A truth that somebody made of the noisy frame by its light factor."""
    counts = (image.mosaic - image.black_level) * image.ratio + image.black_level
    return replace(image, mosaic=counts, ratio=1.0)


@pytest.mark.parametrize(
    "copy",
    [
        lambda image: image,
        lambda image: image.with_mosaic(image.mosaic.astype(np.float32)),
        lambda image: in_other_counts(image, 4),
        lambda image: in_other_counts(image, 1 / 16383),
        brightened,
    ],
    ids=["itself", "as floats", "times 4", "to white 1", "brightened"],
)
def test_noisy_frame_as_its_own_truth__is_bad(pairs, copy):
    own = replace(pairs[1], clean=copy(pairs[1].noisy))
    result = check_pairs([pairs[0], own, *pairs[2:]])
    assert result.bad == (1,) and result.good == (0, 2, 3)
    assert result.pairs[1].what == "noisy and clean frame are the same"


def test_copy_in_other_counts__counts_once(pairs):
    first = pairs[0]
    copy = RawPair(*(in_other_counts(x, 0.25) for x in (first.noisy, first.clean)))
    result = check_pairs([*pairs, copy])
    assert result.bad == (4,) and "same as pair 0" in result.pairs[4].what


def test_fit__own_truth_or_copies__warns():
    pairs = target_pairs(4)
    own = RawPair(pairs[0].noisy, in_other_counts(pairs[0].noisy, 2))
    with pytest.warns(
        UserWarning, match=r"target_pairs\[0\].*noisy and clean frame are the same"
    ):
        tiny_denoiser(**BRIEF).fit([own, *pairs[1:]])
    with pytest.warns(
        UserWarning, match=r"target_pairs\[4\].*same as target_pairs\[1\]"
    ):
        tiny_denoiser(**BRIEF).fit([*pairs, pairs[1]])
