"""Medians and quantiles are those of NumPy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skadl.support.robust import median, quantile

VALUES = st.floats(-1e6, 1e6, width=32)


@given(
    hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=3), elements=VALUES),
    st.sampled_from([None, 0, -1]),
)
def test_median__any_axis__is_that_of_numpy(values, axis):
    np.testing.assert_allclose(
        median(values, axis), np.median(values.astype(float), axis), rtol=1e-6
    )


@given(
    hnp.arrays(np.uint16, st.integers(1, 50)),
    st.floats(0, 1),
)
def test_quantile__of_counts__is_that_of_numpy(values, share):
    assert quantile(values, share) == pytest.approx(np.quantile(values, share))
