"""The pool: domains by name, and nothing that scikit-learn could cut."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from skadl.data.pool import SourcePool
from skadl.data.store.patch_store import PatchStore, StoredImage
from skadl.raw.image import LazyRawImage, RawImage
from skadl.raw.pair import RawPair, check_pairs_sequence, make_pairs


@pytest.fixture
def pairs():
    frames = np.zeros((5, 2, 2))
    facts = dict(iso=100, cfa="RGGB", black_level=0, white_level=1)
    return make_pairs(frames, frames, sensor=list("ABABA"), **facts)


def test_pool__sequence__is_grouped_by_sensor_in_order(pairs):
    pool = SourcePool(pairs)
    assert list(pool.domains) == ["A", "B"]
    assert pool.domains["A"] == (pairs[0], pairs[2], pairs[4])
    assert pool.domains["B"] == (pairs[1], pairs[3])


def test_pool__mapping__keeps_its_names(pairs):
    pool = SourcePool({"good": pairs[:2], 7: pairs[2:]})
    assert list(pool.domains) == ["good", "7"]
    assert [name for name, _ in pool.pairs()] == ["good"] * 2 + ["7"] * 3
    assert [pair for _, pair in pool.pairs()] == pairs


def test_pool__of_a_pool__has_the_same_domains(pairs):
    pool = SourcePool({"good": pairs})
    assert SourcePool(pool).domains == pool.domains


def test_pool__store__takes_every_frame_and_reads_none(pairs, tmp_path):
    store = PatchStore(tmp_path)
    for given in (pairs, SourcePool(pairs)):
        pool = SourcePool(given, store=store)
        assert list(pool.domains) == ["A", "B"]
        members = [pair for _, pair in pool.pairs()]
        images = [image for pair in members for image in (pair.noisy, pair.clean)]
        assert all(isinstance(image, StoredImage) for image in images)
        assert {id(image.original) for image in images} == {
            id(image) for pair in pairs for image in (pair.noisy, pair.clean)
        }
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["__len__", "__getitem__", "__iter__", "shape"])
def test_pool__for_scikit_learn__is_not_array_like(pairs, name):
    pool = SourcePool(pairs)
    assert not hasattr(pool, name)
    assert not hasattr(pool, "__array__") and not hasattr(pool, "iloc")


def test_pool__pickled__has_the_same_domains(pairs):
    copy = pickle.loads(pickle.dumps(SourcePool(pairs)))
    assert {name: len(members) for name, members in copy.domains.items()} == {
        "A": 3,
        "B": 2,
    }


def test_pool__repr__counts_pairs(pairs):
    assert repr(SourcePool(pairs[:3])) == "SourcePool(A: 2 pairs, B: 1 pair)"


def test_pool__empty_domain__is_refused(pairs):
    with pytest.raises(ValueError, match="'none' is empty; leave it out"):
        SourcePool({"some": pairs, "none": []})


@pytest.mark.parametrize("given", ["a.dng", b"a", 5, None])
def test_check_pairs_sequence__no_sequence__says_what_was_got(given):
    with pytest.raises(TypeError, match="target_pairs must be a sequence of Raw"):
        check_pairs_sequence(given, "target_pairs")


def test_check_pairs_sequence__wrong_item__says_which_and_what_to_do(pairs):
    with pytest.raises(TypeError, match="item 2 is a ndarray; .*make_pairs"):
        check_pairs_sequence([*pairs[:2], np.zeros((4, 4))], "target_pairs")


def test_check_pairs_sequence__object_array__is_a_tuple(pairs):
    assert check_pairs_sequence(np.array(pairs, object), "pairs") == tuple(pairs)


def test_pool__view__names_domains_and_reads_one_file_of_each(tmp_path):
    n_reads = 0

    def read(path):
        nonlocal n_reads
        n_reads += 1
        if path.name == "damaged":
            raise ValueError("<damaged> file")
        return RawImage(np.full((4, 4), 500), "RGGB", 0, 1023, "S", 100)

    def lazy_pair(name, **known):
        return RawPair(LazyRawImage(name, read, **known), LazyRawImage(name, read))

    domains = {
        "<b>bold</b>": [lazy_pair("1", iso=200), lazy_pair("2", iso=800)],
        "unread": [lazy_pair("3"), lazy_pair("4")],
        "bad": [lazy_pair("damaged")],
    }
    for store in (None, PatchStore(tmp_path)):
        n_reads = 0
        html = SourcePool(domains, store)._repr_html_()
        assert n_reads <= 3
        assert "&lt;b&gt;bold&lt;/b&gt;" in html and "<b>bold" not in html
        assert "200 to 800" in html and "in the files" in html
        assert "&lt;damaged&gt; file" in html
        assert html.count("<img ") == 2
    many = SourcePool({str(n): [lazy_pair("1", iso=200)] for n in range(30)})
    assert many._repr_html_().count("<img ") == 12
