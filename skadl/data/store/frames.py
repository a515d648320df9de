"""Frames in files, of which windows are read: mapped into memory, or piece by piece."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import threading
import weakref
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from skadl.data.store.tiles import TileLayout, from_tiles, read_window, window_runs

try:
    import resource
except ImportError:  # Windows
    resource = None

_FEW_DESCRIPTORS = 256  # that are taken to be allowed where no limit is told


class MapBudget:
    """How many bytes a process may map into its memory.

    What has been read of a mapped file counts as memory of the process. What is
    mapped once stays so: opening and closing maps in turn costs more than reading.
    """

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.n_bytes = 0
        self._lock = threading.Lock()

    def acquire(self, n_bytes: int) -> bool:
        """Take a part of the budget, if there is enough of it left."""
        with self._lock:
            fits = self.n_bytes + n_bytes <= self.limit
            if fits:
                self.n_bytes += n_bytes
            return fits

    def release(self, n_bytes: int) -> None:
        """Give back what was taken for one frame."""
        with self._lock:
            self.n_bytes -= n_bytes


def may_hold(file: BinaryIO) -> bool:
    """Whether a map of an open file may hold one more descriptor of the process.

    The system gives out the lowest that is free, so a high one says that most are
    taken, by whomever. Half of them are left to the rest of the process.
    """
    try:
        descriptor = os.dup(file.fileno())
    except OSError:
        return False
    os.close(descriptor)
    most = _FEW_DESCRIPTORS
    if resource is not None:
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = math.inf if soft == resource.RLIM_INFINITY else soft
    return descriptor < most / 2


class StoredFrame:
    """Counts of one packed frame in a file, of which windows are read."""

    def __init__(
        self,
        layout: TileLayout,
        offset: int,  # of the tiles in the file, in bytes
        open_file: Callable[[], AbstractContextManager[BinaryIO]],  # unbuffered
        budget: MapBudget,
    ) -> None:
        self.layout = layout
        self.shape = (layout.height, layout.width, layout.n_planes)
        self._offset = offset
        self._open_file = open_file
        self._budget = budget
        self._map: np.ndarray | None = None
        self._may_be_mapped = True

    def __getitem__(self, window: tuple[slice, slice]) -> Tensor:
        """Read a window of rows and columns, of shape (rows, columns, C)."""
        place = _place(window)
        if self._may_be_mapped and self._budget.acquire(self.layout.n_bytes):
            self._may_be_mapped = False
            self._map = self._mapped()
        if self._map is not None:
            counts = read_window(self.layout, self._cut_run, *place)
        else:
            with self._open_file() as file:

                def read_run(first: int, n_tiles: int) -> np.ndarray:
                    return self._read(file, first, n_tiles)

                counts = read_window(self.layout, read_run, *place)
        return torch.from_numpy(counts)

    def prefetch(self, window: tuple[slice, slice]) -> None:
        """Have the system read a window ahead: it reads several at the same time."""
        if self._map is not None or not hasattr(os, "posix_fadvise"):
            return
        with self._open_file() as file:
            for first, n_tiles in window_runs(self.layout, *_place(window)):
                os.posix_fadvise(
                    file.fileno(),
                    self._offset + first * self.layout.tile_bytes,
                    n_tiles * self.layout.tile_bytes,
                    os.POSIX_FADV_WILLNEED,
                )

    def planes(self) -> np.ndarray:
        """Read the frame: planes (C, h, w) in common geometry."""
        with self._open_file() as file:
            return from_tiles(self._read(file, 0, self.layout.n_tiles), self.layout)

    def _cut_run(self, first: int, n_tiles: int) -> np.ndarray:
        return self._map[first : first + n_tiles]

    def _read(self, file: BinaryIO, first: int, n_tiles: int) -> np.ndarray:
        tiles = np.empty((n_tiles, *self.layout.tile), self.layout.dtype)
        file.seek(self._offset + first * self.layout.tile_bytes)
        unread = tiles.data.cast("B")
        while unread:
            n_read = file.readinto(unread)
            if not n_read:
                raise OSError("the file ends too early")
            unread = unread[n_read:]
        return tiles

    def _mapped(self) -> np.ndarray | None:
        """Map the frame, for which there is memory; None if descriptors are short."""
        # A map begins at a page; frames of a temporary file begin anywhere.
        begin = self._offset - self._offset % mmap.ALLOCATIONGRANULARITY
        start = self._offset - begin
        release = weakref.finalize(self, self._budget.release, self.layout.n_bytes)
        mapped = None
        with self._open_file() as file:
            if may_hold(file):
                with contextlib.suppress(OSError):  # the system has a limit, too
                    mapped = mmap.mmap(
                        file.fileno(),
                        start + self.layout.n_bytes,
                        access=mmap.ACCESS_READ,
                        offset=begin,
                    )
        if mapped is None:
            release()
            return None
        tiles = np.frombuffer(mapped, self.layout.dtype, offset=start)
        return tiles.reshape(-1, *self.layout.tile)


def _place(window: tuple[slice, slice]) -> tuple[int, int, int, int]:
    """Top, left, height and width."""
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    return rows.start, columns.start, height, width
