"""Photon transfer: variance against signal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from skadl.noise.photon_transfer import fit_transfer
from skadl.noise.residual import TransferCurve, transfer_curve
from skadl.noise.sensors import SensorInfo
from skadl.plots.canvas import new_figure
from skadl.raw.pair import RawPair

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_LISTED_ISOS = 7  # more are named by a colour bar
_BELOW_THE_KNEE = 30.0  # how far under the read noise the photon-transfer plot reaches


def plot_photon_transfer(
    pairs: Sequence[RawPair | TransferCurve],
    info: SensorInfo,
    ax: Axes | None = None,
) -> Figure:
    """Draw noise variance against signal, measured and fitted, one colour an ISO.

    Each point is a bin of pixels of about equal signal in one pair, each line
    ``gain * signal + read_noise**2``: level where read noise rules, rising where
    photon noise does. Points off their line tell of doubtful pairs.

    Parameters
    ----------
    pairs : sequence of RawPair or TransferCurve
        Of one sensor.
    info : SensorInfo
        Of that sensor with its noise, as from `skadl.calibrate_sensor`.
    ax : matplotlib Axes, optional
        Axes to draw on; a figure is made by default.

    Returns
    -------
    Figure
        On logarithmic axes. Crosses are pairs that a calibration leaves out.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    ValueError
        If the noise in `info` is not known, or all pairs are clipped throughout.
    """
    curves = [transfer_curve(p) if isinstance(p, RawPair) else p for p in pairs]
    curves = [curve.in_counts_of(info.span) for curve in curves]
    isos = sorted({curve.iso for curve in curves if curve.signal.size})
    if not isos:
        raise ValueError(
            "no pair has enough unclipped pixels to draw; check levels and exposures."
        )
    noise = {iso: info.noise_at(iso) for iso in isos}
    _, left_out = fit_transfer(curves, info.span)
    if ax is None:
        ax = new_figure(8.0, 5.6).add_subplot()
    from matplotlib import cm, colormaps, colors

    norm = colors.LogNorm(isos[0], max(isos[-1], 1.01 * isos[0]))
    # Without its yellow end, which white paper swallows.
    palette = colors.ListedColormap(colormaps["viridis"](np.linspace(0, 0.88, 256)))
    knees = [read_variance / gain for gain, read_variance in noise.values()]
    left = min(knees) / _BELOW_THE_KNEE
    brightest = max(c.signal.max() for c in curves if c.signal.size)
    right = max(2 * brightest, *knees)
    is_cut = False
    for index, curve in enumerate(curves):
        is_cut |= bool((curve.signal < left).any())
        style = {"marker": "o", "s": 26, "alpha": 0.75, "linewidth": 0}
        if index in left_out:
            style = {"marker": "x", "s": 40, "alpha": 0.9, "linewidth": 1.4}
        colour = palette(norm(curve.iso))
        signal = np.maximum(curve.signal, left)
        ax.scatter(signal, curve.variance, color=colour, zorder=3, **style)
    shown = _spread_out(isos, _MOST_LISTED_ISOS)
    signal = np.geomspace(left, right, 200)
    for iso in shown:
        gain, read_variance = noise[iso]
        label = _noise_label(info, iso) if len(shown) == len(isos) else None
        colour = palette(norm(iso))
        variance = gain * signal + read_variance
        ax.plot(signal, variance, color=colour, linewidth=1.6, label=label)
    if len(shown) < len(isos):
        bar = ax.figure.colorbar(cm.ScalarMappable(norm, palette), ax=ax, pad=0.02)
        ticks = [f"{iso:g}" for iso in shown]
        bar.set_ticks(shown, labels=ticks)
        bar.minorticks_off()
        bar.set_label("ISO", fontsize=12)
    if n_odd := sum(1 for i in left_out if curves[i].signal.size):
        label = f"left out: {n_odd} odd pair{'s' if n_odd > 1 else ''}"
        ax.scatter([], [], color="#555555", marker="x", s=40, label=label)
    ax.set(xscale="log", yscale="log", xlim=(left / 1.15, right))
    if n_entries := len(ax.get_legend_handles_labels()[0]):
        legend = ax.legend(loc="upper left", fontsize=11, framealpha=0.9)
        if len(shown) == len(isos):
            units = "K in counts per electron, read noise in counts"
            legend.set_title(units, prop={"size": 11})
        low, high = ax.get_ylim()  # room for the legend above level lines
        ax.set_ylim(low, high * (high / low) ** (0.04 * n_entries))
    ax.set_title("Photon transfer", loc="left", fontsize=13)
    hint = "; darker bins at the left edge" if is_cut else ""
    ax.set_xlabel(f"signal above black (counts{hint})", fontsize=12)
    ax.set_ylabel("noise variance (counts²)", fontsize=12)
    ax.tick_params(labelsize=11)
    ax.grid(True, color="#dddddd", linewidth=0.6)
    ax.set_axisbelow(True)
    return ax.figure


def _spread_out(values: Sequence[float], most: int) -> list[float]:
    """At most so many of rising values, evenly on a logarithmic scale."""
    if len(values) <= most:
        return list(values)
    wanted = np.geomspace(values[0], values[-1], most)
    nearest = [min(values, key=lambda v: abs(np.log(v / w))) for w in wanted]
    return sorted(set(nearest))


def _noise_label(info: SensorInfo, iso: float) -> str:
    """ISO, gain and read noise, with their errors where they are known at the ISO."""
    gain, read_variance = info.noise_at(iso)
    parts = []
    for name, value, errors in (
        ("K", gain, info.gain_error),
        ("read", read_variance**0.5, info.read_noise_error),
    ):
        error = (errors or {}).get(iso)
        parts.append(
            f"{name} {value:.3g}" + ("" if error is None else f" ±{100 * error:.0f} %")
        )
    return f"ISO {iso:g}:  {',  '.join(parts)}"
