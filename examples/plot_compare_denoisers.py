"""
Comparing with other denoisers
==============================

Denoisers that need no training, and two networks, on the same raw frames. One
simulated camera and a few frames: an example of how to compare, and no ranking.
"""

# %%
# One camera, three ISOs
# ----------------------

from functools import partial

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from skimage.restoration import denoise_nl_means, denoise_wavelet

from skadl import ADLDenoiser, SourcePool, evaluate_pairs, load_universal
from skadl.datasets import camera_info, make_domain
from skadl.plots import plot_before_after

isos = (400, 1600, 6400)
camera = partial(make_domain, "CanonEOS5D4", ratio=8)
pairs = camera(12, size=128, iso=isos, random_state=0)
unseen = {
    iso: camera(4, size=256, iso=iso, scenes="mixture-test", random_state=2)
    for iso in isos
}

# %%
# Without training
# ----------------
# These expect noise of one strength, but raw noise grows with the signal. So a frame
# is first transformed to noise of standard deviation 1 and afterwards back (the
# generalised Anscombe transform; Mäkitalo and Foi, IEEE TIP 22, 2013, here with the
# asymptotically unbiased inverse). They get the true noise of the camera, and
# their settings were chosen on these very frames, both in their favour. The wavelets
# need PyWavelets.


def stabilised(denoise, image):
    """Apply a denoiser for noise of standard deviation 1 to raw planes."""
    gain, read_variance = camera_info(image.sensor).noise_at(image.iso)
    signal = image.packed() - image.black_planes[:, None, None]
    variance = gain * signal + 0.375 * gain**2 + read_variance
    planes = denoise(2 / gain * np.sqrt(np.maximum(variance, 0)))
    signal = gain * (planes**2 / 4 - 1 / 8) - read_variance / gain
    return signal * image.ratio / image.span


one = {"sigma": 1.0, "channel_axis": 0}
nl_means = partial(denoise_nl_means, h=0.5, patch_size=3, patch_distance=7, **one)
wavelets = partial(denoise_wavelet, wavelet="db2", **one)
denoisers = {
    "none": None,
    "non-local means": partial(stabilised, nl_means),
    "wavelets": partial(stabilised, wavelets),
}

# %%
# Two networks
# ------------
# The one that comes with skadl, which has seen no pair and gets the true noise too;
# and a short fit from there, far shorter than the default, which measures the noise on
# its twelve pairs.

sources = {
    name: make_domain(name, 20, size=128, random_state=1)
    for name in ("SonyA7S2", "NikonD850", "IMX686")
}
universal = load_universal()
denoisers["universal"] = lambda image: universal.predict(
    image, sensor=camera_info(image.sensor), dtype=np.float32
)
denoisers["ADL"] = ADLDenoiser(
    n_iter=120, n_finetune_iter=20, patch_size=32, random_state=0
).fit(pairs, source_pairs=SourcePool(sources))

# %%
# What each gains
# ---------------

psnr = {
    name: [evaluate_pairs(denoiser, unseen[iso]).psnr for iso in isos]
    for name, denoiser in denoisers.items()
}
print(f"{'PSNR in dB':16}" + "".join(f"{f'ISO {iso}':>10}" for iso in isos))
for name, row in psnr.items():
    print(f"{name:16}" + "".join(f"{value:10.2f}" for value in row))

gains = Figure(figsize=(7.5, 4.2), layout="constrained")
ax = gains.add_subplot()
names = [name for name in psnr if name != "none"]
colours = colormaps["viridis"](np.linspace(0, 0.85, len(names)))
for name, colour, marker in zip(names, colours, "os^D", strict=True):
    gain = np.subtract(psnr[name], psnr["none"])
    ax.plot(isos, gain, color=colour, marker=marker, markersize=8, label=name)
ax.set_xscale("log")
ax.set_xticks(isos, [str(iso) for iso in isos])
ax.minorticks_off()
ax.set_xlabel("ISO", fontsize=12)
ax.set_ylabel("PSNR gained over the noisy frames (dB)", fontsize=12)
ax.grid(True, color="#dddddd", linewidth=0.6)
legend = ax.legend(fontsize=12)

# %%
# The short fit adds about a tenth of a decibel to the network that it started from.
#
# And what it looks like
# ----------------------
# A photograph at the highest ISO, 128 pixels wide here. Look at the dark background
# too, where non-local means leaves specks.

noisy, clean = unseen[6400][1].noisy, unseen[6400][1].clean
pictures = plot_before_after(
    denoisers["non-local means"](noisy),
    denoisers["ADL"].predict(noisy, dtype=np.float32),
    clean,
    titles=("non-local means", "ADL", "clean"),
)
