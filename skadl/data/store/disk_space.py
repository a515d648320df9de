"""The folder of a patch store: how full it is, what may go, and passing files."""

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
from skadl.raw.mosaic import to_rggb_geometry

FRAME_SUFFIX = ".frame"
_OURS = re.compile(
    r"[0-9a-f]{40}\.frame"  # a frame
    r"|\.[0-9a-f]{40}\.frame\.[0-9a-f]{32}\.part"  # one being written
    r"|\.[0-9a-f]{32}\.scratch"
)
_LEFT_BEHIND = 3600.0  # seconds after which a passing file is of a killed process
_SCAN_EVERY = 1 / 64  # of the limit written: other processes write, too


class SizedFolder:
    """A folder of limited size.

    Parameters
    ----------
    folder : Path
    limit : float
        In bytes.
    """

    def __init__(self, folder: Path, limit: float) -> None:
        self.folder = folder
        self.limit = limit
        self._used = np.inf  # not known yet
        self._since_scan = 0
        self._lock = threading.Lock()

    def make_room(self, n_bytes: int, in_use: Collection[str]) -> None:
        """Delete what has been unused for longest until a file fits in.

        Parameters
        ----------
        n_bytes : int
            Size of the file; taken to be written next.
        in_use : collection of str
            Names of frames that must stay.

        Raises
        ------
        ValueError
            If it does not fit in all the same; then nothing is deleted.
        OSError
            If the folder cannot be read.
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
        oldest_passing = time.time() - _LEFT_BEHIND
        try:
            with os.scandir(self.folder) as files:
                for file in files:
                    if not _OURS.fullmatch(file.name):
                        continue
                    with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                        found = file.stat()
                        used += found.st_size
                        passing = file.name.startswith(".")
                        if passing and found.st_mtime > oldest_passing:
                            continue
                        if file.name not in in_use:
                            age = (not passing, found.st_mtime)
                            spare.append((age, found.st_size, file.path))
        except OSError as error:
            raise unwritable(self.folder, error) from error
        must_stay = used - sum(size for _, size, _ in spare)
        if must_stay + n_bytes > self.limit:
            raise ValueError(
                f"the patch store {str(self.folder)!r} is full: {len(in_use)} frames "
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
    """Frames that one fit makes for itself, in one file that goes with the last.

    Parameters
    ----------
    shelf : SizedFolder
    budget : MapBudget
    in_use : callable
        Tells which frames of the shelf must stay.
    """

    def __init__(
        self,
        shelf: SizedFolder,
        budget: MapBudget,
        in_use: Callable[[], Collection[str]],
    ) -> None:
        self._shelf, self._budget, self._in_use = shelf, budget, in_use
        self._path = path = shelf.folder / f".{uuid.uuid4().hex}.scratch"
        try:
            # Held open: another process that makes room takes its name, not its data.
            self._file: BinaryIO = path.open("x+b", buffering=0)
        except OSError as error:
            raise unwritable(shelf.folder, error) from error
        self._end = 0
        weakref.finalize(self, _discard, self._file, path)

    def keep(self, image: RawImage) -> StoredFrame:
        """Write an image to the scratch.

        Parameters
        ----------
        image : RawImage

        Returns
        -------
        StoredFrame

        Raises
        ------
        ValueError, OSError
            As `SizedFolder.make_room`, and if the file cannot be written.
        """
        planes = to_rggb_geometry(image.packed(), image.cfa)
        layout = layout_of(planes)
        begin = self._end
        self._shelf.make_room(layout.n_bytes, self._in_use())
        rest = to_tiles(planes, layout).data.cast("B")
        try:
            self._file.seek(begin)
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise unwritable(self._shelf.folder, error) from error
        self._end = begin + layout.n_bytes
        return StoredFrame(layout, begin, self._open, self._budget)

    @contextlib.contextmanager
    def _open(self) -> Iterator[BinaryIO]:
        try:
            yield self._file
        except OSError as error:
            raise unreadable(self._path, error) from error


def unwritable(folder: Path, error: OSError) -> OSError:
    """Say that a store cannot be written to, and what to do.

    Parameters
    ----------
    folder : Path
    error : OSError

    Returns
    -------
    OSError
        Of the same class.
    """
    cause = error.__cause__ if isinstance(error.__cause__, OSError) else error
    return type(error)(
        f"cannot write to the patch store {str(folder)!r} ({cause.strerror or cause}); "
        "free some space or give PatchStore another folder. What it holds stays "
        "usable: the next fit goes on from there."
    )


def unreadable(path: Path, error: OSError) -> OSError:
    """Say that a file of a store cannot be read, and what to do.

    Parameters
    ----------
    path : Path
    error : OSError

    Returns
    -------
    OSError
        Of the same class.
    """
    return type(error)(
        f"cannot read {path.name} in the patch store {str(path.parent)!r} "
        f"({error.strerror or error}); check the disk, and delete that file: the next "
        "fit builds it again."
    )


def _discard(file: BinaryIO, path: Path) -> None:
    file.close()
    with contextlib.suppress(OSError):
        path.unlink()
