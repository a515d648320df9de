"""Files that show one scene, before they are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skadl.data.folders.shots import Shot, read_shot


@dataclass(frozen=True)
class Request:
    """A file to be read, with what is known of it."""

    path: Path
    sensor: str | None = None
    iso: float | None = None  # instead of the file's
    spare_iso: float | None = None  # where the file has none

    def read(self, **levels: Any) -> Shot:
        """Read the file, with the levels and `registers` as in `read_shot`."""
        try:
            return read_shot(self.path, sensor=self.sensor, iso=self.iso, **levels)
        except ValueError:
            if self.spare_iso is None:
                raise
            spare = self.spare_iso
            return read_shot(self.path, sensor=self.sensor, iso=spare, **levels)


@dataclass(frozen=True)
class Group:
    """Files that show one scene, with what a manifest says of its noisy frames."""

    scene: str
    noisy: tuple[Path, ...]
    # None: the exposures are to say which of the noisy frames are clean.
    clean: tuple[Path, ...] | None = None
    iso: float | None = None
    ratio: float | None = None
    sensor: str | None = None

    def requests(
        self, sensor: str | None, iso: float | None
    ) -> tuple[list[Request], list[Request]]:
        """Say what to read, noisy and clean; what the group knows goes first."""
        sensor = self.sensor or sensor
        noisy = [Request(path, sensor, self.iso or iso) for path in self.noisy]
        # The ISO of a manifest is that of the noisy frame; a clean frame without
        # any is taken to be of the same.
        spare = self.iso if iso is None else None
        clean = [Request(path, sensor, iso, spare) for path in self.clean or ()]
        return noisy, clean
