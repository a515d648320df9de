"""Damaged files: read or refused with a sentence, and never half written."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from tiny_fits import BRIEF, target_pairs, tiny_denoiser

from skadl import RawImage, read_raw
from skadl.commands import main as cli

CHECKOUT = Path(__file__).parents[2]
KINDS = ("plain", "jpeg", "exif", "tiles", "phone")
N_MUTANTS = 32  # of each kind, four of each mutation


@pytest.fixture
def seeds(benchmark, tmp_path):
    """Sound files by kind."""
    folder = tmp_path / "seeds"
    folder.mkdir()
    return {
        path.stem: path
        for path in benchmark("robustness.raw_mutants").write_seeds(folder)
    }


@pytest.fixture
def mutants(benchmark, seeds, tmp_path):
    """A function that writes the mutants of one kind into a folder."""

    def write(kind: str, folder: Path = tmp_path / "mutants") -> list[Path]:
        folder.mkdir()
        data = seeds[kind].read_bytes()
        paths = [folder / f"{seed}.dng" for seed in range(N_MUTANTS)]
        for seed, path in enumerate(paths):
            path.write_bytes(benchmark("robustness.raw_mutants").mutate(data, seed)[1])
        return paths

    return write


@pytest.mark.parametrize("kind", KINDS)
def test_seeds__are_sound(seeds, kind):
    image = read_raw(seeds[kind])
    assert (image.sensor, image.iso, image.mosaic.shape) == (
        "NIKON D850",
        800,
        (48, 64) if kind != "phone" else (46, 62),
    )


@pytest.mark.filterwarnings("ignore:.* may be damaged", "ignore:.* NoiseProfile")
@pytest.mark.parametrize("kind", KINDS)
def test_read_raw__damaged_file__is_read_or_refused_by_name(mutants, kind):
    n_refused = 0
    for path in mutants(kind):
        try:
            image = read_raw(path, sensor="S", iso=100)
        except ValueError as error:
            assert str(error).startswith(f"{path.name} ")
            n_refused += 1
        else:
            assert isinstance(image, RawImage)
    assert 0 < n_refused < N_MUTANTS  # neither was all damage, nor none


@pytest.mark.parametrize("kind", KINDS)
def test_denoise__damaged_files__one_line_or_a_whole_file_each(mutants, tmp_path, kind):
    paths = mutants(kind)
    model, out = tmp_path / "tiny.safetensors", tmp_path / "out"
    tiny_denoiser(**BRIEF).fit(target_pairs()).save(model)
    arguments = [model, paths[0].parent, "--out", out, "--sensor", "SonyA7S2", "--json"]
    outcome = CliRunner().invoke(cli.main, ["denoise", *map(str, arguments)])
    assert outcome.exit_code == 1, outcome.output
    files = json.loads(outcome.stdout)["files"]
    assert {file["input"] for file in files} == set(map(str, paths))
    failed = [file for file in files if file["status"] == "failed"]
    written = {file["output"] for file in files if file["status"] == "written"}
    assert len(failed) + len(written) == len(paths) and failed and written
    said = outcome.stderr.splitlines()
    assert sum(line.startswith("Error: ") for line in said) == len(failed)
    assert all(line.startswith(("Error: ", "Note: ")) for line in said)
    assert {str(path) for path in out.iterdir()} == written
    for path in out.iterdir():
        read_raw(path)


def test_mutate__one_seed__one_mutant_unlike_its_origin(benchmark, seeds):
    module, data = benchmark("robustness.raw_mutants"), seeds["exif"].read_bytes()
    names = set()
    for seed in range(N_MUTANTS):
        name, mutant = module.mutate(data, seed)
        assert (name, mutant) == module.mutate(data, seed)
        names.add(name)
    assert names == set(module.MUTATIONS)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
@pytest.mark.parametrize("script", ["raw_fuzz", "saved_fuzz"])
def test_fuzz__some_mutants__all_end_well(tmp_path, script):
    # In a process of its own, which it forks.
    words = ["-m", f"benchmarks.robustness.{script}", "--mutants", 8]
    words += ["--folder", tmp_path]
    paths = [str(CHECKOUT), os.environ.get("PYTHONPATH", "")]
    finished = subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert finished.returncode == 0, finished.stderr
    assert "| all | 8 |" in finished.stdout
