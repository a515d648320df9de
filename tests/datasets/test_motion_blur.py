"""Motion kernels: what every one of them is, and blur against a sum by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from skadl.datasets import blur_scene, make_motion_kernel


@given(
    half=st.integers(1, 20),
    seed=st.integers(0, 1000),
    turning=st.floats(0, 1),
)
def test_kernel__any__is_a_path_that_fills_its_square(half, seed, turning):
    size = 2 * half + 1
    kernel = make_motion_kernel(size, seed, turning=turning)
    assert kernel.shape == (size, size) and kernel.dtype == np.float32
    assert kernel.min() >= 0 and kernel.sum() == pytest.approx(1, abs=1e-5)
    rows, columns = np.nonzero(kernel > 1e-7)
    extents = [axis.max() - axis.min() + 1 for axis in (rows, columns)]
    assert max(extents) >= size - 1


@pytest.mark.parametrize("seed", range(5))
def test_kernel__without_turning__is_a_straight_line(seed):
    kernel = make_motion_kernel(31, seed, turning=0)
    places = np.stack(np.indices(kernel.shape)).reshape(2, -1)
    across, along = np.linalg.eigvalsh(np.cov(places, aweights=kernel.ravel()))
    assert across < 0.5 < 20 < along  # pixels squared


def test_kernel__seed__decides():
    assert (make_motion_kernel(21, 3) == make_motion_kernel(21, 3)).all()
    assert (make_motion_kernel(21, 3) != make_motion_kernel(21, 4)).any()


@pytest.mark.parametrize("size", [0, 1, 4, 20])
def test_kernel__size_without_a_centre__is_refused(size):
    with pytest.raises(ValueError, match="size"):
        make_motion_kernel(size)


def test_blur__any_kernel__is_the_sum_over_shifted_scenes():
    rng = np.random.default_rng(0)
    scene, kernel = rng.uniform(0, 1, (12, 10, 3)), rng.uniform(0, 1, (3, 3))
    blurred, sharp = blur_scene(scene, kernel)
    expected = sum(
        kernel[i, j] * scene[2 - i : 12 - i, 2 - j : 10 - j]
        for i in range(3)
        for j in range(3)
    )
    np.testing.assert_allclose(blurred, expected, rtol=1e-5)
    np.testing.assert_allclose(sharp, scene[1:-1, 1:-1], rtol=1e-6)


def test_blur__scene_smaller_than_the_kernel__is_refused():
    with pytest.raises(ValueError, match="no larger"):
        blur_scene(np.zeros((4, 9, 3)), np.ones((5, 5)))
