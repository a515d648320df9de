"""Names of frames: the same for the same counts, another for whatever changes them."""

from __future__ import annotations

import functools
import os
import pickle
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pytest

from skadl.data.store.identity import identity
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.rawfile import open_raw

FACTS = ("RGGB", 64, 1023, "A", 100)


def read_npy(path, black_level=64, others=()):
    return RawImage(np.load(path), "RGGB", black_level, 1023, "A", 100, path=path)


def read_again(path, black_level=64, others=()):
    return read_npy(path, black_level)


@dataclass(frozen=True, eq=False)
class Burst:
    paths: tuple[Path, ...]

    @cached_property
    def mean(self):
        return sum(np.load(path).astype(float) for path in self.paths)

    def read(self, path):
        return RawImage(self.mean, *FACTS)


@pytest.fixture
def files(tmp_path):
    paths = []
    for index in range(3):
        paths.append(tmp_path / f"{index}.npy")
        np.save(paths[-1], np.full((4, 4), index, np.uint16))
    return tuple(paths)


def changed(path):
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 1))


def test_identity__lazy_image__is_found_without_reading(files):
    def names():
        return identity(LazyRawImage(files[0], partial(np.load, "never read")))

    assert names() == names()


@pytest.mark.parametrize(
    "other",
    [
        lambda a, b: LazyRawImage(b, read_npy),
        lambda a, b: LazyRawImage(a, read_again),
        lambda a, b: LazyRawImage(a, partial(read_npy, black_level=65)),
        lambda a, b: LazyRawImage(a, read_npy, ratio=2.0),
        lambda a, b: LazyRawImage(a, partial(read_npy, others=(b,))),
        lambda a, b: LazyRawImage(a, partial(read_npy, others=np.arange(3))),
        lambda a, b: LazyRawImage(a, Burst((a, b)).read),
    ],
)
def test_identity__another_file_reader_or_argument__is_another(files, other):
    first = identity(LazyRawImage(files[0], read_npy))
    assert identity(other(*files[:2])) != first
    assert identity(other(*files[:2])) == identity(other(*files[:2]))


@pytest.mark.parametrize("index", [0, 1, 2])
def test_identity__any_file_of_a_reader_changed__is_another(files, index):
    reader = partial(read_npy, others=[str(files[1]), {"dark": files[2]}])
    image = LazyRawImage(files[0], reader)
    before = identity(image)
    assert identity(image) == before
    changed(files[index])
    assert identity(image) != before


def test_identity__what_a_reader_keeps_for_itself__does_not_count(files):
    burst = Burst(files)
    image = LazyRawImage(files[0], burst.read)
    before = identity(image)
    image.mosaic  # noqa: B018 (computes the mean)
    assert "mean" in vars(burst) and identity(image) == before


def test_identity__same_file_under_another_name__is_the_same(files, tmp_path):
    (tmp_path / "sub").mkdir()
    winding = tmp_path / "sub" / ".." / files[0].name
    name = identity(LazyRawImage(files[0], read_npy))
    assert identity(LazyRawImage(winding, read_npy)) == name


def test_identity__pickled__is_the_same(files):
    for image in (LazyRawImage(files[0], read_npy, iso=5.0), open_raw(files[0], iso=3)):
        assert identity(pickle.loads(pickle.dumps(image))) == identity(image)


@pytest.mark.parametrize("kind", ["closure", "lambda", "object"])
def test_identity__reader_without_a_name__goes_by_the_counts(files, kind):
    class Reader:
        def __call__(self, path):
            return read_npy(path)

    def read_here(path):
        return read_npy(path)

    readers = {"closure": read_here, "lambda": lambda path: read_npy(path)}
    reader = readers.get(kind, Reader())
    first, second, again = (
        identity(LazyRawImage(path, reader)) for path in (*files[:2], files[0])
    )
    assert first == again != second


def test_identity__missing_file__is_left_to_the_reader(tmp_path):
    assert identity(open_raw(tmp_path / "none.dng", sensor="A", iso=100))


def test_identity__image_in_memory__goes_by_counts_and_facts():
    image = RawImage(np.arange(16, dtype=np.uint16).reshape(4, 4), *FACTS)
    others = [
        image.with_mosaic(image.mosaic + np.uint16(1)),
        image.with_mosaic(image.mosaic.astype(np.int32)),
        image.with_mosaic(image.mosaic.reshape(2, 8)),
        *(
            replace(image, **change)
            for change in (
                {"cfa": "BGGR"},
                {"black_level": 1},
                {"white_level": 99},
                {"sensor": "B"},
                {"iso": 2},
                {"ratio": 3},
            )
        ),
    ]
    names = {identity(other) for other in others}
    assert len(names) == len(others) and identity(image) not in names
    copy = image.with_mosaic(np.asfortranarray(image.mosaic))
    assert identity(copy) == identity(image)


def test_identity__name__is_40_hexadecimal_digits(files):
    name = identity(LazyRawImage(files[0], functools.partial(read_npy)))
    assert len(name) == 40 and int(name, 16) >= 0
