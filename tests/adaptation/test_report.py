"""The report says what was recorded, in every form that it takes."""

from __future__ import annotations

import math
import pickle
import re
import sys
from collections import Counter
from dataclasses import asdict, astuple
from html.parser import HTMLParser

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from skadl.adaptation.report import (
    BatchDecision,
    DataSelectionReport,
    DecisionRecorder,
    TrainingStage,
)

QUEUE = "above the queue's mean"
DOMAINS = ("A7S2", "D850", "black truth")


def make_decision(iteration, domain="A7S2", accepted=True, **changes):
    fields = {
        "pair_ids": (0,),
        "iso": (800.0,),
        "score": 31.0,
        "threshold": 30.5,
        "reason": QUEUE,
    }
    return BatchDecision(iteration, domain, accepted=accepted, **(fields | changes))


def make_report(decisions, domains=(), **extras):
    recorder = DecisionRecorder(domains)
    for decision in decisions:
        recorder.append(decision)
    return DataSelectionReport(recorder.finish(), **extras)


@pytest.fixture
def empty():
    return make_report([])


@pytest.fixture
def report():
    """400 offers from three domains, 100 accepted, with a NaN score among them."""
    decisions = []
    for i in range(400):
        domain = DOMAINS[i % 3]
        accepted = domain == "A7S2" and i % 4 > 0
        score = math.nan if i == 7 else 30.0 + (1 if accepted else -i % 3)
        reason = "non-finite loss" if i == 7 else QUEUE if accepted else "below"
        pairs = {"pair_ids": (i % 5, i % 7), "iso": (100.0 * (i % 5 + 1), 51234.5)}
        decision = make_decision(
            i, domain, accepted, score=score, threshold=30.0, reason=reason, **pairs
        )
        decisions.append(decision)
    stages = [TrainingStage("gated", 400, 31.25), TrainingStage("tuning", 50)]
    return make_report(decisions, DOMAINS, stages=stages, notes=["V' was diverse."])


@st.composite
def decision_lists(draw):
    numbers = st.floats(-100, 100) | st.just(math.nan)
    batches = st.lists(st.tuples(st.integers(0, 70_000), st.floats(1, 1e6)), max_size=5)
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(DOMAINS),
                batches,
                st.booleans(),
                numbers,
                numbers,
                st.sampled_from((QUEUE, "below", "non-finite loss")),
            ),
            max_size=30,
        )
    )
    start = draw(st.integers(0, 10**6))
    return [
        BatchDecision(
            start + i,
            domain,
            tuple(pair for pair, _ in batch),
            tuple(iso for _, iso in batch),
            *rest,
        )
        for i, (domain, batch, *rest) in enumerate(rows)
    ]


def rows_of(table):
    # repr, because NaN differs from itself
    return [repr(row) for row in table]


# Recording


@given(decision_lists())
def test_table_gives_back_what_was_recorded(decisions):
    report = make_report(decisions)
    assert rows_of(report.decisions) == rows_of(decisions)
    assert rows_of(report.accepted) == rows_of(d for d in decisions if d.accepted)
    assert rows_of(report.rejected) == rows_of(d for d in decisions if not d.accepted)
    assert report.n_accepted + len(report.rejected) == report.n_offered


@given(decision_lists(), st.slices(30))
def test_slice__of_a_table__is_the_slice_of_its_rows(decisions, wanted):
    table = make_report(decisions).decisions
    assert rows_of(table[wanted]) == rows_of(decisions[wanted])


def test_index__negative_and_out_of_range__as_in_a_list(report):
    accepted = report.accepted
    assert accepted[-1].iteration == accepted[len(accepted) - 1].iteration
    for index in (len(accepted), -len(accepted) - 1):
        with pytest.raises(IndexError, match="does not exist"):
            accepted[index]


def test_rows_are_plain_python_values(report):
    row = report.accepted[0]
    assert [type(value) for value in astuple(row)] == [
        int, str, tuple, tuple, bool, float, float, str,
    ]  # fmt: skip
    assert type(row.pair_ids[0]) is int and type(row.iso[0]) is float


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_append__non_finite_score__kept_as_nan_and_out_of_the_means(bad):
    decisions = [make_decision(0, score=bad), make_decision(1, threshold=bad)]
    report = make_report([*decisions, make_decision(2, score=33.0, threshold=30.0)])
    assert math.isnan(report.decisions[0].score)
    assert math.isnan(report.decisions[1].threshold)
    assert report.by_domain()[0].mean_margin == 3.0


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"iso": (100.0, 200.0)}, ValueError),
        ({"pair_ids": (-1,)}, OverflowError),
        ({"pair_ids": (0.5,)}, TypeError),
    ],
)
def test_append__bad_decision__refused_and_nothing_recorded(changes, error):
    recorder = DecisionRecorder()
    recorder.append(make_decision(0))
    with pytest.raises(error):
        recorder.append(make_decision(1, **changes))
    recorder.append(make_decision(2))
    assert [row.iteration for row in recorder.finish()] == [0, 2]


def test_finish__then_append__leaves_the_first_table_alone():
    recorder = DecisionRecorder()
    recorder.append(make_decision(0))
    table = recorder.finish()
    recorder.append(make_decision(1))
    assert (len(table), len(recorder.finish())) == (1, 2)
    assert (recorder.n_offered, recorder.n_accepted) == (2, 2)


def test_columns_are_read_only(report):
    for column in report.decisions.columns().values():
        with pytest.raises(ValueError, match="read-only"):
            column[:1] = 0
    with pytest.raises(AttributeError):
        report.notes = ()


def test_many_decisions__stay_small():
    recorder = DecisionRecorder()
    n_decisions = 20_000
    ids, isos = tuple(range(900, 908)), (100.0, 200.0, 400.0, 800.0) * 2
    for iteration in range(n_decisions):
        recorder.append(make_decision(iteration, pair_ids=ids, iso=isos))
    recorded = sum(sys.getsizeof(column) for column in vars(recorder).values())
    finished = sum(c.nbytes for c in recorder.finish().columns().values())
    assert finished < recorded < 100 * n_decisions  # 30 MB for 300 000


# Low acceptance


def starved_at(accepted, **options):
    recorder = DecisionRecorder()
    acceptance_too_low = []
    for iteration, taken in enumerate(accepted):
        recorder.append(make_decision(iteration, accepted=taken))
        if recorder.acceptance_too_low(**options):
            acceptance_too_low.append(iteration)
    return acceptance_too_low


def test_starved__nothing_accepted__once_when_the_window_is_full():
    assert starved_at([False] * 500, window=100, floor=0.02) == [99]


def test_starved__acceptance_at_the_floor__never():
    assert starved_at(([True] + [False] * 49) * 6, window=100, floor=0.02) == []


def test_starved__recovery_between_two_stretches__once_for_each():
    history = [False] * 300 + [True] * 50 + [False] * 300
    # 448: the first window with only the last of the accepted batches in it
    assert starved_at(history, window=100, floor=0.02) == [99, 448]


@given(st.lists(st.booleans(), max_size=200), st.integers(1, 30))
def test_starved__any_history__warnings_are_apart_and_true(accepted, window):
    acceptance_too_low = starved_at(accepted, window=window, floor=0.2)
    for at in acceptance_too_low:
        assert sum(accepted[at + 1 - window : at + 1]) < 0.2 * window
        assert at + 1 >= window
    assert (np.diff(acceptance_too_low) >= window).all()


@pytest.mark.parametrize("options", [{"window": 0}, {"floor": 0.0}, {"floor": 1.5}])
def test_starved__bad_option__refused(options):
    with pytest.raises(ValueError, match="acceptance_too_low needs window"):
        DecisionRecorder().acceptance_too_low(**options)


# Counting


@given(decision_lists())
def test_by_domain__agrees_with_a_count_of_the_rows(decisions):
    report = make_report(decisions, DOMAINS)
    offered = Counter(d.domain for d in decisions)
    accepted = Counter(d.domain for d in decisions if d.accepted)
    for row in report.by_domain():
        assert row.offered == offered[row.domain]
        assert row.accepted == accepted[row.domain]
        assert row.rate == row.accepted / max(row.offered, 1)
        margins = [
            d.score - d.threshold
            for d in decisions
            if d.domain == row.domain and math.isfinite(d.score - d.threshold)
        ]
        if margins:
            assert row.mean_margin == pytest.approx(np.mean(margins), abs=1e-9)
        else:
            assert row.mean_margin is None
    assert [row.domain for row in report.by_domain()] == list(DOMAINS)
    assert report.by_reason() == Counter(d.reason for d in decisions)


@given(decision_lists(), st.integers(1, 12))
def test_by_epoch__counts_the_rows_between_its_edges(decisions, n_epochs):
    epochs = make_report(decisions, DOMAINS).by_epoch(n_epochs)
    assert epochs.offered.shape == epochs.accepted.shape == (3, n_epochs)
    assert epochs.offered.sum() == len(decisions)
    for row, domain in enumerate(epochs.domains):
        for column in range(n_epochs):
            low, high = epochs.edges[column : column + 2]
            inside = [
                d for d in decisions if d.domain == domain and low <= d.iteration < high
            ]
            assert epochs.offered[row, column] == len(inside)
            assert epochs.accepted[row, column] == sum(d.accepted for d in inside)
    fraction = epochs.fraction
    assert np.array_equal(np.ma.getmaskarray(fraction), epochs.offered == 0)
    assert ((fraction.data >= 0) & (fraction.data <= 1)).all()


def test_by_epoch__iterations_that_divide_evenly__equal_epochs(report):
    edges = report.by_epoch(8).edges
    assert edges.tolist() == list(range(0, 401, 50))


def test_by_epoch__no_epochs__refused(report):
    with pytest.raises(ValueError, match="at least 1, got 0"):
        report.by_epoch(0)


@given(decision_lists())
def test_by_pair__counts_each_pair_where_it_was_drawn(decisions):
    report = make_report(decisions, DOMAINS)
    for domain in DOMAINS:
        counts = report.by_pair(domain)
        for name, wanted in (("offered", (True, False)), ("accepted", (True,))):
            drawn = Counter(
                pair
                for d in decisions
                if d.domain == domain and d.accepted in wanted
                for pair in d.pair_ids
            )
            counted = getattr(counts, name)
            assert dict(drawn) == {i: counted[i] for i in np.flatnonzero(counted)}


def test_by_pair__unknown_domain__names_those_there_are(report):
    with pytest.raises(ValueError, match=r"'A7SII'.*'A7S2', 'D850', 'black truth'"):
        report.by_pair("A7SII")


def test_to_frame__holds_every_row(report):
    frame = report.to_frame()
    assert list(frame.columns) == list(BatchDecision.__dataclass_fields__)
    rebuilt = [BatchDecision(*row) for row in frame.itertuples(index=False)]
    assert rows_of(rebuilt) == rows_of(report.decisions)
    assert frame.groupby("domain", observed=True)["accepted"].sum()["A7S2"] == 100


def test_to_frame__without_pandas__says_how_to_get_it(report, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=re.escape('pip install "skadl[frame]"')):
        report.to_frame()


# Words


def test_repr__one_line_with_best_and_worst(report):
    assert repr(report) == (
        "DataSelectionReport(100 of 400 batches accepted; "
        "best A7S2 75 %, worst black truth 0 %)"
    )


def test_repr__one_domain__needs_no_best(empty):
    assert repr(empty) == "DataSelectionReport(no source batches offered)"
    report = make_report([make_decision(0)], ["A7S2", "never offered"])
    assert repr(report) == (
        "DataSelectionReport(1 of 1 batches accepted, all from A7S2)"
    )


def test_summary__names_domains_reasons_stages_and_notes(report):
    lines = report.summary().splitlines()
    assert lines[0] == "100 of 400 source batches accepted (25 %)"
    for expected in (
        r"A7S2 +134 +100 +75 % +\+\d\.\d\d",
        r"black truth +133 +0 +0 % +[-+]\d\.\d\d",
        r"non-finite loss +1",
        r"gated +400 +31\.25",
        r"tuning +50 +-",
        r"note: V' was diverse\.",
    ):
        assert any(re.fullmatch(expected, line) for line in lines), expected


def test_summary__domain_never_offered__has_no_rate():
    assert re.search(r"D850 +0 +0 +- +-$", make_report([], ["D850"]).summary(), re.M)


class TagBalance(HTMLParser):
    """Collects text and checks that every tag is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.tags = [], "", Counter()

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags[tag] += 1

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_html__hostile_names__are_escaped_and_tags_close():
    name = "<script>alert('x')</script> & \"sons\"\n"
    report = make_report(
        [make_decision(0, name), make_decision(1, "B", False)], notes=["a <b> c"]
    )
    parser = TagBalance()
    parser.feed(report._repr_html_())
    assert not parser.open and not parser.tags["script"] and not parser.tags["b"]
    assert parser.tags["tr"] == 3
    assert name.strip() in parser.text and "a <b> c" in parser.text
    assert "width:100.0%" in report._repr_html_()


def test_empty_report__works_everywhere(empty, tmp_path):
    assert (empty.n_offered, empty.n_accepted, empty.acceptance_rate) == (0, 0, 0.0)
    assert list(empty.accepted) == list(empty.rejected[::2]) == []
    assert empty.by_domain() == [] and empty.by_reason() == {}
    assert empty.by_epoch().offered.shape == (0, 10)
    assert len(empty.to_frame()) == 0
    assert empty.summary() == "No source batches were offered."
    assert "No source batches were offered." in empty._repr_html_()
    empty.save(tmp_path / "empty.npz")
    assert empty.equals(DataSelectionReport.load(tmp_path / "empty.npz"))


# Files


def test_load__what_was_saved__equals_it(report, tmp_path):
    path = tmp_path / "report.npz"
    report.save(path)
    loaded = DataSelectionReport.load(str(path))
    assert loaded.equals(report) and report.equals(loaded)
    assert loaded.stages == report.stages and loaded.notes == report.notes
    assert list(tmp_path.iterdir()) == [path]


@settings(max_examples=20)
@given(decision_lists())
def test_load__any_report__equals_it(tmp_path_factory, decisions):
    report = make_report(decisions, DOMAINS, notes=["µ, naïve, 黒"])
    path = tmp_path_factory.mktemp("reports") / "report.npz"
    report.save(path)
    assert report.equals(DataSelectionReport.load(path))


def test_save__same_report__same_bytes(report, tmp_path):
    report.save(tmp_path / "a")
    report.save(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_pickle__gives_an_equal_report(report):
    assert report.equals(pickle.loads(pickle.dumps(report)))


def test_equals__any_difference__is_seen(report):
    table = report.decisions
    assert not report.equals(DataSelectionReport(table, report.stages))
    assert not report.equals(DataSelectionReport(table, (), report.notes))
    shorter = DataSelectionReport(table[:-1], report.stages, report.notes)
    assert not report.equals(shorter)


def test_save__disk_fails__leaves_the_old_file_and_no_other(
    report, empty, tmp_path, monkeypatch
):
    path = tmp_path / "report.npz"
    empty.save(path)

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="No space"):
        report.save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert DataSelectionReport.load(path).equals(empty)


def test_load__no_file__is_file_not_found(tmp_path):
    with pytest.raises(FileNotFoundError):
        DataSelectionReport.load(tmp_path / "none.npz")


def saved_columns(report):
    return {name: column.copy() for name, column in report.decisions.columns().items()}


@pytest.mark.parametrize(
    "write",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_text("iteration,domain\n1,A\n"),
        lambda path: path.write_bytes(pickle.dumps({"a": 1})),
        lambda path: np.save(path.open("wb"), np.arange(3)),
        lambda path: np.savez(path.open("wb"), a=np.arange(3)),
        lambda path: np.savez(
            path.open("wb"), header=np.frombuffer(b'{"format": "other"}', np.uint8)
        ),
    ],
    ids=["empty", "csv", "pickle", "npy", "other npz", "other format"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_load__foreign_file__one_sentence(write, tmp_path):
    path = tmp_path / "foreign.npz"
    write(path)
    with pytest.raises(ValueError, match="is not a readable skadl report"):
        DataSelectionReport.load(path)


def test_load__damaged_file__refused_or_unharmed(report, tmp_path):
    path = tmp_path / "report.npz"
    report.save(path)
    sound = path.read_bytes()
    random = np.random.default_rng(0)
    n_refused = 0
    for position in random.integers(len(sound), size=200):
        damaged = bytearray(sound)
        damaged[position] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            # Some bits (time stamps, padding) carry nothing.
            assert DataSelectionReport.load(path).equals(report)
        except ValueError as error:
            assert "is not a readable skadl report" in str(error)
            n_refused += 1
    assert n_refused > 100
    for end in range(0, len(sound), len(sound) // 50):
        path.write_bytes(sound[:end])
        with pytest.raises(ValueError, match="is not a readable skadl report"):
            DataSelectionReport.load(path)


def test_load__newer_version__names_both(report, tmp_path, monkeypatch):
    monkeypatch.setattr("skadl.adaptation.report.report._FILE_VERSION", 7)
    report.save(tmp_path / "new.npz")
    monkeypatch.undo()
    with pytest.raises(ValueError, match="version is 7, this skadl reads version 1"):
        DataSelectionReport.load(tmp_path / "new.npz")


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("score", lambda c: c[:-1], "'score' has 399 entries for 400 batches"),
        ("iso_code", lambda c: c[:-1], "'iso_code' has 799 entries"),
        ("iteration", lambda c: c.astype(float), "'iteration' cannot be float64"),
        ("score", lambda c: c.astype("U8"), "'score' cannot be <U8"),
        ("offsets", lambda c: c[::-1], "'offsets' must rise from 0 to 800"),
        ("domain_code", lambda c: c + 3, "'domain_code' points outside"),
        ("reason_code", lambda c: c.astype(int) - 5, "'reason_code' points outside"),
        ("iso_code", lambda c: c + 99, "'iso_code' points outside"),
        ("pair_id", lambda c: -1 - c.astype(int), "'pair_id' points outside"),
        ("iso_levels", lambda c: c * math.inf, "'iso_levels' must be finite"),
        ("score", lambda c: c + math.inf, "score and threshold must be finite"),
        ("is_accepted", lambda c: c[:, None], r"'is_accepted' cannot be bool of shape"),
    ],
)
def test_table__columns_that_contradict__named(report, name, change, message):
    columns = saved_columns(report)
    columns[name] = change(columns[name])
    table = report.decisions
    with pytest.raises(ValueError, match=message):
        type(table)(domains=table.domains, reasons=table.reasons, **columns)


def test_table__names_twice_or_not_text__refused(report):
    columns = saved_columns(report)
    table = report.decisions
    for domains in (("A", "A", "B"), ("A", "B", 3)):
        with pytest.raises(ValueError, match="strings, each once"):
            type(table)(domains=domains, reasons=table.reasons, **columns)


def test_stage__psnr_not_finite__none():
    assert asdict(TrainingStage("a", np.int64(3), np.float32("nan"))) == {
        "name": "a",
        "n_iter": 3,
        "psnr": None,
    }
