"""A folder of packed frames that training draws patches from, instead of memory.

Sources of hundreds of gigabytes are decoded once, into a file for each frame; `fit`
reads patches from these. See `PatchStore`.
"""

from __future__ import annotations

import contextlib
import os
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from skadl.data.store.disk_space import (
    FRAME_SUFFIX,
    SizedFolder,
    TemporaryFrames,
    unreadable,
    unwritable,
)
from skadl.data.store.entries import (
    DamagedEntry,
    Entry,
    make_entry,
    read_entry,
    restore_planes,
    write_entry,
)
from skadl.data.store.frames import MapBudget, StoredFrame
from skadl.data.store.identity import identity
from skadl.raw.image import LazyRawImage, RawImage, check_positive
from skadl.raw.mosaic import unpack_mosaic
from skadl.raw.pair import RawPair

GIB = 2**30


class PatchStore:
    """Keeps the frames of a `SourcePool` on disk, decoded, packed and ready to cut.

    For sources that do not fit into memory, or that take long to decode. The first
    `fit` builds the store, or goes on building where another was stopped; all later
    ones, and the other processes of a search, find it built. A fit with a store
    gives bit for bit what it gives without one.

    Parameters
    ----------
    folder : str or Path
        Made if it is not there; on a fast local disk if there is one. Files of other
        names in it are left alone.
    limit_gib : float, default=100
        Size on disk, in GiB. For a new frame those unused for longest make room. The
        sources of one fit must fit in: 46 MiB for a frame of 24 million pixels, and
        as much again for up to 400 frames of `renoised_share`, whose clean frames
        take twice that.
    memory_gib : float, default=1
        Of the frames that is mapped into the memory of a process, in GiB. Patches of
        the others are read from their files, which takes little longer and no
        memory. So are they where maps would take more than half of the files that the
        process may open.

    Raises
    ------
    ValueError
        If a limit is not a positive number.
    OSError
        If there is no such folder and none can be made.

    Notes
    -----
    A frame is found again by its file (resolved path, size, time of change), by the
    reader and its arguments (levels, light factor, further files) and by the layout
    of the store; a frame that is no file, or whose reader is a closure or a lambda,
    by its counts and fields. A file that changes gets a new frame in the next pool.

    Whole counts from 0 to 65535 take 2 bytes; fractions (averages of frames) are
    float32, other integers int32, as in memory. Nothing is rounded beyond that.

    Frames appear under their name when they are whole, so that a process may be
    killed at any time and others may write at the same time: two that need the same
    frame at once both build it, and one of them wins. Several that build at once may
    exceed the limit by 2 % each. What killed processes left goes at the next use. Each
    frame carries its name and a checksum, which `fit` verifies before it uses the
    frame; what is damaged, or is another frame, is built again.

    Examples
    --------
    >>> import tempfile
    >>> from skadl import SourcePool
    >>> from skadl.datasets import make_domain
    >>> pairs = make_domain("NikonD850", 2, size=32, random_state=0)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     pool = SourcePool(pairs, store=PatchStore(folder, limit_gib=1))
    ...     pool.domains["NikonD850"][0].noisy.packed().shape
    (4, 16, 16)
    """

    def __init__(
        self, folder: str | Path, *, limit_gib: float = 100.0, memory_gib: float = 1.0
    ) -> None:
        self.folder = Path(folder).expanduser()
        self.limit_gib = check_positive("limit_gib", limit_gib)
        self.memory_gib = check_positive("memory_gib", memory_gib)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        self._sized_folder = SizedFolder(self.folder, self.limit_gib * GIB)
        self._budget = MapBudget(self.memory_gib * GIB)
        self._frames: weakref.WeakValueDictionary[str, EntryFrame] = (
            weakref.WeakValueDictionary()
        )

    def __repr__(self) -> str:
        return f"PatchStore({str(self.folder)!r}, limit_gib={self.limit_gib:g})"

    def __getstate__(self) -> dict[str, Any]:
        names = ("folder", "limit_gib", "memory_gib")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)

    def pair(self, pair: RawPair) -> RawPair:
        """Return a pair whose frames come from the store; nothing is read yet.

        Parameters
        ----------
        pair : RawPair

        Returns
        -------
        RawPair
            Of `StoredImage`, of the same scene.
        """
        noisy, clean = (
            StoredImage(getattr(image, "original", image), self)
            for image in (pair.noisy, pair.clean)
        )
        return RawPair(noisy, clean, pair.scene)

    def open(self, image: RawImage) -> EntryFrame:
        """Find the frame of an image, or build it.

        Parameters
        ----------
        image : RawImage

        Returns
        -------
        EntryFrame
            The store keeps it as long as somebody has it.

        Raises
        ------
        ValueError
            If the frames in use take all that `limit_gib` allows.
        OSError
            If the folder cannot be read, or not be written to.
        """
        self._sized_folder.tidy()
        key = identity(image)
        frame = self._frames.get(key)
        if frame is None:
            entry = self._find(key)
            if entry is None:
                entry = self._build(key, image)
            reopen = partial(self._reopen, key, image, entry)
            frame = self._frames[key] = EntryFrame(entry, reopen, self._budget)
        return frame

    def scratch(self) -> TemporaryFrames:
        """Return a place for frames that one fit makes for itself."""
        self._sized_folder.tidy()
        return TemporaryFrames(self._sized_folder, self._budget, self._in_use)

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}{FRAME_SUFFIX}"

    def _in_use(self) -> set[str]:
        return {f"{key}{FRAME_SUFFIX}" for key in list(self._frames)}

    def _find(self, key: str) -> Entry | None:
        path = self._path(key)
        try:
            entry = read_entry(path, key)
        except FileNotFoundError:
            return None
        except DamagedEntry:
            with contextlib.suppress(OSError):
                path.unlink()
            return None
        except OSError as error:
            raise unreadable(path, error) from error
        with contextlib.suppress(OSError):  # a folder may be read-only
            os.utime(path)  # those unused for longest make room
        return entry

    def _build(self, key: str, image: RawImage, known: Entry | None = None) -> Entry:
        entry, parts = make_entry(image, key)
        if known is not None and entry.checksum != known.checksum:
            raise ValueError(
                f"{image!r} has changed since this pool was first used; fit again with "
                "a new SourcePool."
            )
        self._sized_folder.make_room(entry.n_bytes, self._in_use())
        try:
            write_entry(self._path(key), parts)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        return entry

    @contextlib.contextmanager
    def _reopen(self, key: str, image: RawImage, entry: Entry) -> Iterator[BinaryIO]:
        path = self._path(key)
        try:
            file = _open_whole(path, entry)
        except OSError as error:
            raise unreadable(path, error) from error
        if file is None:  # another process made room
            self._build(key, image, entry)
        try:
            with file or path.open("rb", buffering=0) as file:
                yield file
        except OSError as error:
            raise unreadable(path, error) from error


class EntryFrame(StoredFrame):
    """The frame of an image, with what its file says of it."""

    def __init__(
        self,
        entry: Entry,
        open_file: Callable[[], AbstractContextManager[BinaryIO]],
        budget: MapBudget,
    ) -> None:
        super().__init__(entry.layout, entry.offset, open_file, budget)
        self.entry = entry


class StoredImage(LazyRawImage):
    """A raw image that is built into a store when first used, and read from there.

    The last row or column of an odd side, which no packed plane has, is left out.
    """

    def __init__(self, original: RawImage, store: PatchStore) -> None:
        self.__dict__.update(
            original=original, store=store, path=original.path, _frame=None
        )

    def __reduce__(self):
        return StoredImage, (self.original, self.store)

    def __repr__(self) -> str:
        return repr(self.original)

    @property
    def frame(self) -> EntryFrame:
        """The counts in the store; the same as long as the image lives."""
        if self._frame is None:
            self.__dict__["_frame"] = self.store.open(self.original)
        return self._frame

    @property
    def mosaic(self) -> np.ndarray:  # noqa: D102 (documented on RawImage)
        return unpack_mosaic(self.packed(), self.cfa)

    def packed(self) -> np.ndarray:  # noqa: D102 (documented on RawImage)
        entry = self.frame.entry
        return restore_planes(self.frame.planes(), entry.header["cfa"], entry.dtype)

    @property
    def overrides(self) -> dict[str, Any]:
        """Fields that are known without the store."""
        return getattr(self.original, "overrides", {})

    def header(self) -> dict[str, Any]:  # noqa: D102 (documented on LazyRawImage)
        return self.frame.entry.header


def scratch_for(pairs: Iterable[RawPair]) -> TemporaryFrames | None:
    """Return a scratch in the store that the pairs come from, if they come from one."""
    for pair in pairs:
        if isinstance(pair.clean, StoredImage):
            return pair.clean.store.scratch()
    return None


def _open_whole(path: Path, entry: Entry) -> BinaryIO | None:
    """Open the file of an entry; None where it is gone or is another."""
    with contextlib.suppress(FileNotFoundError):
        file = open(path, "rb", buffering=0)
        is_whole = os.fstat(file.fileno()).st_size == entry.n_bytes
        if is_whole and file.read(len(entry.prefix)) == entry.prefix:
            return file
        file.close()
    return None
