"""
Bringing your own camera model
==============================

No pairs of your camera yet, or a camera that does not exist yet? Figures from a data
sheet make a simulated one, and it can do whatever the cameras of skadl can.
"""

# %%
# From data sheet to camera
# -------------------------
# Sheets speak of electrons, files hold counts. The full well fills the span from black
# to white at the base ISO, which gives the system gain; from there it doubles with each
# doubling of ISO. The figures are made up: those of a small sensor in a machine.

import matplotlib.pyplot as plt

from skadl import ADLDenoiser, SensorTable, SourcePool, calibrate_sensor
from skadl.datasets import Camera, camera_names, get_camera, make_domain
from skadl.plots import plot_before_after

full_well = 9000  # electrons
read_electrons = {100: 3.0, 800: 2.2, 3200: 1.8}  # falls with ISO, as usual
black_level, white_level = 64, 4095

base_gain = (white_level - black_level) / full_well
gain = {iso: base_gain * iso / 100 for iso in read_electrons}
camera = Camera(
    "MachineEye",
    "GRBG",
    black_level,
    white_level,
    gain=gain,
    read_scale={iso: read_electrons[iso] * gain[iso] for iso in gain},
    row_noise={iso: 0.3 * gain[iso] for iso in gain},
    white_balance=(1.9, 1.0, 1.6),
    ratios=(1.0, 4.0),
)

# %%
# Beside the others
# -----------------
# The same unit for all: electrons of noise in the dark at ISO 800, row noise and
# rounding included.

cameras = [camera, *map(get_camera, camera_names())]
dark = {}
for each in cameras:
    gain, read_variance = each.noise_at(800)
    dark[each.name] = read_variance**0.5 / gain
names = sorted(dark, key=dark.get, reverse=True)
colours = ["#21918c" if name == camera.name else "#c9c9c9" for name in names]

figure, ax = plt.subplots(figsize=(8, 4.2), layout="constrained")
bars = ax.barh(names, [dark[name] for name in names], color=colours)
ax.bar_label(bars, fmt="%.1f", padding=4, fontsize=11)
ax.set_xlabel("noise in the dark at ISO 800 (electrons)", fontsize=12)
ax.margins(x=0.08)
ax.tick_params(labelsize=11)

# %%
# Is it the camera that was meant?
# --------------------------------
# Measure it like a real one, on pairs, and compare with the figures above. This checks
# the simulation against the sheet, not the sheet against the machine.

pairs = make_domain(camera, 12, size=128, iso=[200, 800, 3200], random_state=0)
measured = calibrate_sensor(pairs)
for iso, value in measured.gain.items():
    gain, read_variance = camera.noise_at(iso)
    print(
        f"ISO {iso:4.0f}: gain {value:.3f} (figures: {gain:.3f}), "
        f"read noise {measured.read_noise[iso]:.2f} (figures: {read_variance**0.5:.2f})"
    )

# %%
# As the target
# -------------
# Its pairs are pairs like any. ``camera.info()`` hands its true noise to ``fit``, which
# then need not measure it. The training is a short one: 120 steps from the network that
# comes with skadl.

sources = {
    name: make_domain(name, 16, size=128, random_state=1)
    for name in ("SonyA7S2", "NikonD850", "IMX686")
}
denoiser = ADLDenoiser(n_iter=100, n_finetune_iter=20, patch_size=32, random_state=0)
meta = SensorTable({camera.name: camera.info()})
denoiser.fit(pairs, source_pairs=SourcePool(sources), meta=meta)

(unseen,) = make_domain(
    camera, 1, size=256, iso=3200, ratio=4, scenes="photographs-test", random_state=3
)
denoised = denoiser.predict(unseen.noisy)
comparison = plot_before_after(unseen.noisy, denoised, unseen.clean)

# %%
# As a source, ``make_domain(camera, ...)`` goes into the pool beside the others. Before
# you rely on a simulated camera, shoot two real pairs: ``calibrate_sensor`` tells how
# far the sheet is off. No sheet knows of patterns, defects or what the maker's software
# does to the files.
