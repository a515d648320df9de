"""One run of the benchmark: its data, its strategies, its figures, its log."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from benchmarks.tables.campaign import Campaign, reduced
from benchmarks.tables.log import KEY, RunLog
from benchmarks.tables.measure import (
    count_batches,
    describe_pairs,
    measure,
)
from benchmarks.tables.methods import (
    ADDED,
    EVERY_STRATEGY,
    METHODS,
    WITHOUT_SOURCES,
    total_steps,
)
from benchmarks.tables.rough import (
    DARK_SHADING,
    N_DARKS,
    N_ISOS,
    fixed_pattern,
    photograph_darks,
    roughen,
)
from benchmarks.tables.run import (
    Run,
    RunData,
    Settings,
    estimator_parameters,
    read_assignments,
)
from benchmarks.tables.simulation import (
    HARMFUL,
    NO_POOL,
    POOLS,
    ROUGH_POOL,
    USEFUL,
    simulate,
    spread_isos,
)
from benchmarks.tables.strategies import (
    ABLATIONS,
    STRATEGIES,
    TAKES_NO_SOURCES,
    Training,
    dark_shading,
    make_estimator,
    pattern_kept,
)
from skadl import ADLDenoiser, DataSelectionReport, SourcePool, load_universal
from skadl.adaptation.report import BatchDecision, DecisionRecorder
from skadl.datasets import camera_info, get_camera, make_domain
from skadl.estimators.start import FROM_RANDOM, SHAPE
from skadl.noise.frame_offsets import without_pattern
from skadl.noise.sensors import SensorTable
from skadl.raw.pair import RawPair
from skadl.support.threads import limited_threads

SETTINGS = replace(reduced(Campaign()).settings, source_pairs=4, test_pairs=3, size=48)


def make_run(strategy="adl", pool="harm", seed=0, target="SonyA7S2", target_pairs=3):
    return Run(target, seed, pool, strategy, target_pairs, SETTINGS.digest)


@pytest.fixture(scope="module")
def data() -> RunData:
    return simulate(make_run(), SETTINGS)


@pytest.fixture(scope="module")
def training(data) -> Training:
    return Training(SETTINGS.parameters, data.target, data.sources, data.test)


# settings


def test_settings__any_difference__is_another_digest():
    changed = estimator_parameters({"n_iter": 7})
    others = [Settings(size=64), Settings(test_pairs=7), Settings(parameters=changed)]
    digests = {Settings().digest, *(settings.digest for settings in others)}
    assert len(digests) == 4
    same = estimator_parameters({"start": "random", **SHAPE, **FROM_RANDOM})
    assert Settings(parameters=same).digest == Settings().digest


@pytest.mark.parametrize("name", ["n_itr", "random_state", "verbose"])
def test_estimator_parameters__not_to_be_set__is_said(name):
    with pytest.raises(ValueError, match=f"'{name}'.*n_iter"):
        estimator_parameters({name: 1})


def test_read_assignments__no_equals_sign__is_said():
    with pytest.raises(ValueError, match="name=value"):
        read_assignments(["n_iter"])


# simulation


def test_simulate__other_pool__shows_the_same_pairs_of_each_camera(data):
    for pool in set(POOLS) - {"planted", ROUGH_POOL}:
        other = simulate(make_run(pool=pool), SETTINGS)
        for name, pairs in other.sources.items():
            for pair, same in zip(pairs, data.sources[name], strict=True):
                np.testing.assert_array_equal(pair.noisy.mosaic, same.noisy.mosaic)


def test_simulate__pool__holds_the_domains_that_it_names():
    for pool, harmful in POOLS.items():
        found = simulate(make_run(pool=pool), SETTINGS)
        assert len(found.sources) == 4 + len(harmful)
        assert "SonyA7S2" not in found.sources
        for name, kinds in found.kinds.items():
            assert len(kinds) == len(found.sources[name]) == SETTINGS.source_pairs
            if pool != "planted":
                assert set(kinds) == {name if name in HARMFUL else USEFUL}


def test_simulate__planted__differs_from_clean_where_it_says_so():
    clean = simulate(make_run(pool="clean"), SETTINGS)
    planted = simulate(make_run(pool="planted"), SETTINGS)
    seen = set()
    for name, kinds in planted.kinds.items():
        for kind, pair, honest in zip(
            kinds, planted.sources[name], clean.sources[name], strict=True
        ):
            same = (
                np.array_equal(pair.noisy.mosaic, honest.noisy.mosaic)
                and np.array_equal(pair.clean.mosaic, honest.clean.mosaic)
                and (pair.iso, pair.ratio) == (honest.iso, honest.ratio)
            )
            assert same == (kind == USEFUL)
            seen.add(kind)
    assert len(seen) > 3


def test_simulate__other_seed__other_pairs_and_the_same_test_images(data):
    other = simulate(make_run(seed=1), SETTINGS)
    for mine, its, same in (
        (data.target, other.target, False),
        (data.sources["NikonD850"], other.sources["NikonD850"], False),
        (data.test, other.test, True),
    ):
        for a, b in zip(mine, its, strict=True):
            assert np.array_equal(a.noisy.mosaic, b.noisy.mosaic) == same
    trained_on = {pair.scene for pairs in data.sources.values() for pair in pairs}
    trained_on |= {pair.scene for pair in data.target}
    assert not trained_on & {pair.scene for pair in data.test}


@pytest.mark.parametrize("camera", ["SonyA7S2", "Pixel4a"])
def test_spread_isos__any_number__spans_the_range(camera):
    low, high = get_camera(camera).iso_range
    for n_pairs in (2, 7, 24):
        isos = spread_isos(camera, n_pairs)
        assert (isos[0], isos[-1], len(isos)) == (low, high, n_pairs)
        assert isos == sorted(isos)


# strategies


@pytest.mark.parametrize("name", METHODS)
def test_method__parameters__are_its_own_and_as_short_as_the_campaign(name, training):
    changed = METHODS[name](training)
    estimator = make_estimator(changed, seed=3)
    assert estimator.get_params().get("random_state", 3) == 3  # BM3D draws nothing
    assert (name in WITHOUT_SOURCES) == (changed.sources == {})
    steps = [
        value
        for key, value in estimator.get_params(deep=True).items()
        if key.endswith("_iter") and value is not None
    ]
    # Two trainings in those that start from a calibration.
    assert (
        (name not in ("BM3D", "start"))
        <= sum(steps)
        <= 2 * total_steps(training) + len(steps)
    )


def test_measure__baseline__is_measured_like_any_other():
    measured = measure(make_run("LED"), SETTINGS)
    again = measure(make_run("LED"), SETTINGS)
    assert measured.summary["psnr"] == again.summary["psnr"]
    assert measured.summary["n_test"] == len(measured.images) == SETTINGS.test_pairs
    assert measured.summary["seconds_per_megapixel"] > 0
    assert measured.summary["psnr"] == pytest.approx(measured.images.psnr.mean())


def test_adl_after_calibration__starts_where_that_ended(training):
    estimator = make_estimator(METHODS["NoiseCalibration-ADL"](training), seed=0)
    model = clone(estimator).fit(training.target, SourcePool(training.sources))
    assert [s.name for s in model.selection_report_.stages][:2] == ["noisy", "start"]
    assert model.n_iter_ > model.denoiser_.n_iter_
    begun_at = load_universal().module_.describe()
    assert model.denoiser_.module_.describe() == begun_at


@pytest.mark.parametrize("name", STRATEGIES)
def test_strategy__any__takes_as_many_steps_and_leaves_its_input(name, training):
    before = dict(training.parameters)
    changed = STRATEGIES[name](training)
    steps = ("n_pretrain_iter", "n_iter", "n_finetune_iter")
    assert sum(changed.parameters[step] for step in steps) == 20
    assert (changed.sources == {}) == (name in TAKES_NO_SOURCES)
    assert training.parameters == before
    for pair, same in zip(changed.test, training.test, strict=True):
        assert pair.noisy.mosaic is same.noisy.mosaic
    make_estimator(changed, 0)._validate_params()


def test_ablations__each__differ_from_their_base(training):
    for name, ablation in ABLATIONS.items():
        base, without = (EVERY_STRATEGY[s](training) for s in (ablation.base, name))
        relabelled = without.target[0].noisy is not base.target[0].noisy
        without_sources = bool(base.sources) and not without.sources
        changed = without.parameters != base.parameters
        assert changed or relabelled or without_sources, name


def test_no_iso__nearly_one_iso_and_every_noise_as_before(training):
    changed = STRATEGIES["no-iso"](training)
    isos = [pair.iso for pair in (*changed.target, *changed.test)]
    assert max(isos) / min(isos) < 1.02
    fitted = _untrained(STRATEGIES["sensor-iso"](training)).sensors_
    relabelled = _untrained(changed).sensors_
    groups = [(training.target, changed.target)]
    groups += [(training.sources[n], changed.sources[n]) for n in training.sources]
    for before, after in groups:
        for pair, same in zip(before, after, strict=True):
            expected = fitted.get(pair.sensor).noise_at(pair.iso)
            got = relabelled.get(same.sensor).noise_at(same.iso)
            np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_no_sensor__one_name_and_the_target_s_noise_as_before(training):
    changed = STRATEGIES["no-sensor"](training)
    every_pair = [*changed.target, *changed.test]
    every_pair += [pair for pairs in changed.sources.values() for pair in pairs]
    assert len({pair.sensor for pair in every_pair}) == 1
    fitted, relabelled = _untrained(training).sensors_, _untrained(changed).sensors_
    for pair, same in zip(training.target, changed.target, strict=True):
        expected = fitted.get(pair.sensor).noise_at(pair.iso)
        got = relabelled.get(same.sensor).noise_at(same.iso)
        np.testing.assert_allclose(got, expected, rtol=1e-6)


# dark shading


@pytest.fixture(scope="module")
def rough_data() -> RunData:
    return simulate(make_run(pool=ROUGH_POOL), SETTINGS)


def test_simulate__rough__adds_one_pattern_to_the_frames_of_each_camera(rough_data):
    clean = simulate(make_run(pool="clean"), SETTINGS)
    assert rough_data.kinds == clean.kinds
    groups = {"SonyA7S2": (clean.test, rough_data.test)}
    groups |= {n: (clean.sources[n], rough_data.sources[n]) for n in clean.sources}
    for name, (before, after) in groups.items():
        pattern = fixed_pattern(name, DARK_SHADING)
        for plain, shaded in zip(before, after, strict=True):
            assert np.array_equal(plain.clean.mosaic, shaded.clean.mosaic)
            height, width = plain.noisy.mosaic.shape
            read = get_camera(name).noise_at(plain.iso)[1] ** 0.5
            added = shaded.noisy.mosaic.astype(float) - plain.noisy.mosaic
            is_between = (plain.noisy.mosaic > 5 * read) & (
                shaded.noisy.mosaic < plain.noisy.white_level
            )
            apart = np.abs(added - read * pattern[:height, :width])[is_between]
            assert apart.max() <= 0.5 + 1e-6


def test_simulate__rough__has_darks_of_the_size_of_each_camera_s_frames(rough_data):
    assert {*rough_data.darks} == {"SonyA7S2", *rough_data.sources}
    pairs = {"SonyA7S2": rough_data.target, **rough_data.sources}
    for name, frames in rough_data.darks.items():
        assert len(frames) == N_DARKS * N_ISOS
        for frame in frames:
            assert frame.sensor == name
            assert frame.mosaic.shape == pairs[name][0].noisy.mosaic.shape
    assert (
        rough_data.test[0].noisy.mosaic.shape == pairs["SonyA7S2"][0].noisy.mosaic.shape
    )
    assert not simulate(make_run(pool="clean"), SETTINGS).darks


def test_dark_shading__a_pattern_and_no_noise__noisy_is_clean_again():
    # Frames without light show the pattern; so do those with light.
    iso, side = 800.0, 48
    scene = make_domain("SonyA7S2", 1, size=side, iso=iso, random_state=0)[0].clean
    black = scene.with_mosaic(
        np.full((side, side), int(np.mean(scene.black_level)), scene.mosaic.dtype)
    )
    darks, noisy = (
        roughen(RawPair(frame, frame), np.random.default_rng(0), DARK_SHADING).noisy
        for frame in (black, scene)
    )
    pair = RawPair(noisy, scene)
    training = Training({}, [pair], {}, [pair], darks={"SonyA7S2": [darks] * 4})
    info = dark_shading(training).meta.get("SonyA7S2")
    image = without_pattern(pair, info).noisy
    offset = np.repeat(info.offset_at(iso), side * side // 4).reshape(4, -1)
    apart = image.packed().reshape(4, -1) - offset - scene.packed().reshape(4, -1)
    is_between = scene.packed().reshape(4, -1) < scene.white_level - 50
    before = noisy.packed().reshape(4, -1) - scene.packed().reshape(4, -1).astype(float)
    assert before.std() > 2
    # Rounding to counts, twice.
    assert np.abs(apart[is_between]).max() <= 1.02


def test_dark_shading__predict__takes_it_off_frames_tested_on(rough_data):
    # A network that has learnt nothing leaves the frame as it is, without its pattern.
    given = Training(
        SETTINGS.parameters,
        rough_data.target,
        {},
        rough_data.test,
        darks=rough_data.darks,
    )
    pattern = fixed_pattern("SonyA7S2", DARK_SHADING)
    told, known = _untrained(dark_shading(given)), _untrained(pattern_kept(given))
    for pair in rough_data.test:
        height, width = pair.noisy.mosaic.shape
        before, after = (m.predict(pair.noisy, dtype=float) for m in (known, told))
        taken = before.mosaic - after.mosaic
        found = np.corrcoef(taken.ravel(), pattern[:height, :width].ravel())[0, 1]
        assert found > 0.8


def test_dark_shading__no_darks__says_which_are_missing(training):
    with pytest.raises(ValueError, match="dark frames of 'SonyA7S2'.*pool 'rough'"):
        dark_shading(training)
    others = {"NikonD850": photograph_darks("NikonD850", 16, seed=0)}
    with pytest.raises(ValueError, match=r"got some of \['NikonD850'\]"):
        dark_shading(replace(training, darks=others))


@pytest.mark.parametrize("name", [n for n, (_, added) in ADDED.items() if added])
def test_addition__any__changes_no_step_and_not_its_input(name, rough_data):
    given = Training(
        SETTINGS.parameters,
        rough_data.target,
        rough_data.sources,
        rough_data.test,
        darks=rough_data.darks,
    )
    base, added = ADDED[name]
    alone, changed = (EVERY_STRATEGY[s](given) for s in (base, name))
    differing = {
        key
        for key in changed.parameters
        if changed.parameters[key] != alone.parameters.get(key, 0.0)
    }
    augments = added in ("shot-augmented", "pmn")
    assert differing == ({"shot_noise_augmentation"} if augments else set())
    assert (changed.meta is None) == (added == "shot-augmented")
    assert changed.sources is rough_data.sources
    make_estimator(changed, 0)._validate_params()


def test_measure__dark_shading__a_run_like_any_other():
    measured = measure(make_run("FineTuning-dark-shading", ROUGH_POOL), SETTINGS)
    plain = measure(make_run("FineTuning", ROUGH_POOL), SETTINGS)
    assert measured.summary["noisy"] == plain.summary["noisy"]
    assert measured.summary["psnr"] != plain.summary["psnr"]


def test_oracle_noise__fit__keeps_the_true_noise(training):
    changed = STRATEGIES["oracle-noise"](training)
    info = _untrained(changed).sensors_.get("SonyA7S2")
    truth = camera_info("SonyA7S2")
    for iso in (100, 3200, 25600):
        assert info.noise_at(iso) == pytest.approx(truth.noise_at(iso))
    camera = get_camera("SonyA7S2")
    highest = max(info.row_noise)
    assert info.row_noise[highest] == pytest.approx(camera.row_noise_at(highest))
    np.testing.assert_allclose(info.offset_at(3200), camera.colour_bias_at(3200), 0.1)


def _untrained(training: Training) -> ADLDenoiser:
    lengths = dict.fromkeys(["n_pretrain_iter", "n_iter", "n_finetune_iter"], 0)
    estimator = make_estimator(training.changed(**lengths, renoised_share=0.0), 0)
    return estimator.fit(training.target, training.sources, meta=training.meta)


# measure


@pytest.fixture(scope="module")
def measured():
    return measure(make_run(pool="planted"), SETTINGS)


def test_measure__summary__is_that_of_the_images(measured):
    images, summary = measured.images, measured.summary
    gains = images.psnr - images.noisy
    assert len(images) == SETTINGS.test_pairs
    assert summary["psnr"] == pytest.approx(images.psnr.mean())
    assert summary["gain"] == pytest.approx(gains.mean())
    assert summary["worst_gain"] == gains.min()
    assert summary["n_worse"] == (gains < -0.05).sum()
    assert summary["n_steps"] == 20
    assert summary["seconds"] > 0 and summary["cpu_seconds"] > 0


def test_measure__same_run__same_figures_as_the_estimator_s_own(measured):
    data = simulate(measured.run, SETTINGS)
    estimator = ADLDenoiser(**SETTINGS.parameters, random_state=measured.run.seed)
    with limited_threads(1):  # as a run: more threads add in another order
        estimator.fit(data.target, data.sources)
    assert estimator.score(data.test) == pytest.approx(measured.summary["psnr"])
    assert estimator.selection_report_.equals(measured.report)


def test_measure__selection__has_every_pair_once(measured):
    selection = measured.selection
    assert len(selection) == 4 * SETTINGS.source_pairs
    assert not selection.duplicated(["domain", "pair"]).any()
    assert (selection.accepted <= selection.offered).all()
    assert (selection.oddness >= 0).all()
    wrong = selection[selection.kind == "black truth"]
    assert len(wrong) and (wrong.oddness > selection.oddness.median()).all()


def test_measure__nothing_harmful_or_no_gate__records_no_pairs():
    for strategy, pool in (("adl", "clean"), ("no-gate", "harm")):
        assert measure(make_run(strategy, pool), SETTINGS).selection.empty


def test_counts__known_report__by_kind_and_pair(data):
    recorder = DecisionRecorder([*data.sources, "re-noised"])
    decisions = [
        ("NikonD850", (0, 1), True, 2.0),
        ("NikonD850", (1, 1), False, -1.0),
        ("harmful1", (0, 2), True, 1.0),
        ("harmful2", (3,), False, -3.0),
        ("re-noised", (0, 1), True, 0.5),
    ]
    for iteration, (domain, ids, accepted, score) in enumerate(decisions):
        isos = (100.0,) * len(ids)
        recorder.append(
            BatchDecision(iteration, domain, ids, isos, accepted, score, 0.0, "")
        )
    report = DataSelectionReport(recorder.finish())
    planted = {**data.kinds, "NikonD850": [USEFUL, "black truth", USEFUL, USEFUL]}
    counts = count_batches(report, replace(data, kinds=planted))
    assert {name: n for name, n in counts.items() if n} == {
        "offered_useful": 2,
        "offered_renoised": 1,
        "offered_harmful1": 1,
        "offered_harmful2": 1,
        "offered_planted": 3,
        "accepted_useful": 1,
        "accepted_renoised": 1,
        "accepted_harmful1": 1,
        "accepted_planted": 1,
    }
    pairs = describe_pairs(report, data).set_index(["domain", "pair"])
    second = pairs.loc[("NikonD850", 1)]
    assert (second.offered, second.accepted, second.margin) == (3, 1, 0.0)
    assert pairs.loc[("NikonD850", 3)].offered == 0
    assert np.isnan(pairs.loc[("NikonD850", 3)].margin)


# log


def test_log__what_was_added__is_read_back(tmp_path, measured):
    log = RunLog(tmp_path / "folder")
    assert log.finished() == set()
    log.add(measured)
    assert log.finished() == {measured.run}
    results = log.read([measured.run])
    pd.testing.assert_frame_equal(
        results.images.reset_index(drop=True),
        measured.images,
        check_dtype=False,
        rtol=1e-4,
    )
    assert len(results.selection) == len(measured.selection)
    assert log.read([make_run(seed=9)]).runs.empty


@pytest.mark.parametrize("digest", ["12345678", "123e4567", "00000001"])
def test_log__digest_that_looks_like_a_number__stays_a_text(tmp_path, measured, digest):
    run = replace(measured.run, settings=digest, pool=NO_POOL)
    log = RunLog(tmp_path)
    log.add(_renamed(measured, run))
    assert log.finished() == {run}


def test_log__torn_rows__are_ignored_and_written_again(tmp_path, measured):
    log = RunLog(tmp_path)
    log.add(measured)
    other = replace(measured.run, seed=1)
    log.add(_renamed(measured, other))
    for name in ("runs.csv", "images.csv"):
        path = tmp_path / name
        path.write_bytes(path.read_bytes()[:-7])
    assert log.finished() == {measured.run}
    assert set(log.images().seed) == {0}
    log.add(_renamed(measured, other))
    assert log.finished() == {measured.run, other}
    assert len(log.images()) == 2 * SETTINGS.test_pairs
    assert len(log.selection()) == 2 * len(measured.selection)


def test_log__file_with_other_columns__is_left_alone(tmp_path, measured):
    log = RunLog(tmp_path)
    (tmp_path / "runs.csv").write_text("target,seed\nA,0\n")
    with pytest.raises(ValueError, match="another folder"):
        log.add(measured)
    assert [path.name for path in tmp_path.iterdir()] == ["runs.csv"]
    assert (tmp_path / "runs.csv").read_text() == "target,seed\nA,0\n"


def _renamed(measured, run):
    key = dict(zip(KEY, astuple(run), strict=True))
    return replace(
        measured,
        run=run,
        summary=measured.summary | key,
        images=measured.images.assign(**key),
        selection=measured.selection.assign(**key),
    )


def test_meta__oracle__names_only_the_target(training):
    meta = STRATEGIES["oracle-noise"](training).meta
    assert isinstance(meta, SensorTable) and meta.names == ("SonyA7S2",)
