"""The bar passes everything through, and is silent when asked to be."""

from __future__ import annotations

import re

import numpy as np
import pytest

from skadl.support.progress import Progress


def run(progress, stage="adaptation", n=45):
    passed = []
    for item in progress.track(stage, iter(range(n)), n):
        passed.append(item)
        progress.show(lambda: {"accepted": "50 %"})
    return passed


@pytest.mark.parametrize("verbose", [0, 1, 2])
def test_progress__any_verbosity__passes_every_item(verbose, capsys):
    assert run(Progress(verbose)) == list(range(45))
    assert capsys.readouterr().out == ""


def test_progress__verbose_0__prints_nothing(capsys):
    run(Progress(0))
    captured = capsys.readouterr()
    assert captured.out == captured.err == ""


def test_progress__verbose__shows_stage_count_and_figures(capsys):
    run(Progress(1))
    shown = capsys.readouterr().err
    assert "adaptation" in shown and "45/45" in shown and "accepted=" in shown


def test_progress__stages_in_turn__each_has_a_bar(capsys):
    progress = Progress(1)
    for stage in ("pre-training", "adaptation", "fine-tuning"):
        run(progress, stage, 3)
    shown = capsys.readouterr().err
    assert all(name in shown for name in ("pre-training", "adaptation", "fine-tuning"))


def test_progress__stage_of_no_steps__shows_nothing(capsys):
    assert run(Progress(1), n=0) == []
    assert capsys.readouterr().err == ""


def test_progress__figures__are_computed_only_when_shown():
    n_computed = []

    def figures():
        n_computed.append(1)
        return {"accepted": "50 %"}

    for verbose in (0, 1):
        progress = Progress(verbose)
        progress.show(figures)  # no bar yet
        assert not n_computed
        for _ in progress.track("adaptation", range(1000), 1000):
            progress.show(figures)
    assert 1 <= len(n_computed) < 100


def test_progress__several_items_an_iteration__bar_ends_at_the_total(capsys):
    items = [0, 0, 1, 2, 2, 2, 3]
    progress = Progress(1)
    passed = list(progress.track("adaptation", items, 4, lambda item: item))
    assert passed == items
    assert "4/4" in capsys.readouterr().err


def test_progress__items_that_fail__pass_the_error_on():
    def items():
        yield 1
        raise FloatingPointError("diverged")

    with pytest.raises(FloatingPointError, match="diverged"):
        list(Progress(1).track("adaptation", items(), 5))


# Seconds of each of 600 iterations
STEPS = np.where(np.arange(600) % 4, 0.05, 0.12)  # the gate measures in one of four
DURATIONS = {
    "even": STEPS,
    "slow at first": STEPS + 3 * (np.arange(600) == 0),
    "noisy": STEPS * np.exp(0.3 * np.random.RandomState(0).standard_normal(600)),
    "ever slower": STEPS * np.linspace(1, 1.4, 600),
    "an evaluation now and then": STEPS + 0.5 * (np.arange(600) % 30 == 0),
    "long": 4 * STEPS,
}


@pytest.mark.parametrize("first", [0, 200])
@pytest.mark.parametrize("kind", DURATIONS)
def test_progress__time_left__is_right_from_the_tenth_second(
    kind, first, capsys, monkeypatch
):
    now = 0.0
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    durations = DURATIONS[kind]

    def items():
        nonlocal now
        for duration in durations:
            now += duration
            yield None

    total = first + len(durations)
    for _ in Progress(1).track("adaptation", items(), total, first=first):
        pass
    shown = re.findall(
        r"\| (\d+)/\d+ \[(\d+):(\d+)<(\d+):(\d+)", capsys.readouterr().err
    )
    assert len(shown) > 100
    n_checked = 0
    for count, minutes, seconds, *left in shown:
        true = durations[int(count) - first :].sum()
        if 60 * int(minutes) + int(seconds) >= 10 and true >= 5:
            n_checked += 1
            given = 60 * int(left[0]) + int(left[1])
            assert abs(given - true) <= 0.2 * true + 1  # whole seconds are shown
    assert n_checked > 50


def test_progress__files_of_a_folder__time_left_is_right_from_the_first_one_on(
    capsys, monkeypatch
):
    now = 0.0
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    durations = 15 * np.exp(0.05 * np.random.RandomState(0).standard_normal(30))

    def files():
        nonlocal now
        for duration in durations:
            now += duration
            yield None

    for _ in Progress(1).track("denoising", files(), len(durations), unit="file"):
        pass
    shown = re.findall(r"\| (\d+)/30 \[[\d:]+<(\d+):(\d+)", capsys.readouterr().err)
    assert len(shown) >= 28
    for count, minutes, seconds in shown:
        true = durations[int(count) :].sum()
        assert abs(60 * int(minutes) + int(seconds) - true) <= 0.2 * true + 1
