"""How much memory this process takes while something runs."""

from __future__ import annotations

import math
import re
from pathlib import Path

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


class MemoryPeak:
    """The peak of this process' resident memory from here on, as Linux counts it."""

    def __init__(self) -> None:
        try:
            _RESET.write_text("5")  # the peak so far is forgotten
        except OSError:
            pass

    def mebibytes(self) -> float:
        """Return it in MiB; NaN where the system does not tell."""
        try:
            found = re.search(r"VmHWM:\s+(\d+) kB", _STATUS.read_text("ascii"))
        except OSError:
            found = None
        return int(found[1]) / 1024 if found else math.nan
