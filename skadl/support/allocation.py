"""Memory of feature maps: kept for the next step instead of given back."""

from __future__ import annotations

import torch

# The largest block that teaches glibc something: 32 MiB with its own few bytes.
_BLOCK = 2**25 - 2**16


def keep_freed_memory() -> None:
    """Let the C library keep freed memory up to 64 MiB, for the next feature maps.

    glibc gives a block back to the system at once if it is larger than any it has
    seen freed, and takes a page fault for every 4 KiB of the next one: a fifth of a
    training step. A block of the size at which it stops learning is freed here, as in
    any program that ever frees a photograph. Other C libraries are not touched by it.
    """
    torch.empty(_BLOCK, dtype=torch.uint8)
