"""The demonstration in words: what is compared, what came out, as text and HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from html import escape

from skadl.commands.demo.run import (
    ADL,
    EVERYTHING,
    HARMFUL_DOMAIN,
    N_SOURCE_CAMERAS,
    START,
    DemoResult,
    Row,
)
from skadl.commands.demo.sizes import Budget
from skadl.evaluation.metrics import clipped_psnr
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
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 64em; margin: 2em auto;
       padding: 0 1em; color: #222; background: #fff }}
.table {{ overflow-x: auto }}
table {{ border-collapse: collapse }}
th, td {{ padding: .2em .6em; text-align: right; border-bottom: 1px solid #ddd }}
th:first-child, td:first-child {{ text-align: left }}
img {{ max-width: 100%; display: block }}
.pictures {{ display: grid; gap: 1em;
            grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)) }}
figure {{ margin: 0 }}
figure img {{ width: 100% }}
pre {{ overflow-x: auto; background: #f4f4f4; padding: .8em }}
</style>
<h1>A denoiser for a new camera: {target}</h1>
<p>{setting}</p>
<h2>Result on {n_scenes} scenes that no training saw</h2>
<div class="table">{scores}</div>
<p><small>{legend}</small></p>
<p><strong>{verdict}</strong></p>
<h2>One picture, five times</h2>
<p>{shown}</p>
<div class="pictures">
{pictures}
</div>
<h2>What ADL took, and what it refused</h2>
<p>{selection}</p>
<div class="table">{acceptance}</div>
<p><img src="acceptance.png" alt="Share of batches taken, by domain and time"></p>
<h2>Next</h2>
{steps}
<h2>Files beside this page</h2>
<ul>
{files}
</ul>
</html>
"""


NEXT_STEPS = (
    ("denoise your own photographs", "skadl denoise photos --out denoised"),
    ("check pairs of your own camera", "skadl check pairs"),
    ("adapt to it", "skadl fit pairs --simulated-sources --out mine.safetensors"),
)
"""What to do after the demonstration: in words, and the command."""
TOO_LITTLE = "This was the tiny size: too little training to judge by."


def describe_setting(target: str, budget: Budget) -> str:
    """Say in a paragraph what is simulated and what can be learnt from."""
    return (
        "All cameras here are simulated, with noise as measured on real ones. "
        f"{target} plays a new camera, of which only {budget.n_target_pairs} pairs of "
        "a noisy and a clean frame exist. A network that denoises any camera comes "
        "with skadl and never saw this one. To adapt it there are also "
        f"{N_SOURCE_CAMERAS} other cameras, and one source whose ground truth is "
        f"wrong, with {budget.n_source_pairs} pairs each."
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
    """Say what the start gains, the adaptation, and the choice of data."""
    if not result.budget.is_telling:
        return TOO_LITTLE
    psnr = {row.name: row.score.psnr for row in result.rows}
    noisy = result.rows[0].score.psnr
    return (
        "Without any pair, the network that comes with skadl is "
        f"{_difference(psnr[START] - noisy)} the noisy input. Adapted to the new "
        f"camera by ADL, it is {_difference(psnr[ADL] - psnr[START])} that. Trained on "
        "all sources, the harmful one too, and then on the new camera, it is "
        f"{_difference(psnr[EVERYTHING] - psnr[ADL])} ADL."
    )


def describe_selection(result: DemoResult) -> str:
    """Say how much ADL took of the other cameras and of the harmful set."""
    domains = result.data.sources.domains
    rows = {row.domain: row for row in result.report.by_domain()}
    cameras = [rows[name] for name in domains if name != HARMFUL_DOMAIN]
    n_offered = sum(row.offered for row in cameras)
    taken = sum(row.accepted for row in cameras) / max(n_offered, 1)
    sentences = (
        f"ADL took {percent(taken)} of the batches of other cameras and "
        f"{percent(rows[HARMFUL_DOMAIN].rate)} of those of {HARMFUL_DOMAIN!r}. Its "
        "clean frames are moved, black, or of another scene. That shows in what is "
        "left of a pair: noisy minus clean must be noise."
    )
    made = [name for name in result.report.domains if name not in domains]
    if made:
        sentences += (
            f" Pairs named {' or '.join(made)} are clean frames of the others with the "
            "noise that was measured on the new camera's pairs."
        )
    return sentences


def describe_shown(result: DemoResult) -> str:
    """Say in a sentence what the pictures show."""
    noisy = result.data.shown.noisy
    light = "" if noisy.ratio == 1 else f" with 1/{noisy.ratio:g} of the light"
    return (
        f"A photograph as {result.target} sees it at ISO {noisy.iso:g}{light}, all "
        "in the same exposure and colours."
    )


def describe_pictures(result: DemoResult) -> dict[str, str]:
    """Caption each picture, by the name of its row; the clean one is the last."""
    shown = result.data.shown
    clean = shown.clean.normalised()
    captions = {
        "noisy": "noisy, as the camera gives it",
        START: "the network that comes with skadl, no training",
        EVERYTHING: "trained on all sources, the harmful one too",
        ADL: "adapted by ADL",
    }
    images = {"noisy": shown.noisy, **result.denoised}
    captions = {
        name: f"{what}: {clipped_psnr(images[name].normalised(), clean):.1f} dB"
        for name, what in captions.items()
    }
    return captions | {"clean": "clean, to compare with"}


def to_html(result: DemoResult, files: Mapping[str, str]) -> str:
    """Lay out the result as a page; `files` says what lies beside it."""
    head = "".join(f"<th>{title}</th>" for title in _COLUMNS)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>"
        for row in _score_rows(result)
    )
    pictures = "\n".join(
        f'<figure><img src="{picture_file(name)}" alt="{escape(caption)}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
        for name, caption in describe_pictures(result).items()
    )
    steps = "\n".join(
        f"<p>{escape(what[0].upper() + what[1:])}:</p>\n<pre>{escape(command)}</pre>"
        for what, command in NEXT_STEPS
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
        pictures=pictures,
        steps=steps,
        files=links,
    )


def picture_file(name: str) -> str:
    """Name the file of a picture.

    >>> picture_file("all sources")
    'picture-all-sources.png'
    """
    return f"picture-{name.replace(' ', '-')}.png"


def wrap(paragraph: str) -> list[str]:
    """Break a paragraph into lines for a terminal."""
    return textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)


def _score_rows(result: DemoResult) -> list[tuple[str, ...]]:
    noisy, *others = result.rows
    shown = [(noisy.name, *_decibels_and_ssim(noisy), "", "")]
    for row in others:
        worst = round(row.worst_gain(noisy), 2) + 0.0  # never -0.00
        rest = f"{worst:+.2f} dB", f"{row.seconds:.0f} s" if row.seconds else "none"
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
