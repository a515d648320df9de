"""
Denoise without pairs
=====================

A camera that nobody has trained on, and no pair of it. skadl comes with a network that
gets the noise level of an image and takes the noise out. Afterwards: what six pairs
add.
"""

# %%
# One frame
# ---------
# The camera is simulated, so that the result can be compared with the truth. Its
# figures are made up, with much row noise. With a RAW file of your own, ``predict``
# takes the path.

import numpy as np

from skadl import ADLDenoiser, SourcePool, evaluate_pairs, load_universal
from skadl.datasets import Camera, make_domain
from skadl.noise.source import find_noise
from skadl.plots import plot_before_after

camera = Camera(
    "TrailCam",
    "GBRG",
    black_level=240,
    white_level=4095,
    gain={200: 0.9, 3200: 14.4},
    read_scale={200: 2.4, 3200: 26.0},
    row_noise={200: 1.6, 3200: 18.0},
    white_balance=(1.9, 1.0, 1.6),
    ratios=(1.0, 4.0),
)
(pair,) = make_domain(
    camera, 1, size=384, iso=800, ratio=4, scenes="photographs-test", random_state=3
)

# %%
# The noise is given
# ------------------
# ``camera.info()`` holds gain and read noise at each ISO. Yours come from
# ``calibrate_sensor`` or are typed into a ``SensorInfo``.

denoiser = load_universal()
given = denoiser.predict(pair.noisy, sensor=camera.info(), dtype=np.float32)
figure = plot_before_after(pair.noisy, given, pair.clean)

# %%
# The noise is not given
# ----------------------
# Then it is looked for. Neither the file nor the published figures know this camera, so
# it is estimated from the frame itself. ``predict`` does so by itself and warns; here
# the estimate is printed beside the truth. The true read noise holds the row noise,
# which hardly moves the estimate: so that is lower.

found = find_noise(pair.noisy)
gain, read_variance = camera.info().noise_at(800)
print(f"estimated: gain {found.gain:.2f}, read noise {found.read_noise:.2f} counts")
print(f"true:      gain {gain:.2f}, read noise {read_variance**0.5:.2f} counts")

# %%
# What it gains, on frames of three ISOs
# --------------------------------------
# PSNR, as a mean over eight frames of scenes that the network was not trained on.

unseen = make_domain(
    camera, 8, size=256, iso=(200, 800, 3200), scenes="mixture-test", random_state=4
)


def given(noise):
    """Denoise with noise that is given, or found for each image."""
    return lambda image: denoiser.predict(image, sensor=noise(image), dtype=np.float32)


scores = {
    "noisy": None,
    "noise given": given(lambda image: camera.info()),
    "noise estimated": given(lambda image: find_noise(image).sensor),
}
for what, candidate in scores.items():
    print(f"{what:16}{evaluate_pairs(candidate, unseen).psnr:6.2f} dB")

# %%
# Then six pairs
# --------------
# ``ADLDenoiser`` starts from this very network. Pairs of two other cameras help. The
# default is far longer than these 150 steps.

pairs = make_domain(camera, 6, size=128, iso=(200, 800, 3200), random_state=0)
others = {
    name: make_domain(name, 12, size=128, random_state=1)
    for name in ("SonyA7S2", "NikonD850")
}
fitted = ADLDenoiser(n_iter=150, n_finetune_iter=30, patch_size=32, random_state=0)
fitted.fit(pairs, source_pairs=SourcePool(others))
print(f"with six pairs  {evaluate_pairs(fitted, unseen).psnr:6.2f} dB")
print(fitted.selection_report_.notes[-1])

# %%
# Two tenths of a decibel here, in so few steps: the start knew noise like this already.
# Pairs are for what a sensor does that the simulation did not show. The last line says
# how much of the training was kept: none of it where pairs held out of it lose.
