"""The paper's orderings beside those of the committed results."""

from __future__ import annotations

import pandas as pd
import pytest
from click.testing import CliRunner

from benchmarks.tables import orderings
from benchmarks.tables.log import KEY
from benchmarks.tables.markdown import NOT_MEASURED
from benchmarks.tables.methods import EVERY_STRATEGY
from benchmarks.tables.options import COMMITTED
from benchmarks.tables.orderings import (
    describe,
    differ_by_chance,
    leads_of,
    order,
    read_committed,
    tabulate_findings,
    tabulate_sensors,
    write_orderings,
)


def make_images(psnr, *, seeds=(0, 1), pool="harm", size=6, settings="a"):
    """Rows of two images: PSNR by strategy and target, for each seed another level."""
    rows = [
        (target, seed, pool, strategy, size, settings, image, value + image + seed / 10)
        for (strategy, target), value in psnr.items()
        for seed in seeds
        for image in (0, 1)
    ]
    return pd.DataFrame(rows, columns=[*KEY, "image", "psnr"])


def write_runs(folder, images):
    folder.mkdir(parents=True)
    images.to_csv(folder / "images.csv", index=False)
    images.groupby([*KEY], sort=False).psnr.mean().reset_index().to_csv(
        folder / "runs.csv", index=False
    )


def test_order__known_images__ranks_them_and_joins_ties():
    psnr = {("ADL-start", "A"): 30.0, ("FineTuning-start", "A"): 30.5}
    psnr |= {("BM3D", "A"): 28.0, ("TargetOnly", "A"): 27.9}
    assert order(make_images(psnr, seeds=[0])) == (
        "FineTuning-start (+0.50) > ADL-start > BM3D (-2.00) = TargetOnly (-2.10)"
    )
    # With more seeds the spread of the differences tells, and here it is none.
    assert order(make_images(psnr)).endswith("BM3D (-2.00) > TargetOnly (-2.10)")


def test_order__images_and_targets_that_not_all_have__are_not_compared():
    psnr = {("ADL-start", "A"): 30.0, ("ADL-start", "B"): 40.0}
    psnr |= {("BM3D", "A"): 29.0, ("BM3D", "B"): 38.0, ("LED", "A"): 35.0}
    images = make_images(psnr)
    assert order(images) == "LED (+5.00 on A) > ADL-start > BM3D (-1.50)"
    few = images[(images.strategy != "BM3D") | (images.image == 1)]
    assert order(few) == order(images)
    assert order(images[images.strategy == "BM3D"]) == ""


@pytest.mark.parametrize(
    ("differences", "expected"),
    [([0.31], False), ([-0.29], True), ([0.1, 0.4], True), ([0.3, 0.31], False)],
)
def test_differ_by_chance__known_differences(differences, expected):
    assert differ_by_chance(pd.Series(differences)) == expected
    assert differ_by_chance(-pd.Series(differences)) == expected


def test_describe__known_leads__mean_spread_lowest_and_seeds():
    psnr = {("ADL-start", "A"): 31.0, ("ADL-start", "B"): 42.0}
    psnr |= {("FineTuning", "A"): 30.0, ("FineTuning", "B"): 40.0}
    images = make_images(psnr)
    lead = describe(leads_of(images, "ADL-start", "FineTuning"))
    assert lead == "+1.50 ± 0.00 (+1.00), 2 seeds"
    one = images[(images.target == "A") | (images.seed == 0)]
    lead = describe(leads_of(one, "ADL-start", "FineTuning"))
    assert lead == "+1.50 (+1.00), 1 seed"


def test_read_committed__settings_change__takes_the_newest_of_each_target(tmp_path):
    old = make_images({("ADL-start", "A"): 30.0, ("ADL-start", "B"): 30.0})
    new = make_images({("ADL-start", "A"): 33.0}, seeds=[0], settings="b")
    write_runs(tmp_path / "bench", pd.concat([old, new]))
    found = read_committed(tmp_path / "bench")
    for rows in (found.runs, found.images):
        assert set(rows[rows.target == "A"].settings) == {"b"}
        assert set(rows[rows.target == "B"].settings) == {"a"}


def test_findings__results__are_read_where_there_are_some(tmp_path):
    assert set(tabulate_findings(tmp_path).here) == {NOT_MEASURED}
    assert tabulate_sensors(tmp_path).empty
    psnr = {("ADL-start", "A"): 31.0, ("FineTuning-start", "A"): 30.0}
    write_runs(tmp_path / "bench-start", make_images(psnr))
    rough = {("ADL-start", "A"): 31.0, ("ADL-start-pmn", "A"): 31.2}
    write_runs(tmp_path / "bench-rough", make_images(rough, pool="rough"))
    write_runs(
        tmp_path / "bench-long",
        pd.concat(
            make_images({("adl", "A"): value}, pool=pool)
            for pool, value in (("clean", 31.0), ("harm1", 30.9), ("harm2", 30.0))
        ),
    )
    real = {("ADL-start", "imx296"): 40.0, ("BM3D", "imx296"): 41.0}
    write_runs(tmp_path / "bench-real", make_images(real, pool="sensors", size=3))
    here = " | ".join(tabulate_findings(tmp_path).here)
    for text in (
        "ADL-start > FineTuning-start (-1.00). Not measured: Blind2Unblind",
        "ADL-start over FineTuning-start: +1.00 ± 0.00 (+1.00), 2 seeds",
        "ADL-start-pmn over ADL-start: +0.20 ± 0.00 (+0.20), 2 seeds",
        "adl with Harmful1: -0.10 ± 0.00 (-0.10), 2 seeds",
        "adl with Harmful2: -1.00 ± 0.00 (-1.00), 2 seeds",
        "ADL-start over FineTuning-start, 6 pairs: +1.00",
    ):
        assert text in here
    (row,) = tabulate_sensors(tmp_path).to_dict("records")
    assert row == {
        "sensor": "imx296",
        "target pairs": "3",
        "order": "BM3D (+1.00) > ADL-start",
        "seeds": "2",
    }
    outcome = CliRunner().invoke(orderings.main, ["--results", str(tmp_path)])
    assert outcome.exit_code == 0, outcome.output
    page = (tmp_path / orderings.PAGE).read_text("utf-8")
    assert page == write_orderings(tmp_path) and "BM3D (+1.00)" in page


def test_findings__strategies__are_known():
    for finding in orderings.FINDINGS:
        for names in getattr(finding.read, "keywords", {}).get("pairs", ()):
            assert set(names[-2:]) <= set(EVERY_STRATEGY)
    assert set(orderings.PAPERS_METHODS) <= {*EVERY_STRATEGY, "BM3D"}


def test_committed_page__is_of_the_committed_runs():
    page = (COMMITTED / orderings.PAGE).read_text("utf-8")
    assert page == write_orderings(), (
        f"runs were added to {COMMITTED}: run `{orderings.COMMAND}` and commit "
        f"{orderings.PAGE}"
    )
