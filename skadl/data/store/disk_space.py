"""The folder of a patch store: how full it is, what may go, and temporary files."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np

from skadl.data.store.frames import MapBudget, StoredFrame
from skadl.data.store.tiles import layout_of, to_tiles
from skadl.raw.image import RawImage
from skadl.raw.mosaic import to_common_geometry
from skadl.support.writing import hold, is_abandoned

FRAME_SUFFIX = ".frame"
_OURS = re.compile(
    r"[0-9a-f]{40}\.frame"  # a frame
    r"|\.[0-9a-f]{40}\.frame\.[0-9a-f]{32}\.part"  # one being written
    r"|\.[0-9a-f]{32}\.scratch"
)
_LEFT_BEHIND = 3600.0  # seconds after which a temporary file is of a killed process
_JUST_MADE = 5.0  # seconds in which its process may not hold it yet, or let it go
_SCAN_EVERY = 1 / 64  # of the limit written: other processes write, too


class SizedFolder:
    """A folder of limited size, in bytes."""

    def __init__(self, path: Path, limit: float) -> None:
        self.path = path
        self.limit = limit
        self._used = np.inf  # bytes, by the last scan and what was written since
        self._since_scan = 0
        self._is_tidy = False
        self._lock = threading.Lock()

    def tidy(self) -> None:
        """Delete what killed processes left here, the first time that it is asked."""
        if self._is_tidy:
            return
        self._is_tidy = True
        newest = time.time() - _JUST_MADE
        with contextlib.suppress(OSError), os.scandir(self.path) as files:
            for file in files:
                if file.name.startswith(".") and _OURS.fullmatch(file.name):
                    with contextlib.suppress(OSError):
                        is_old = file.stat().st_mtime < newest
                        if is_old and is_abandoned(Path(file.path)):
                            os.unlink(file.path)

    def make_room(self, n_bytes: int, in_use: Collection[str]) -> None:
        """Delete what was unused for longest until a file, written next, fits.

        Files of the names in use stay. If it does not fit all the same, nothing is
        deleted and a ValueError says so.
        """
        with self._lock:
            is_full = self._used + n_bytes > self.limit
            if is_full or self._since_scan > _SCAN_EVERY * self.limit:
                self._used = self._free(n_bytes, in_use)
                self._since_scan = 0
            self._used += n_bytes
            self._since_scan += n_bytes

    def _free(self, n_bytes: int, in_use: Collection[str]) -> int:
        """Delete as `make_room` does; return the size of what remains."""
        used, spare = 0, []
        oldest_temporary = time.time() - _LEFT_BEHIND
        try:
            with os.scandir(self.path) as files:
                for file in files:
                    if not _OURS.fullmatch(file.name):
                        continue
                    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                        found = file.stat()
                        used += found.st_size
                        temporary = file.name.startswith(".")
                        if temporary and found.st_mtime > oldest_temporary:
                            continue
                        if file.name not in in_use:
                            age = (not temporary, found.st_mtime)
                            spare.append((age, found.st_size, file.path))
        except OSError as error:
            raise unwritable(self.path, error) from error
        must_stay = used - sum(size for _, size, _ in spare)
        if must_stay + n_bytes > self.limit:
            raise ValueError(
                f"the patch store {str(self.path)!r} is full: {len(in_use)} frames "
                f"in use take {must_stay / 2**30:.3g} GiB of limit_gib="
                f"{self.limit / 2**30:.3g}, and there is no room for one more of "
                f"{n_bytes / 2**20:.3g} MiB. Raise limit_gib, or give fewer source "
                "pairs."
            )
        for _, size, path in sorted(spare):
            if used + n_bytes <= self.limit:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                used -= size
        return used


class TemporaryFrames:
    """Frames that one fit makes for itself, in one file that goes with the last."""

    def __init__(
        self,
        folder: SizedFolder,
        budget: MapBudget,
        in_use: Callable[[], Collection[str]],
    ) -> None:
        self._folder, self._budget, self._in_use = folder, budget, in_use
        self._path = path = folder.path / f".{uuid.uuid4().hex}.scratch"
        try:
            # Held open: another process that makes room takes its name, not its data.
            self._file: BinaryIO = path.open("x+b", buffering=0)
            hold(self._file)
        except OSError as error:
            raise unwritable(folder.path, error) from error
        self._end = 0
        weakref.finalize(self, _discard, self._file, path)

    def keep(self, image: RawImage) -> StoredFrame:
        """Write the packed planes of an image behind those that are there already."""
        planes = to_common_geometry(image.packed(), image.cfa)
        layout = layout_of(planes)
        begin = self._end
        self._folder.make_room(layout.n_bytes, self._in_use())
        unwritten = to_tiles(planes, layout).data.cast("B")
        try:
            self._file.seek(begin)
            while unwritten:
                unwritten = unwritten[self._file.write(unwritten) :]
        except OSError as error:
            raise unwritable(self._folder.path, error) from error
        self._end = begin + layout.n_bytes
        return StoredFrame(layout, begin, self._open, self._budget)

    @contextlib.contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            yield self._file
        except OSError as error:
            raise unreadable(self._path, error) from error


def unwritable(folder: Path, error: OSError) -> OSError:
    """Say, in an error of the same class, that a store cannot be written to."""
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return type(error)(
        f"cannot write to the patch store {str(folder)!r} ({cause.strerror or cause}); "
        "free some space or give PatchStore another folder. What it holds stays "
        "usable: the next fit goes on from there."
    )


def unreadable(path: Path, error: OSError) -> OSError:
    """Say, in an error of the same class, that a file of a store cannot be read."""
    return type(error)(
        f"cannot read {path.name} in the patch store {str(path.parent)!r} "
        f"({error.strerror or error}); check the disk, and delete that file: the next "
        "fit builds it again."
    )


def _discard(file: BinaryIO, path: Path) -> None:
    file.close()
    with contextlib.suppress(OSError):
        path.unlink()
