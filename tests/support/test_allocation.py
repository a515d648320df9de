"""Blocks of the size of feature maps come from memory that was used before."""

from __future__ import annotations

import platform
import sys

import pytest
import torch

from skadl.support.allocation import keep_freed_memory


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="for glibc alone")
def test_keep_freed_memory__same_block_again__is_not_asked_of_the_system():
    resource = pytest.importorskip("resource")

    def count_faults(n_blocks: int) -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(n_blocks):
            torch.empty(2**24, dtype=torch.uint8).zero_()
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    keep_freed_memory()
    count_faults(1)
    n_pages = 2**24 // resource.getpagesize()
    assert count_faults(8) < 4 * n_pages  # of 8, were each block new


def test_keep_freed_memory__itself__holds_no_memory():
    keep_freed_memory()
    if sys.platform == "linux":
        resource = pytest.importorskip("resource")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        for _ in range(4):
            keep_freed_memory()
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        assert after - before < 2**15  # KiB
