"""Noise variance against signal, measured on six pairs of one camera."""

from skadl import calibrate_sensor
from skadl.datasets import make_domain
from skadl.plots import plot_photon_transfer


def draw():
    """Calibrate a simulated Sony A7S2 and draw the fit."""
    pairs = make_domain(
        "SonyA7S2", 6, size=256, iso=[100, 800, 6400], ratio=30, random_state=0
    )
    figure = plot_photon_transfer(pairs, calibrate_sensor(pairs))
    figure.set_size_inches(5.6, 4.4)
    return figure
