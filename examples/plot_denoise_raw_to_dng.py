"""
From a RAW file to a denoised DNG
=================================

Pairs in a folder, a denoiser fitted on them, and a DNG that any RAW program can
develop. The files are simulated here; with your own, start at ``load_pairs``.
"""

# %%
# A folder of pairs
# -----------------
# Files of the same name in ``noisy`` and ``clean`` belong together. One more file is
# the photograph to denoise. Its scene is in none of the pairs.

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import rawpy
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from skadl import ADLDenoiser, SourcePool, load_pairs, write_dng
from skadl.datasets import make_domain

temporary = TemporaryDirectory()
folder = Path(temporary.name)
(folder / "pairs" / "noisy").mkdir(parents=True)
(folder / "pairs" / "clean").mkdir()

camera, iso, light_factor = "CanonEOS70D", 6400, 10  # a tenth of the light
simulated = make_domain(
    camera, 12, size=128, iso=iso, ratio=light_factor, random_state=0
)
for number, pair in enumerate(simulated):
    write_dng(folder / "pairs" / "noisy" / f"{number:02}.dng", pair.noisy)
    write_dng(folder / "pairs" / "clean" / f"{number:02}.dng", pair.clean)

(photograph,) = make_domain(
    camera,
    1,
    size=384,
    iso=iso,
    ratio=light_factor,
    scenes="photographs-test",
    random_state=3,
)
raw_file = write_dng(folder / "photograph.dng", photograph.noisy)

# %%
# Files of a camera say their exposure times, and the light factor follows from them.
# These do not, so it is given.

pairs = load_pairs(folder / "pairs", ratio=light_factor)
print(pairs.summary().replace(str(folder), "..."))

# %%
# Fit
# ---
# From the network that comes with skadl, with far fewer steps than the default.

sources = {
    name: make_domain(name, 20, size=128, random_state=1)
    for name in ("SonyA7S2", "NikonD850", "IMX686")
}
denoiser = ADLDenoiser(n_iter=120, n_finetune_iter=20, patch_size=32, random_state=0)
denoiser.fit(pairs, source_pairs=SourcePool(sources))

# %%
# Denoise the file and write a DNG
# --------------------------------
# A RAW file holds whole counts. In the shadows the truth lies between them, so the
# result is asked for in fractions; ``write_dng`` then uses all 16 bits. Colours,
# white balance and EXIF are those of the template.

denoised = denoiser.predict(raw_file, ratio=light_factor, dtype=np.float32)
dng = write_dng(folder / "denoised.dng", denoised, template=raw_file)
for path in (raw_file, dng):
    with rawpy.imread(str(path)) as raw:
        levels = np.mean(raw.black_level_per_channel), raw.white_level
        print(f"{path.name}: black {levels[0]:g}, white {levels[1]} counts")

# %%
# Look at both
# ------------
# LibRaw, on which many RAW programs build, opens the two files and develops them with
# the same settings. The pictures are 192 pixels wide. Most of the noise is gone, some
# stays as faint coloured blotches in the shadows, and the finest detail has become
# softer.


def develop(path):
    """Develop a file to sRGB at half size, brighter by the light factor."""
    with rawpy.imread(str(path)) as raw:
        return raw.postprocess(
            half_size=True,
            use_camera_wb=True,
            no_auto_bright=True,
            bright=light_factor,
        )


row, column, side = 60, 60, 64  # of the part to enlarge
outline = dict(linewidth=1.5, edgecolor="white", facecolor="none")
figure = Figure(figsize=(8, 8.3), layout="constrained")
for (whole, enlarged), path in zip(
    figure.subplots(2, 2).T, (raw_file, dng), strict=True
):
    picture = develop(path)
    whole.set_title(path.name, fontsize=13)
    whole.imshow(picture)
    whole.add_patch(Rectangle((column, row), side, side, **outline))
    enlarged.imshow(picture[row : row + side, column : column + side])
    for ax in (whole, enlarged):
        ax.set(xticks=[], yticks=[])
temporary.cleanup()
