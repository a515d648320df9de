"""Work shared by processes: the results of one, whatever becomes of the others."""

import os
from functools import partial

import pytest

from skadl.support.side_by_side import side_by_side

LONG = 1e6  # seconds: worth processes


def square(item, dies_outside=None):
    if dies_outside not in (None, os.getpid()):
        os._exit(1)
    if item < 0:
        raise ValueError(f"{item} is below 0")
    return item**2, os.getpid()


def results(work, items, seconds, **options):
    return [result for result, _ in side_by_side(work, items, seconds, **options)]


def test_side_by_side__short_work__stays_in_this_process():
    found = list(side_by_side(square, iter([3, 1]), seconds=0.1))
    assert found == [(9, os.getpid()), (1, os.getpid())]


def test_side_by_side__processes__give_what_one_does_in_order():
    items = range(20)
    alone = results(square, items, LONG, most_processes=1)
    assert results(square, iter(items), LONG, most_processes=2) == alone


def test_side_by_side__error_in_a_process__is_raised_here():
    with pytest.raises(ValueError, match="-1 is below 0"):
        results(square, [2, -1, 3], LONG, most_processes=2)


def test_side_by_side__process_is_killed__rest_is_done_here():
    work = partial(square, dies_outside=os.getpid())
    assert results(work, iter(range(5)), LONG) == [0, 1, 4, 9, 16]
