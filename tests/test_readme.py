"""What the README promises: its example runs, its files are there."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

import skadl
import skadl.datasets

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_readme__example__runs(monkeypatch, capsys):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    small = functools.partial(
        skadl.ADLDenoiser,
        n_pretrain_iter=2,
        n_iter=2,
        n_finetune_iter=2,
        start="random",
        base_channels=2,
        n_levels=2,
        mlp_width=4,
    )

    def make_small_domain(camera, n_pairs, *, size, **options):
        return make_domain(camera, n_pairs, size=size // 4, **options)

    make_domain = skadl.datasets.make_domain
    monkeypatch.setattr(skadl, "ADLDenoiser", small)
    monkeypatch.setattr(skadl.datasets, "make_domain", make_small_domain)
    names = {}
    exec(compile(example, "README.md", "exec"), names)
    printed = capsys.readouterr().out
    assert "dB PSNR" in printed and "source batches accepted" in printed
    noisy = names["pairs"][20].noisy
    assert names["denoised"].mosaic.dtype == noisy.mosaic.dtype
    assert names["denoised"].mosaic.shape == noisy.mosaic.shape


def test_readme__links__lead_to_files():
    links = re.findall(r"\]\((?!http)([^)]+)\)", README)
    assert links
    for link in links:
        assert (ROOT / link).is_file(), link


@pytest.mark.parametrize("command", ["python -m pytest", "skadl demo"])
def test_readme__commands__install_and_run_in_one_line(command):
    lines = [line for line in README.splitlines() if command in line and "&&" in line]
    assert len(lines) == 1
    assert lines[0].startswith("python -m pip install -c constraints.txt ")
