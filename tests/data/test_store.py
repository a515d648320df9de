"""The store gives what the files give, whatever happens to it, within its limits."""

from __future__ import annotations

import gc
import os
import pickle
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_fits import (
    BRIEF,
    assert_same_fit,
    search_for,
    source_pool,
    target_pairs,
    tiny_denoiser,
)

from skadl import ADLDenoiser, PatchStore, RawImage, RawPair, SourcePool
from skadl.data.store.identity import identity
from skadl.data.store.patch_store import StoredImage
from skadl.raw.image import LazyRawImage
from skadl.raw.mosaic import CFA_PATTERNS

NOTHING = 1e-9  # GiB: no frame is mapped
MIB = 1 / 1024  # GiB
FACTS = dict(
    cfa="GRBG", black_level=(60, 64, 66, 70), white_level=1023, sensor="A", iso=100
)


def read_npy(path: Path) -> RawImage:
    return RawImage(np.load(path), **FACTS, path=path)


def never_read(path: Path) -> RawImage:
    raise AssertionError(f"{path} is read")


def save_frames(folder: Path, n_frames: int, side: int = 20) -> list[Path]:
    rng = np.random.default_rng(0)
    paths = [folder / f"{index}.npy" for index in range(n_frames)]
    for path in paths:
        np.save(path, rng.integers(0, 1023, (side, side), np.uint16))
    return paths


def entries(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.frame"))


@pytest.fixture
def frames(tmp_path):
    (tmp_path / "raw").mkdir()
    return save_frames(tmp_path / "raw", 4)


@pytest.fixture
def store(tmp_path):
    return PatchStore(tmp_path / "store")


def stored(path: Path, store: PatchStore) -> StoredImage:
    return StoredImage(LazyRawImage(path, read_npy), store)


# What comes out of a store


@pytest.mark.parametrize("cfa", CFA_PATTERNS)
@pytest.mark.parametrize(
    "dtype", [np.uint8, np.int16, np.uint16, np.float16, np.float32, np.float64, ">u2"]
)
def test_store__any_frame__comes_back_with_its_facts(store, cfa, dtype):
    counts = np.random.default_rng(0).integers(0, 100, (130, 67)).astype(dtype)
    facts = {**FACTS, "cfa": cfa}
    if np.dtype(dtype).kind in "fi":
        counts = -counts
    if np.dtype(dtype).kind == "f":
        counts /= 4
    image = RawImage(counts, **facts, ratio=2.5)
    first = StoredImage(image, store).packed()
    again = StoredImage(image, PatchStore(store.folder))
    for packed in (first, again.packed()):
        assert packed.dtype == image.packed().dtype
        np.testing.assert_array_equal(packed, image.packed())
    np.testing.assert_array_equal(again.mosaic, counts[:, :66])
    for name in (*facts, "ratio", "span"):
        assert getattr(again, name) == getattr(image, name)
    assert again.normalised().tobytes() == image.normalised().tobytes()


def test_store__pair__keeps_its_scene_and_is_not_read_yet(store):
    image = LazyRawImage("a.dng", never_read, iso=7.0)
    pair = store.pair(RawPair(image, image, "street"))
    assert pair.scene == "street" and pair.iso == 7 and repr(pair.clean) == repr(image)
    assert store.pair(pair).noisy.original is image


def test_store__built__needs_no_source_any_more(store, frames, monkeypatch):
    expected = stored(frames[0], store).mosaic
    monkeypatch.setattr(np, "load", never_read)
    again = stored(frames[0], PatchStore(store.folder))
    np.testing.assert_array_equal(again.mosaic, expected)
    assert again.white_level == 1023


def test_store__file_changed__is_built_again_in_a_new_pool(store, frames):
    first = stored(frames[0], store)
    before = first.mosaic
    np.save(frames[0], before + np.uint16(1))
    os.utime(frames[0], ns=(1, 1))
    np.testing.assert_array_equal(first.mosaic, before)
    np.testing.assert_array_equal(stored(frames[0], store).mosaic, before + 1)
    assert len(entries(store.folder)) == 2


@pytest.mark.parametrize("memory_gib", [NOTHING, 1])
@given(st.data())
def test_frame__any_window__is_the_slice(memory_gib, tmp_path_factory, data):
    store = PatchStore(tmp_path_factory.mktemp("store"), memory_gib=memory_gib)
    counts = np.arange(150 * 180, dtype=np.uint16).reshape(150, 180)
    image = RawImage(counts, **{**FACTS, "cfa": "RGGB"})
    frame = StoredImage(image, store).frame
    top, left = (data.draw(st.integers(0, side - 1)) for side in frame.shape[:2])
    bottom = data.draw(st.integers(top + 1, frame.shape[0]))
    right = data.draw(st.integers(left + 1, frame.shape[1]))
    window = frame[top:bottom, left:right]
    expected = image.packed()[:, top:bottom, left:right].transpose(1, 2, 0)
    assert window.dtype == torch.uint16
    np.testing.assert_array_equal(window.numpy(), expected)


# Fits


@pytest.mark.parametrize("memory_gib", [NOTHING, 1])
def test_fit__from_a_store__is_bit_for_bit_that_from_memory(tmp_path, memory_gib):
    pool = source_pool()
    expected = tiny_denoiser().fit(target_pairs(), source_pairs=pool)
    for _ in ("building", "built"):
        store = PatchStore(tmp_path, memory_gib=memory_gib)
        model = tiny_denoiser().fit(
            target_pairs(), source_pairs=SourcePool(pool, store=store)
        )
        assert_same_fit(model, expected)
    gc.collect()
    assert len(list(tmp_path.iterdir())) == 2 * sum(1 for _ in pool.pairs())


def test_search__n_jobs_2_on_an_empty_store__gives_what_memory_gives(tmp_path):
    options = dict(grid={"queue_size": [5]}, cv=2)
    estimator = tiny_denoiser(ADLDenoiser, **BRIEF)
    pool = source_pool()
    expected = search_for(estimator, **options).fit(target_pairs(), source_pairs=pool)
    search = search_for(estimator, n_jobs=2, **options)
    search.fit(
        target_pairs(), source_pairs=SourcePool(pool, store=PatchStore(tmp_path))
    )
    # Workers have fewer threads than this process, so sums are rounded otherwise.
    assert search.best_score_ == pytest.approx(expected.best_score_, abs=1e-5)
    assert_same_fit(search.best_estimator_, expected.best_estimator_)


def test_pool__pickled__goes_on_with_its_store(tmp_path):
    store = PatchStore(tmp_path / "store", limit_gib=3, memory_gib=0.25)
    pool = SourcePool(source_pool(), store=store)
    first = next(pair for _, pair in pool.pairs())
    expected = first.noisy.mosaic
    copy = next(pair for _, pair in pickle.loads(pickle.dumps(pool)).pairs())
    assert (copy.noisy.store.limit_gib, copy.noisy.store.memory_gib) == (3, 0.25)
    np.testing.assert_array_equal(copy.noisy.mosaic, expected)
    assert len(entries(store.folder)) == 1


# Killed


KILLED_WHILE_WRITING = """
    import os, signal, sys
    from pathlib import Path
    from skadl.data.store import patch_store
    from test_store import SourcePool, PatchStore, source_pool, target_pairs
    from test_store import tiny_denoiser

    class Dying(list):
        def __iter__(self):
            prefix, header, tiles = super().__iter__()
            yield bytes(prefix) + bytes(header) + bytes(tiles[: len(tiles) // 2])
            os.kill(os.getpid(), signal.SIGKILL)

    n_written = 0

    def make_entry(image, key):
        global n_written
        n_written += 1
        entry, parts = make_whole(image, key)
        return entry, Dying(parts) if n_written == 6 else parts

    make_whole, patch_store.make_entry = patch_store.make_entry, make_entry
    pool = SourcePool(source_pool(), store=PatchStore(sys.argv[1]))
    tiny_denoiser().fit(target_pairs(), source_pairs=pool)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")
def test_fit__killed_while_building__the_next_one_goes_on(tmp_path):
    script = textwrap.dedent(KILLED_WHILE_WRITING)
    folders = map(str, Path(__file__).parents[:3])  # this one, tests, the checkout
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
    command = [sys.executable, "-c", script, str(tmp_path)]
    killed = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    built = entries(tmp_path)
    stamps = [path.stat().st_ino for path in built]
    assert len(built) == 5 and len(list(tmp_path.iterdir())) > 5  # and what it left
    pool = source_pool()
    model = tiny_denoiser().fit(
        target_pairs(), source_pairs=SourcePool(pool, store=PatchStore(tmp_path))
    )
    assert_same_fit(model, tiny_denoiser().fit(target_pairs(), source_pairs=pool))
    assert [path.stat().st_ino for path in built] == stamps  # not built again


# Damaged


@given(st.data())
def test_store__damaged_frame__is_built_again(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("store")
    image = RawImage(np.arange(64, dtype=np.uint16).reshape(8, 8), **FACTS)
    StoredImage(image, PatchStore(folder)).frame  # noqa: B018 (builds it)
    (path,) = entries(folder)
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    kind = data.draw(st.sampled_from(["cut", "flipped", "longer"]))
    damaged = bytearray(whole)
    damaged[position] ^= 1 << data.draw(st.integers(0, 7))
    changes = {"cut": whole[:position], "flipped": damaged, "longer": whole + b"\0"}
    path.write_bytes(changes[kind])
    again = StoredImage(image, PatchStore(folder))
    np.testing.assert_array_equal(again.packed(), image.packed())
    assert again.iso == image.iso and path.read_bytes() == whole


# The checksum is that of all that follows, wherever the header ends.
@pytest.mark.parametrize(
    "begins",
    [b"7ffffff000", b"0000000f00", b"0000002000", b"-000001000", b"0x00001000"],
)
@pytest.mark.parametrize("count", [0x2020, 7])  # 0x20 is a space, as after the header
def test_store__frame_that_begins_elsewhere__is_built_again(tmp_path, begins, count):
    image = RawImage(
        np.full((64, 64), count, np.uint16), **FACTS | {"white_level": 9e4}
    )
    StoredImage(image, PatchStore(tmp_path)).frame  # noqa: B018 (builds it)
    (path,) = entries(tmp_path)
    whole = path.read_bytes()
    at = whole.index(b"\n") + 1
    path.write_bytes(whole[:at] + begins + whole[at + 10 :])
    again = StoredImage(image, PatchStore(tmp_path))
    np.testing.assert_array_equal(again.packed(), image.packed())
    assert path.read_bytes() == whole


@pytest.mark.parametrize("memory_gib", [NOTHING, 1])
@pytest.mark.parametrize("is_cut", [False, True])
def test_frame__taken_by_another_process__is_built_again(
    frames, tmp_path, memory_gib, is_cut
):
    store = PatchStore(tmp_path / "store", memory_gib=memory_gib)
    frame = stored(frames[0], store).frame
    (path,) = entries(store.folder)
    if is_cut:
        path.write_bytes(path.read_bytes()[:-1])
    else:
        path.unlink()
    expected = stored(frames[0], PatchStore(tmp_path / "other")).frame[2:7, 1:4]
    assert torch.equal(frame[2:7, 1:4], expected)
    assert len(entries(store.folder)) == 1


def test_frame__taken_and_its_source_changed__says_so(frames, tmp_path):
    store = PatchStore(tmp_path / "store", memory_gib=NOTHING)
    frame = stored(frames[0], store).frame
    entries(store.folder)[0].unlink()
    np.save(frames[0], np.ones((20, 20), np.uint16))
    with pytest.raises(ValueError, match="has changed since .*new SourcePool"):
        frame[0:2, 0:2]
    assert entries(store.folder) == []


# A full disk, or one that cannot be read or written


def test_fit__full_disk__says_so_and_goes_on_when_there_is_room(tmp_path):
    resource = pytest.importorskip("resource")
    pool = source_pool()
    large = RawImage(np.ones((600, 600), np.uint16), **FACTS)
    last = SourcePool({**pool.domains, "last": [RawPair(large, large)]})
    _, hard = limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError, match="cannot write to the patch store .*free som"):
            tiny_denoiser().fit(
                target_pairs(),
                source_pairs=SourcePool(last, store=PatchStore(tmp_path)),
            )
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert entries(tmp_path) and not list(tmp_path.glob(".*"))
    model = tiny_denoiser().fit(
        target_pairs(), source_pairs=SourcePool(pool, store=PatchStore(tmp_path))
    )
    assert_same_fit(model, tiny_denoiser().fit(target_pairs(), source_pairs=pool))


def test_store__frame_cannot_be_read__says_which_and_what_to_do(store, frames):
    image = stored(frames[0], store)
    image.frame  # noqa: B018 (builds it)
    (path,) = entries(store.folder)
    path.unlink()
    path.mkdir()
    with pytest.raises(OSError, match=f"cannot read {path.name} in .*check the disk"):
        stored(frames[0], PatchStore(store.folder)).mosaic  # noqa: B018
    with pytest.raises(OSError, match=f"cannot read {path.name} in .*check the disk"):
        image.frame[0:2, 0:2]


def test_store__folder_cannot_be_made__says_so(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="cannot write to the patch store .*another fold"):
        PatchStore(tmp_path / "file" / "store")


def test_store__folder_is_gone__says_so(store, frames):
    image = stored(frames[0], store)
    store.folder.rmdir()
    with pytest.raises(OSError, match="cannot write to the patch store"):
        image.mosaic  # noqa: B018


@pytest.mark.parametrize("name", ["limit_gib", "memory_gib"])
@pytest.mark.parametrize("value", [0, -1, np.nan, "much"])
def test_store__limit_that_is_none__is_refused(tmp_path, name, value):
    with pytest.raises(ValueError, match=f"{name} must be a positive finite number"):
        PatchStore(tmp_path, **{name: value})


# Limits


def test_store__more_than_fits__those_unused_for_longest_make_room(tmp_path):
    (tmp_path / "raw").mkdir()
    paths = save_frames(tmp_path / "raw", 5, side=200)  # 84,096 bytes each, stored
    folder = tmp_path / "store"
    store = PatchStore(folder, limit_gib=0.3 * MIB)
    not_ours = {folder / "notes.txt": b"mine", folder / "other.frame": bytes(10**6)}
    for path, content in not_ours.items():
        path.write_bytes(content)
    names = []
    for age, path in enumerate([*paths[:3], paths[0], *paths[3:]]):
        name = folder / f"{identity(LazyRawImage(path, read_npy))}.frame"
        stored(path, store).frame  # noqa: B018 (builds or finds it, and lets it go)
        os.utime(name, (age, age))
        names.append(name)
    kept = set(entries(folder)) - set(not_ours)
    assert kept == {names[0], names[4], names[5]}  # the first was used again
    assert sum(path.stat().st_size for path in kept) <= 0.3 * MIB * 2**30
    assert all(path.read_bytes() == content for path, content in not_ours.items())


def test_store__frames_in_use_fill_it__says_so_and_keeps_them(tmp_path):
    (tmp_path / "raw").mkdir()
    paths = save_frames(tmp_path / "raw", 4, side=200)
    store = PatchStore(tmp_path / "store", limit_gib=0.3 * MIB)
    images = [stored(path, store) for path in paths]
    for image in images[:3]:
        image.frame  # noqa: B018
    with pytest.raises(ValueError, match="3 frames in use .*Raise limit_gib"):
        images[3].frame  # noqa: B018
    assert len(entries(store.folder)) == 3
    del images, image
    gc.collect()
    stored(paths[3], store).frame  # noqa: B018 (nobody has the others now)


def test_store__what_a_killed_process_left__goes_first(tmp_path):
    (tmp_path / "raw").mkdir()
    paths = save_frames(tmp_path / "raw", 3, side=200)
    store = PatchStore(tmp_path / "store", limit_gib=0.3 * MIB)
    for path in paths[:2]:
        stored(path, store).frame  # noqa: B018
    left = store.folder / f".{'0' * 40}.frame.{'0' * 32}.part"
    left.write_bytes(bytes(90_000))
    os.utime(left, (1, 1))
    fresh = store.folder / f".{'0' * 32}.scratch"
    fresh.write_bytes(bytes(100))
    stored(paths[2], PatchStore(store.folder, limit_gib=0.3 * MIB)).frame  # noqa: B018
    assert not left.exists() and fresh.exists()
    assert len(entries(store.folder)) == 3


def test_store__what_killed_processes_left__goes_at_the_next_use(store, frames):
    pytest.importorskip("fcntl")
    left = [
        store.folder / f".{'0' * 40}.frame.{'0' * 32}.part",
        store.folder / f".{'0' * 32}.scratch",
    ]
    for path in left:
        path.write_bytes(b"left")
        os.utime(path, (1, 1))
    other = PatchStore(store.folder)
    in_use = other.scratch()  # of another store, or of another process
    in_use.keep(RawImage(np.ones((8, 8), np.uint16), **FACTS))
    (held,) = set(store.folder.glob(".*.scratch")) - set(left)
    assert not any(path.exists() for path in left)
    os.utime(held, (1, 1))
    stored(frames[0], store).frame  # noqa: B018
    assert held.exists()


def test_store__swapped_frames__are_built_again(store, frames):
    first, second = (stored(path, store).mosaic for path in frames[:2])
    one, other = entries(store.folder)
    whole = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(whole)
    again = PatchStore(store.folder)
    np.testing.assert_array_equal(stored(frames[0], again).mosaic, first)
    np.testing.assert_array_equal(stored(frames[1], again).mosaic, second)


def test_frame__swapped_while_in_use__is_built_again(tmp_path, frames):
    store = PatchStore(tmp_path / "store", memory_gib=NOTHING)
    frame = stored(frames[0], store).frame
    expected = frame[0:3, 1:4]
    (path,) = entries(store.folder)
    stored(frames[1], store).frame  # noqa: B018
    (other,) = set(entries(store.folder)) - {path}
    path.write_bytes(other.read_bytes())
    assert torch.equal(frame[0:3, 1:4], expected)


def test_scratch__gone_with_its_last_frame__and_read_without_its_name(store):
    image = RawImage(np.arange(64, dtype=np.uint16).reshape(8, 8), **FACTS)
    scratch = store.scratch()
    frames = [scratch.keep(image), scratch.keep(image.with_mosaic(image.mosaic + 0.5))]
    (path,) = store.folder.glob(".*.scratch")
    del scratch
    gc.collect()
    assert path.exists()
    np.testing.assert_array_equal(frames[1].planes() - 0.5, frames[0].planes())
    if os.name == "posix":  # as when another process makes room
        path.unlink()
        np.testing.assert_array_equal(
            frames[0][1:3, 0:2].numpy(), frames[1][1:3, 0:2].numpy() - 0.5
        )
    del frames
    gc.collect()
    assert not path.exists()


def test_memory__mapped__stays_within_its_limit_and_is_given_back(tmp_path, frames):
    one = stored(frames[0], PatchStore(tmp_path / "a")).frame.layout.n_bytes
    store = PatchStore(tmp_path / "b", memory_gib=2.5 * one / 2**30)
    images = [stored(path, store) for path in frames]
    windows = [image.frame[0:3, 1:4] for image in images for _ in range(2)]
    assert store._budget.n_bytes == 2 * one
    for path, window in zip(np.repeat(frames, 2), windows, strict=True):
        other = stored(path, PatchStore(tmp_path / "a", memory_gib=NOTHING))
        assert torch.equal(window, other.frame[0:3, 1:4])
    del images
    gc.collect()
    assert store._budget.n_bytes == 0


@pytest.mark.parametrize("is_scratch", [False, True])
def test_memory__few_descriptors__maps_some_and_reads_the_others(
    tmp_path, store, is_scratch
):
    resource = pytest.importorskip("resource")
    (tmp_path / "raw").mkdir()
    images = [LazyRawImage(p, read_npy) for p in save_frames(tmp_path / "raw", 40)]
    scratch = store.scratch()
    kept = [
        scratch.keep(image) if is_scratch else StoredImage(image, store).frame
        for image in images
    ]
    descriptor = os.dup(0)
    os.close(descriptor)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * (descriptor + 10), hard))
    try:
        windows = [frame[0:3, 1:4] for frame in kept]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    for window, frame in zip(windows, kept, strict=True):
        counts = frame.planes().transpose(1, 2, 0)
        np.testing.assert_array_equal(window.numpy(), counts[0:3, 1:4])
    assert 5 <= sum(frame._map is not None for frame in kept) <= 10
