"""The demonstration in words: what is compared, what came out, as text and HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape

from skadl.commands.demo.run import HARMFUL_DOMAINS, DemoResult, Row
from skadl.commands.demo.sizes import Budget
from skadl.datasets import camera_names
from skadl.support.text import aligned, percent

_WIDTH = 78
_COLUMNS = ("", "PSNR", "SSIM", "worst scene", "training time")
_LEGEND = (
    "PSNR and SSIM: likeness to the clean raw image, mean of the scenes; higher is "
    "better, an SSIM of 1 is perfect. Worst scene: smallest change of PSNR against "
    "the noisy input."
)

_PAGE = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>skadl demo: {target}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 62em; margin: 2em auto;
       padding: 0 1em; color: #222; background: #fff }}
table {{ border-collapse: collapse }}
th, td {{ padding: .2em .9em; text-align: right; border-bottom: 1px solid #ddd }}
th:first-child, td:first-child {{ text-align: left }}
img {{ max-width: 100% }}
</style>
<h1>A denoiser for a new camera: {target}</h1>
<p>{setting}</p>
<h2>Result on {n_scenes} scenes that no training saw</h2>
{scores}
<p><small>{legend}</small></p>
<p><strong>{verdict}</strong></p>
<h2>Before and after</h2>
<p>{shown}</p>
<p><img src="before_after.png" alt="The noisy, the denoised and the clean picture"></p>
<h2>Which source batches ADL took</h2>
<p>{selection}</p>
{acceptance}
<p><img src="acceptance.png" alt="Share of batches taken, by domain and time"></p>
<h2>Files beside this page</h2>
<ul>
{files}
</ul>
</html>
"""


def describe_setting(target: str, budget: Budget) -> str:
    """Say in a paragraph what is simulated and what can be learnt from."""
    n_others = len([name for name in camera_names() if name != target])
    return (
        "All cameras here are simulated, with noise as measured on real ones. "
        f"{target} plays a new camera, of which only {budget.n_target_pairs} pairs of "
        f"a noisy and a clean frame exist. To learn from, there are also {n_others} "
        f"other cameras and {len(HARMFUL_DOMAINS)} harmful sets (wrong noise, wrong "
        f"ground truth), {budget.n_source_pairs} pairs each."
    )


def summarise(result: DemoResult) -> str:
    """Lay out the result for a terminal of 80 columns."""
    n_scenes = len(result.data.test_pairs)
    taken = [
        (row.domain, f"{row.accepted} of {row.offered}", percent(row.rate))
        for row in result.report.by_domain()
    ]
    return "\n".join(
        [
            f"Result on {n_scenes} scenes of {result.target} that no training saw",
            "",
            *_indented([_COLUMNS, *_score_rows(result)]),
            "",
            *wrap(_LEGEND),
            "",
            *wrap(describe_gains(result)),
            "",
            "Which source batches ADL took",
            "",
            *_indented([("", "batches", "share"), *taken]),
            "",
            *wrap(describe_selection(result)),
        ]
    )


def describe_gains(result: DemoResult) -> str:
    """Say in a sentence how ADL compares with each of the others."""
    *others, adl = result.rows
    parts = [
        f"{_difference(adl.score.psnr - other.score.psnr)} {phrase}"
        for other, phrase in zip(
            others,
            (
                "the noisy input",
                "training on the new sensor alone",
                "training on all sources and then the new sensor",
            ),
            strict=True,
        )
    ]
    return f"ADL is {parts[0]}, {parts[1]}, and {parts[2]}."


def describe_selection(result: DemoResult) -> str:
    """Say how much ADL took of the other cameras and of the harmful sets."""
    domains = result.data.sources.domains
    rows = {row.domain: row for row in result.report.by_domain()}
    cameras = [rows[name] for name in domains if name not in HARMFUL_DOMAINS]
    n_offered = sum(row.offered for row in cameras)
    taken = sum(row.accepted for row in cameras) / max(n_offered, 1)
    wrong_noise, wrong_truth = (percent(rows[name].rate) for name in HARMFUL_DOMAINS)
    sentences = (
        f"ADL took {percent(taken)} of the batches of other cameras and {wrong_truth} "
        "of those with a wrong ground truth, which shows in what is left of a pair: "
        "noisy minus clean must be noise. Of the pairs that carry the name of a camera "
        f"and another noise it took {wrong_noise}: it measures the noise of each pair "
        "and does not trust the label."
    )
    made = [name for name in result.report.domains if name not in domains]
    if made:
        sentences += (
            f" Pairs named {' or '.join(made)} are clean frames of the others with the "
            "noise that was measured on the new sensor's pairs."
        )
    return sentences


def describe_shown(result: DemoResult) -> str:
    """Say in a sentence what the picture shows."""
    noisy = result.data.shown.noisy
    light = "" if noisy.ratio == 1 else f" with 1/{noisy.ratio:g} of the light"
    return (
        f"A photograph as {result.target} sees it at ISO {noisy.iso:g}{light}: noisy, "
        "denoised by ADL, and clean; a part of it enlarged, and the error that is left."
    )


def to_html(result: DemoResult, files: Mapping[str, str]) -> str:
    """Lay out the result as a page; `files` says what lies beside it."""
    head = "".join(f"<th>{title}</th>" for title in _COLUMNS)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in _score_rows(result)
    )
    links = "\n".join(
        f'<li><a href="{name}">{name}</a>: {escape(what)}</li>'
        for name, what in files.items()
    )
    return _PAGE.format(
        target=escape(result.target),
        setting=escape(describe_setting(result.target, result.budget)),
        n_scenes=len(result.data.test_pairs),
        scores=f"<table><tr>{head}</tr>{body}</table>",
        legend=escape(_LEGEND),
        verdict=escape(describe_gains(result)),
        shown=escape(describe_shown(result)),
        selection=escape(describe_selection(result)),
        acceptance=result.report._repr_html_(),
        files=links,
    )


def wrap(paragraph: str) -> list[str]:
    """Break a paragraph into lines for a terminal."""
    return textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)


def _score_rows(result: DemoResult) -> list[tuple[str, ...]]:
    noisy, *trained = result.rows
    shown = [(noisy.name, *_decibels_and_ssim(noisy), "", "")]
    for row in trained:
        worst = round(row.worst_gain(noisy), 2) + 0.0  # never -0.00
        rest = f"{worst:+.2f} dB", f"{row.seconds:.0f} s"
        shown.append((row.name, *_decibels_and_ssim(row), *rest))
    return shown


def _decibels_and_ssim(row: Row) -> tuple[str, str]:
    return f"{row.score.psnr:.2f} dB", f"{row.score.ssim:.3f}"


def _indented(rows: Sequence[Sequence[str]]) -> list[str]:
    return [f"  {line}" for line in aligned(rows)]


def _difference(decibel: float) -> str:
    if abs(decibel) < 0.005:
        return "level with"
    return f"{abs(decibel):.2f} dB {'above' if decibel > 0 else 'below'}"
