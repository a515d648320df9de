"""A picture of a pair that is suspicious: both frames and what is left between them.

Needs matplotlib, the extra ``skadl[plot]``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import uniform_filter

from skadl.noise.residual import measure_residual
from skadl.plots.canvas import new_figure
from skadl.plots.rendering import display_settings, render
from skadl.raw.pair import RawPair, read_pair
from skadl.screening.measurements import motion_of_pair, small_copy
from skadl.screening.motion import BLOCK
from skadl.screening.result import CheckedPair
from skadl.support.text import short_label

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LIMIT = 4.0  # standard deviations at the ends of the colour scale
_ARROW = 0.25  # of the frame's short side
_LEAST_ARROW = 2.0  # standard errors
_LINE = 110  # characters


def draw_pair(pair: RawPair, checked: CheckedPair | None = None) -> Figure:
    """Show noisy and clean frame and their difference in units of the noise.

    Parameters
    ----------
    pair : RawPair
        Large frames are shown smaller, as a whole.
    checked : CheckedPair, optional
        Its verdict, findings and shift are written into the picture.

    Returns
    -------
    Figure
        Noise is even grain in the third panel; a picture in it is misalignment, a
        patch something that moved. Outlined: more than noise can be. The arrow points
        where the noisy frame lies; its length is not to scale.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    OSError, ValueError
        If the pair cannot be read or its frames do not fit together.
    """
    pair = read_pair(pair)
    small = small_copy(pair)
    measured = measure_residual(small)
    moved = motion_of_pair(small).moved
    scores = measured.known * measured.residual / measured.pixel_sigma  # (4, h, w)
    # The mean of 3x3 pixels of four colours, again in standard deviations.
    scores = 3 * uniform_filter(scores.sum(axis=0) / 2, 3)
    height, width = scores.shape
    panel = 4.2 * min(max(height / width, 0.4), 1.6)
    figure = new_figure(13.6, panel + 1.3)
    axes = figure.subplots(1, 3)
    display = display_settings(small.clean)
    for ax, frame, title in zip(
        axes[:2], (small.noisy, small.clean), ("noisy", "clean"), strict=True
    ):
        ax.imshow(render(frame, display=display))
        ax.set_title(title, loc="left", fontsize=13)
    shown = axes[2].imshow(scores, cmap="RdBu_r", vmin=-_LIMIT, vmax=_LIMIT)
    axes[2].set_title("noisy minus clean", loc="left", fontsize=13)
    bar = figure.colorbar(shown, ax=axes[2], shrink=0.8, pad=0.02, extend="both")
    bar.set_label("standard deviations of the noise (3x3 mean)", fontsize=11)
    if moved.any():
        rows, columns = (BLOCK * np.arange(n) + (BLOCK - 1) / 2 for n in moved.shape)
        axes[2].contour(columns, rows, moved, [0.5], colors="black", linewidths=1.0)
    for ax in axes:
        ax.set(xticks=[], yticks=[])
    if checked is not None:
        _draw_shift(axes[1], checked, height, width)
        figure.suptitle(_headline(checked), fontsize=12, parse_math=False)
    return figure


def _draw_shift(ax: Axes, checked: CheckedPair, height: int, width: int) -> None:
    if checked.shift_error is None:
        return
    shift = np.array([checked.shift_rows, checked.shift_columns])
    length = float(np.hypot(*shift))
    label = f"shift {length:.2f} ± {checked.shift_error:.2f} pixels"
    ax.set_xlabel(label, fontsize=12)
    if length < _LEAST_ARROW * checked.shift_error or length == 0:
        return
    middle = np.array([height, width]) / 2
    tip = middle + shift / length * _ARROW * min(height, width)
    for colour, thickness in (("black", 4.5), ("#ffd54a", 2.2)):
        style = {"arrowstyle": "->", "color": colour, "lw": thickness}
        style |= {"shrinkA": 0, "shrinkB": 0, "mutation_scale": 22}
        ax.annotate("", xy=tip[::-1], xytext=middle[::-1], arrowprops=style)


def _headline(checked: CheckedPair) -> str:
    text = f"{short_label(checked.name, 60)}: {checked.verdict}"
    lines = [text, *(finding.what for finding in checked.findings)]
    return "\n".join(
        line if len(line) <= _LINE else f"{line[: _LINE - 3]}..." for line in lines
    )
