"""Torch's threads around small images."""

from __future__ import annotations

import pytest
import torch

from skadl.support.threads import limited_threads


def test_limited_threads__afterwards__torch_has_as_many_as_before():
    before = torch.get_num_threads()
    with pytest.raises(KeyError), limited_threads(1):
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before
