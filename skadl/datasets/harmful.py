"""Source pairs that do harm, under the name of an honest camera.

The two synthetic sets of Table 5 of the paper on adaptive domain learning, which a
training that selects its data must leave out.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from skadl.datasets.cameras import Camera, get_camera
from skadl.datasets.domains import draw_isos, draw_ratios, label_pair
from skadl.datasets.exposures import add_camera_noise, expose, mosaic_scene
from skadl.datasets.scenes import check_scenes, check_size
from skadl.records import RawPair, check_positive

HARMFUL_TRUTHS = ("other-scene", "shifted", "black")


def make_harmful_noise(
    n_pairs: int,
    *,
    camera: str | Camera,
    size: int | tuple[int, int],
    sigma: float = 30 / 255,
    iso: float | Sequence[float] | None = None,
    scenes: Any = None,
    random_state: Any = None,
) -> list[RawPair]:
    """Make "Harmful1": bright content with plain Gaussian noise.

    The pictures are display-referred (gamma 2.2, grey-balanced) as if photographs
    had been taken for raw data, and carry the name and an ISO of `camera`, whose
    noise they do not have.

    Parameters
    ----------
    n_pairs : int
    camera : str or Camera
        Whose name, CFA, levels and ISO range the pairs carry.
    size : int or tuple of two ints
        Side of the mosaics, or height and width, in pixels.
    sigma : float, default=30/255
        Standard deviation of the noise, as a part of white level minus black level.
    iso, scenes, random_state
        As in `make_domain`. The light factor is 1.

    Returns
    -------
    list of RawPair
    """
    camera = get_camera(camera)
    size = check_size(size)
    check_positive("sigma", sigma)
    check_scalar(n_pairs, "n_pairs", numbers.Integral, min_val=1)
    rng = check_random_state(random_state)
    shown = check_scenes(scenes, n_pairs, size, rng)
    isos = draw_isos(camera, iso, n_pairs, rng)
    noise_rng = np.random.default_rng(rng.randint(2**31 - 1))
    span = camera.white_level - camera.black_level
    pairs = []
    for index, iso_ in enumerate(isos):
        scene = shown[index % len(shown)]
        bright = max(float(np.quantile(scene.rgb, 0.995)), 1e-6)
        clean = mosaic_scene((scene.rgb / bright) ** (1 / 2.2), camera)
        noisy = clean + sigma * span * noise_rng.standard_normal(size)
        noisy = np.clip(np.rint(noisy), 0, camera.white_level).astype(np.uint16)
        pairs.append(label_pair(noisy, clean, camera, iso_, 1.0, scene.name))
    return pairs


def make_harmful_truth(
    n_pairs: int,
    *,
    camera: str | Camera,
    size: int | tuple[int, int],
    truth: str | Sequence[str] = HARMFUL_TRUTHS,
    shift: int = 16,
    iso: float | Sequence[float] | None = None,
    ratio: float | Sequence[float] | None = None,
    scenes: Any = None,
    random_state: Any = None,
) -> list[RawPair]:
    """Make "Harmful2": honest noise with a misaligned or black ground truth.

    Parameters
    ----------
    n_pairs : int
    camera : str or Camera
        Whose noise, name and levels the pairs have.
    size : int or tuple of two ints
        Side of the mosaics, or height and width, in pixels.
    truth : str or sequence of str
        What is wrong: "other-scene" (that of the next pair, turned by half a
        circle), "shifted" (the same scene, `shift` pixels off in both directions)
        or "black". A sequence is gone through in turn; by default all three.
    shift : int, default=16
        In pixels, even, so that the CFA still fits.
    iso, ratio, scenes, random_state
        As in `make_domain`; for "shifted", own scenes must exceed `size` by `shift`.

    Returns
    -------
    list of RawPair

    Raises
    ------
    ValueError
        If `truth` is unknown or `shift` is odd.
    """
    camera = get_camera(camera)
    height, width = check_size(size)
    check_scalar(n_pairs, "n_pairs", numbers.Integral, min_val=1)
    check_scalar(shift, "shift", numbers.Integral, min_val=2)
    kinds = (truth,) if isinstance(truth, str) else tuple(truth)
    if not kinds or not set(kinds) <= set(HARMFUL_TRUTHS):
        raise ValueError(
            f"truth must be one or more of {list(HARMFUL_TRUTHS)}, got {truth!r}."
        )
    if shift % 2:
        raise ValueError(f"shift must be even so that the CFA fits, got {shift}.")
    rng = check_random_state(random_state)
    margin = shift if "shifted" in kinds else 0
    shown = check_scenes(scenes, n_pairs, (height + margin, width + margin), rng)
    isos = draw_isos(camera, iso, n_pairs, rng)
    ratios = draw_ratios(camera, ratio, n_pairs, rng)
    noise_rng = np.random.default_rng(rng.randint(2**31 - 1))
    pairs = []
    for index, (iso_, ratio_) in enumerate(zip(isos, ratios, strict=True)):
        scene = shown[index % len(shown)]
        noisy = add_camera_noise(
            expose(scene.rgb[:height, :width], camera),
            camera,
            iso_,
            ratio=ratio_,
            random_state=noise_rng,
        )
        kind = kinds[index % len(kinds)]
        if kind == "black":
            wrong = np.zeros((height, width, 3), np.float32)
        elif kind == "shifted":
            wrong = scene.rgb[margin:, margin:]
        else:
            # Turned by half a circle: wrong even where only one scene is given.
            other = shown[(index + 1) % len(shown)]
            wrong = other.rgb[::-1, ::-1][:height, :width]
        clean = expose(wrong, camera)
        pairs.append(label_pair(noisy, clean, camera, iso_, ratio_, scene.name))
    return pairs
