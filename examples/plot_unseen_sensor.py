"""
A sensor that was never trained on
==================================

Fit on two cameras, then denoise a phone that no pair of the fit came from. All that
``predict`` gets of the phone is its noise, measured on two pairs.
"""

# %%
# Fit on the cameras that you have
# --------------------------------
# The default ``conditioning="noise"`` tells the network how noisy an image is, and not
# which sensor took it. What it learns can then hold for other sensors, and so does what
# it starts from: the network that comes with skadl. The fit is far shorter than the
# default.

import numpy as np

from skadl import ADLDenoiser, SourcePool, calibrate_sensor, evaluate_pairs
from skadl.datasets import camera_info, make_domain
from skadl.plots import plot_before_after, plot_photon_transfer


def fit(pairs, **sources):
    """Fit for some steps."""
    denoiser = ADLDenoiser(
        n_iter=120, n_finetune_iter=20, patch_size=32, random_state=0
    )
    return denoiser.fit(pairs, source_pairs=SourcePool(sources))


sony = make_domain("SonyA7S2", 12, size=128, random_state=0)
nikon = make_domain("NikonD850", 30, size=128, random_state=1)
denoiser = fit(sony, NikonD850=nikon)

# %%
# Measure the noise of the new one
# --------------------------------
# One pair at each end of the ISOs in use. The lines are the fit; figures typed into a
# ``SensorInfo`` would do as well.

phone = {"camera": "Pixel4a", "size": 256, "ratio": 8}
two_pairs = make_domain(n_pairs=2, iso=(100, 800), random_state=2, **phone)
info = calibrate_sensor(two_pairs)
transfer = plot_photon_transfer(two_pairs, info)

# %%
# This phone is simulated, so its true noise is known. Between the two ISOs gain and
# read noise are interpolated:

for what, own in {"measured": info, "true": camera_info("Pixel4a")}.items():
    gain, read_variance = own.noise_at(400)
    print(f"{what} at ISO 400: gain {gain:.3f}, read noise {read_variance**0.5:.2f}")

# %%
# Denoise it
# ----------
# With a wrong noise, that of one of its own cameras, the same network takes out next to
# nothing: the measurement makes the difference. The last line is for comparison: a fit
# of the same length that had twelve pairs of the phone. It gains nothing over two pairs
# that measured the noise.

unseen = make_domain(
    n_pairs=6,
    iso=(200, 400, 800, 200, 400, 800),
    scenes="photographs-test",
    random_state=3,
    **phone,
)


def given(noise):
    """Denoise with the noise of some sensor."""
    return lambda image: denoiser.predict(image, sensor=noise, dtype=np.float32)


isos = (200, 400, 800)
own_pairs = make_domain("Pixel4a", 12, size=128, iso=isos, ratio=8, random_state=4)
for what, candidate in {
    "noisy": None,
    "with the noise of the Sony": given(denoiser.sensors_.get("SonyA7S2")),
    "with the measured noise": given(info),
    "with the true noise": given(camera_info("Pixel4a")),
    "fitted on the phone itself": fit(own_pairs, SonyA7S2=sony, NikonD850=nikon),
}.items():
    print(f"{what:28}{evaluate_pairs(candidate, unseen).psnr:6.2f} dB")

# %%
# One of the frames, 128 pixels wide, at ISO 400.

noisy, clean = unseen[1].noisy, unseen[1].clean
figure = plot_before_after(noisy, given(info)(noisy), clean)
