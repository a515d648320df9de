"""The universal start: simulated noise is what it says, training can stop anywhere."""

from __future__ import annotations

import dataclasses
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from click.testing import CliRunner
from night import BLACK, GAIN, field, light_of

import skadl
from benchmarks.start import adapt, commands, networks, rough
from benchmarks.start.batches import make_batch
from benchmarks.start.blind import simulated, summarise
from benchmarks.start.classic import CLASSIC, classic_denoiser
from benchmarks.start.commands import main
from benchmarks.start.evaluate import Case, score, sky_cases, tabulate
from benchmarks.start.export import (
    export_checkpoint,
    export_model,
)
from benchmarks.start.harmful_shares import KINDS, spoil_share
from benchmarks.start.networks import NETWORKS, build, noise_of
from benchmarks.start.noise import SimulatedNoise, add_noise, draw_noise
from benchmarks.start.scenes import SceneSource
from benchmarks.start.training import (
    Recipe,
    Training,
    load_network,
    read_checkpoint,
)
from benchmarks.tables.rough import N_DARKS, N_ISOS, photograph_darks, roughen
from benchmarks.tables.run import RunData
from skadl.datasets import camera_info, make_domain
from skadl.network.choice import name_of
from skadl.network.conditioning import Conditioning
from skadl.noise.noise_level import NoiseLevel

SIDE = 16
CAMERAS = ("SonyA7S2", "NikonD850")
TINY = Recipe(network="local", base_channels=4, levels=2, batch=2, side=SIDE)
PLAIN = SimulatedNoise(
    black=512.0,
    white=16383.0,
    ratio=8.0,
    gains=(0.5,) * 4,
    read=3.0,
    tail=None,
    row=0.0,
    column=0.0,
    offsets=(0.0,) * 4,
    response=0.0,
    clips_black=False,
)


@pytest.fixture
def scenes(monkeypatch):
    """A source whose bank is two plain scenes, so that it costs nothing."""
    monkeypatch.setattr("benchmarks.start.scenes.BANK_SIZE", 2)
    monkeypatch.setattr("benchmarks.start.scenes.BANK_SIDE", 48)
    return SceneSource([], seed=0)


@pytest.mark.parametrize("signal", [0.0, 0.002, 0.5])
@pytest.mark.parametrize(
    "noise",
    [
        PLAIN,
        dataclasses.replace(PLAIN, tail=-0.1),
        dataclasses.replace(PLAIN, row=2.0, column=1.0),
    ],
)
def test_noise_has_the_variance_that_is_told_and_no_mean(signal, noise):
    rng = np.random.default_rng(0)
    clean = np.full((1, 4, 256, 256), signal, np.float32)
    noisy = add_noise(clean, [noise], rng)
    shot, read = noise.level
    deviation = (noisy - clean).astype(float)
    assert np.var(deviation) == pytest.approx(shot * signal + read, rel=0.05)
    error = ((noise.row**2 + noise.column**2) / 256 + 30) ** 0.5 / 512
    assert abs(deviation.mean()) < 5 * error * noise.ratio / noise.span + 1e-4


def test_noise_is_clipped_and_quantised():
    rng = np.random.default_rng(0)
    noise = dataclasses.replace(PLAIN, ratio=1.0, read=40.0, clips_black=True)
    clean = np.stack([np.zeros((4, 64, 64)), np.ones((4, 64, 64))]).astype(np.float32)
    noisy = add_noise(clean, [noise, noise], rng)
    assert noisy[0].min() == 0 and noisy[1].max() == 1
    counts = noisy.astype(float) * noise.span
    assert np.abs(counts - np.rint(counts)).max() < 0.01
    unclipped = dataclasses.replace(noise, clips_black=False)
    assert add_noise(clean[:1], [unclipped], rng).min() < 0


def test_row_noise_is_shared_by_the_two_planes_of_a_row():
    rng = np.random.default_rng(0)
    noise = dataclasses.replace(PLAIN, read=0.1, row=100.0)
    red, green_of_red, green_of_blue, blue = add_noise(
        np.zeros((1, 4, 64, 64), np.float32), [noise], rng
    )[0].mean(axis=2)
    assert np.corrcoef(red, green_of_red)[0, 1] > 0.99
    assert np.corrcoef(green_of_blue, blue)[0, 1] > 0.99
    assert abs(np.corrcoef(red, blue)[0, 1]) < 0.5


def test_drawn_noise_covers_the_plane():
    rng = np.random.default_rng(0)
    levels = np.log10([draw_noise(rng).level for _ in range(2000)])
    assert levels[:, 0].min() < -4.5 and levels[:, 0].max() > -0.3
    assert levels[:, 1].min() < -7.5 and levels[:, 1].max() > -0.5


def test_batches_depend_on_seed_and_step_alone(scenes):
    first, again, next_step, other_seed = (
        make_batch(scenes, seed, step, 2, SIDE).noisy
        for seed, step in [(0, 5), (0, 5), (0, 6), (1, 5)]
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, next_step)
    assert not torch.equal(first, other_seed)


def test_metadata_tells_the_noise_to_the_transform():
    vector = Conditioning("noise", ()).vector("", 100, 8, NoiseLevel(2e-3, 5e-6))
    shot, read = noise_of(torch.from_numpy(vector)[None])
    assert shot.item() == pytest.approx(2e-3, rel=1e-4)
    assert read.item() == pytest.approx(5e-6, rel=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_untrained_network_changes_no_plausible_pixel(name, scenes):
    vector = Conditioning("noise", ()).vector("", 100, 1, NoiseLevel(1e-3, 1e-4))
    x = torch.rand(1, 4, SIDE, SIDE)
    y = build(name, 4, 2, 8, seed=0)(x, torch.from_numpy(vector)[None])
    assert torch.allclose(x, y, atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_tile_with_its_halo_gives_what_the_whole_image_gives(name):
    network = build(name, 4, 3, 8, seed=0)
    with torch.no_grad():
        network.head.weight.normal_()
    vector = Conditioning("noise", ()).vector("", 100, 1, NoiseLevel(1e-3, 1e-4))
    metadata = torch.from_numpy(vector)[None]
    folded = network.fold(vector)
    halo, cut = folded.halo, folded.multiple
    x = torch.rand(1, 4, 2 * halo + 3 * cut, 2 * halo + 3 * cut)
    with torch.no_grad():
        whole = network(x, metadata)[..., halo:-halo, halo:-halo]
        part = network(x[..., cut:-cut, cut:-cut], metadata)
        part = part[..., halo:-halo, halo:-halo]
    assert torch.allclose(whole[..., cut:-cut, cut:-cut], part, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", ["modulation", "local"])
def test_a_stopped_training_goes_on_with_the_same_result(name, scenes, tmp_path):
    recipe = dataclasses.replace(TINY, network=name)
    whole = Training(recipe, scenes)
    for _ in range(5):
        whole.advance()
    begun = Training(recipe, scenes)
    for _ in range(2):
        begun.advance()
    begun.save(tmp_path / "checkpoint.pt")
    resumed = Training(recipe, scenes)
    resumed.load(tmp_path / "checkpoint.pt")
    for _ in range(3):
        resumed.advance()
    for a, b in zip(whole.parameters, resumed.parameters, strict=True):
        assert torch.equal(a, b)
    for a, b in zip(whole.average, resumed.average, strict=True):
        assert torch.equal(a, b)


def test_a_checkpoint_passed_on_without_averages_gives_the_same_weights(
    scenes, tmp_path
):
    training = Training(TINY, scenes)
    training.advance()
    training.save(tmp_path / "checkpoint.pt")
    export_checkpoint(tmp_path / "checkpoint.pt", tmp_path / "smaller.pt")
    other = Training(TINY, scenes)
    other.load(tmp_path / "smaller.pt")
    assert training.advance() == other.advance()
    for a, b in zip(training.parameters, other.parameters, strict=True):
        assert torch.equal(a, b)


def test_an_exported_network_has_the_weights(scenes, tmp_path):
    training = Training(TINY, scenes)
    training.advance()
    training.save(tmp_path / "checkpoint.pt")
    export_model(tmp_path / "checkpoint.pt", tmp_path / "model.safetensors")
    model = skadl.load(tmp_path / "model.safetensors")
    read = model.module_.state_dict()
    assert model.n_iter_ == training.step
    for name, tensor in load_network(tmp_path / "checkpoint.pt").state_dict().items():
        assert torch.equal(read[name], tensor)


def test_the_published_weights_are_those_of_the_networks_of_the_package():
    folder = Path(networks.__file__).parents[1] / "results" / "start"
    network = skadl.load_universal(device="cpu").module_
    assert name_of(network) == "pyramid_unet"
    assert type(load_network(folder / "checkpoint.pt")) is type(network)


def test_a_cool_down_ends_at_rate_zero_and_leaves_the_checkpoint(scenes, tmp_path):
    training = Training(TINY, scenes)
    training.advance()
    training.save(tmp_path / "checkpoint.pt")
    training.cooling = (training.step, 2)
    rates = []
    for _ in range(2):
        rates.append(training.rate())
        training.advance()
    assert rates[0] > rates[1] and training.rate() == 0
    training.save(tmp_path / "annealed.pt")
    assert read_checkpoint(tmp_path / "checkpoint.pt")["step"] == 1
    cooled = load_network(tmp_path / "annealed.pt")
    for a, b in zip(training.parameters, cooled.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_checkpoint_that_is_passed_on_can_be_gone_on_with():
    path = Path("benchmarks/results/start/checkpoint.pt")
    contents = read_checkpoint(path)
    recipe = Recipe(**contents["recipe"])
    training = Training(recipe, SceneSource([], recipe.seed, recipe.cfa))
    with pytest.raises(ValueError, match="other photographs"):  # and nothing before
        training.load(path)


def test_another_recipe_is_refused(scenes, tmp_path):
    Training(TINY, scenes).save(tmp_path / "checkpoint.pt")
    other = Training(dataclasses.replace(TINY, rate=1e-3), scenes)
    with pytest.raises(ValueError, match="give the same options"):
        other.load(tmp_path / "checkpoint.pt")


def test_the_stabilised_network_takes_any_negative_pixel():
    network = build("stabilised", 4, 2, 8, seed=0)
    metadata = torch.from_numpy(
        np.stack(
            [
                Conditioning("noise", ()).vector("", 100, 1, NoiseLevel(shot, 1e-7))
                for shot in np.geomspace(1e-5, 1, 64)
            ]
        )
    )
    x = torch.linspace(-1, 1, 4 * SIDE * SIDE).view(1, 4, SIDE, SIDE)
    assert network(x.expand(64, -1, -1, -1), metadata).isfinite().all()


def test_the_blind_estimate_is_compared_with_the_truth():
    cases = islice(simulated("mixture", 1, 0), 2)
    row = summarise("two", cases)
    assert row.startswith("| two | 2 | ")
    assert row.count("|") == 9


def test_a_rough_camera_has_the_same_pattern_in_each_frame():
    pairs = make_domain("SonyA7S2", 40, size=64, iso=800, random_state=0)
    added = [
        roughen(pair, np.random.default_rng(i)).noisy.mosaic.astype(float)
        - pair.noisy.mosaic
        for i, pair in enumerate(pairs)
    ]
    halves = [np.mean(added[i::2], axis=0).ravel() for i in range(2)]
    assert np.corrcoef(halves)[0, 1] > 0.5
    rows = added[0].mean(axis=1)
    read = camera_info("SonyA7S2").noise_at(800)[1] ** 0.5
    assert rows.std() > 0.5 * read


def test_adaptations_are_measured_once(tmp_path, monkeypatch):
    asked = []

    def measure(adaptation, parameters):
        asked.append(adaptation)
        names = ["noisy", "start", "adapted", "two turns", "self-ensemble"]
        names += ["cpu_seconds"]
        row = dict.fromkeys([*names, *adapt.DIM, *adapt.ACCEPTED], 1.0)
        counts = dict.fromkeys(["below start", "below noisy", "start below noisy"], 0)
        return dataclasses.asdict(adaptation) | row | counts

    monkeypatch.setattr(adapt, "measure", measure)
    wanted = [adapt.Adaptation("SonyA7S2", 6, "harm", seed) for seed in range(2)]
    path = tmp_path / "adapt.csv"
    assert len(list(adapt.run(wanted[:1], {}, path))) == 1
    assert len(list(adapt.run(wanted, {}, path))) == 1
    assert asked == wanted
    assert adapt.summarise(pd.read_csv(path))["gain"].item() == 0


def test_a_harmful_share_is_missing_in_the_pool_of_sound_pairs_alone():
    pairs = make_domain("NikonD850", 10, size=32, random_state=0)
    data = RunData([], {"NikonD850": pairs}, [], {"NikonD850": ["useful"] * 10})
    spoiled, sound = (
        spoil_share(data, "two thirds" + end, np.random.default_rng(0))
        for end in ("", " without harm")
    )
    own, kinds = spoiled.sources["NikonD850"], spoiled.kinds["NikonD850"]
    assert [k == "useful" for k in kinds] == [
        p is q for p, q in zip(own, pairs, strict=True)
    ]
    assert set(kinds) - {"useful"} == set(KINDS)
    kept = [pair for pair, kind in zip(own, kinds, strict=True) if kind == "useful"]
    assert sound.sources["NikonD850"] == kept
    assert len(kept) == 3


def test_non_local_means_is_told_the_noise_and_removes_it():
    pair = make_domain("SonyA7S2", 1, size=64, iso=6400, ratio=10, random_state=0)[0]
    denoise = classic_denoiser("non-local means")
    noise_free = pair.clean.normalised()
    before = np.abs(pair.noisy.normalised() - noise_free).mean()
    denoised = denoise(pair.noisy, camera_info("SonyA7S2"))
    assert np.abs(denoised - noise_free).mean() < 0.8 * before
    assert list(CLASSIC) == ["BM3D", "non-local means"]


def test_sky_cases__stars__are_scored_between_them(tmp_path):
    places, electrons = field(160, 8, 0)
    light = light_of(places, electrons, 160)
    rng = np.random.default_rng(0)
    noisy = (GAIN * rng.poisson(light, (6, 160, 160)) + BLACK).astype(np.uint16)
    np.savez(
        tmp_path / "seestar_a.npz",
        noisy=noisy,
        clean=noisy.mean(axis=0),
        n_averaged=np.full((160, 160), 6, np.uint8),
        black_level=float(BLACK),
        white_level=65535.0,
        pattern="RGGB",
        gain_dn_per_e=2 * GAIN,
    )
    cases = list(sky_cases(tmp_path))
    assert len(cases) == 6
    gain, read_variance = cases[0].info.noise_at(100.0)
    sky = 0.825 * 60 * GAIN  # counts
    assert gain * sky + read_variance == pytest.approx(GAIN * sky, rel=0.15)
    # 6/5 of the noise of a frame is in its difference from the mean of the others.
    path, asked = tmp_path / "scores.csv", []

    def leave(image, info):
        asked.append(image)
        return image.normalised()

    rows = score(cases[:2], {"noisy": leave}, path)
    rows = score(cases, {"noisy": leave}, path)
    assert len(asked) == len(rows) == 6  # each once, though asked for twice
    expected = (1.2 * GAIN * sky) ** 0.5 / (65535 - BLACK)
    assert rows["psnr"].mean() == pytest.approx(-20 * np.log10(expected), abs=0.3)


def test_evaluate__all_sources__one_command_writes_all_with_their_cameras(
    tmp_path, monkeypatch
):
    pairs = [make_domain(c, 1, size=32, random_state=0)[0] for c in CAMERAS]

    def cases(collection):
        # Groups of photographs are bands of noise, whatever the camera.
        return lambda *_: (
            Case(collection, "band", pair, camera_info(pair.sensor)) for pair in pairs
        )

    made = {
        "benchmark_cases": "benchmark, noise told",
        "photograph_cases": "photographs",
    }
    made |= {"real_cases": "real", "sky_cases": "real, sky"}
    for name, collection in made.items():
        monkeypatch.setattr(commands, name, cases(collection))
    monkeypatch.setattr(commands, "load_photographs", lambda *_, **__: [])
    words = ["evaluate", "--photographs", "P", "--pairs", "P", "--figures", "F"]
    words += ["--peer", "non-local means", "--out", str(tmp_path)]
    CliRunner().invoke(main, words, catch_exceptions=False)
    scores = pd.read_csv(tmp_path / "scores.csv")
    assert set(scores["collection"]) == set(made.values())
    assert set(scores["denoiser"]) == {"noisy", "non-local means"}
    # Nothing is measured again.
    monkeypatch.setattr(commands, "classic_denoiser", lambda _: None)
    CliRunner().invoke(main, words, catch_exceptions=False)
    assert pd.read_csv(tmp_path / "scores.csv").equals(scores)
    table = tabulate(scores, "photographs", "camera")
    assert list(table.index) == [*CAMERAS, "mean"]
    page = (tmp_path / "results.md").read_text("utf-8")
    assert "### photographs: by camera" in page and "### real, sky" in page


def test_rough_cameras_are_measured_once(tmp_path, monkeypatch):
    asked = []

    def measure(camera, seed, with_fits):
        asked.append((camera, seed, with_fits))
        return {"camera": camera, "seed": seed, "noisy": 30.0 + seed}

    monkeypatch.setattr(rough, "measure", measure)
    path = tmp_path / "rough.csv"
    for seeds in ([0], [0, 1]):
        list(rough.run(["NikonD850"], seeds, False, path))
    assert asked == [("NikonD850", 0, False), ("NikonD850", 1, False)]
    table = rough.summarise(pd.read_csv(path))
    assert table.loc["mean", "noisy"] == 30.5 and table.loc["mean", "seeds"] == 2


def test_rough_dark_frames_hold_no_light_and_nothing_below_black():
    frames = photograph_darks("NikonD850", 32, seed=0)
    assert len(frames) == N_DARKS * N_ISOS
    black = frames[0].black_planes.min()
    assert all(frame.mosaic.min() == black for frame in frames)
    assert np.median(np.concatenate([f.mosaic for f in frames])) < black + 20
