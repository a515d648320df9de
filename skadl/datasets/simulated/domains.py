"""Pairs of a simulated camera."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from skadl.datasets.simulated.camera_noise import add_camera_noise, expose
from skadl.datasets.simulated.cameras import Camera, get_camera
from skadl.datasets.simulated.scenes import Scene, check_scenes, check_size
from skadl.raw.image import RawImage, check_positive
from skadl.raw.pair import RawPair


def make_domain(
    camera: str | Camera,
    n_pairs: int,
    *,
    size: int | tuple[int, int],
    iso: float | Sequence[float] | None = None,
    ratio: float | Sequence[float] | None = None,
    scenes: Any = None,
    random_state: Any = None,
) -> list[RawPair]:
    """Photograph scenes with a simulated camera: noisy and clean pairs.

    Parameters
    ----------
    camera : str or Camera
        One of `camera_names()`, or a `Camera` of your own.
    n_pairs : int
    size : int or tuple of two ints
        Side of the mosaics, or height and width, in pixels.
    iso : float or sequence of float, optional
        One ISO for all; a sequence of `n_pairs` gives each pair its own; from a
        sequence of another length each pair draws one. None draws log-uniformly
        from the camera's range, rounded to integers.
    ratio : float or sequence of float, optional
        Light factors, read like `iso`. None draws from the camera's `ratios`.
    scenes : str, or sequence of Scene or ndarray of shape (H, W, 3), optional
        A kind of `make_scenes` (None means "mixture"; kinds with "-test" are never
        seen in the others), or linear RGB scenes in [0, 1]: pair i shows scene
        ``i % len(scenes)``, cropped at its centre.
    random_state : int, RandomState or None
        The same int shows the same scenes to any camera at any ISO and ratio.

    Returns
    -------
    list of RawPair
        Noisy mosaics are uint16; clean ones float32 at full exposure, so that dark
        scenes are not quantised: the mean of ``noisy - black`` is ``(clean - black)
        / ratio`` plus the camera's colour bias. `RawPair.scene` names the scene.

    Raises
    ------
    ValueError
        If an ISO is outside the camera's range, a scene is too small, or a name is
        unknown.

    Examples
    --------
    >>> pair, = make_domain("SonyA7S2", 1, size=32, iso=1600, ratio=30,
    ...                     random_state=0)
    >>> pair.noisy
    RawImage(32x32 RGGB, sensor='SonyA7S2', iso=1600, ratio=30)
    """
    camera = get_camera(camera)
    shown, isos, ratios, noise_rng = draw_settings(
        camera, n_pairs, check_size(size), iso, ratio, scenes, random_state
    )
    pairs = []
    for index, (iso_, ratio_) in enumerate(zip(isos, ratios, strict=True)):
        scene = shown[index % len(shown)]
        clean = expose(scene.rgb, camera)
        noisy = add_camera_noise(
            clean, camera, iso_, ratio=ratio_, random_state=noise_rng
        )
        pairs.append(label_pair(noisy, clean, camera, iso_, ratio_, scene.name))
    return pairs


def draw_settings(
    camera: Camera,
    n_pairs: int,
    size: tuple[int, int],
    iso: float | Sequence[float] | None,
    ratio: float | Sequence[float] | None,
    scenes: Any,
    random_state: Any,
) -> tuple[list[Scene], list[float], list[float], np.random.Generator]:
    """Scenes, which the pairs show in turn; ISO and ratio of each; the noise stream."""
    check_scalar(n_pairs, "n_pairs", numbers.Integral, min_val=1)
    rng = check_random_state(random_state)
    # Scenes first: a seed shows the same ones whatever the camera and its settings.
    shown = check_scenes(scenes, n_pairs, size, rng)
    isos = draw_isos(camera, iso, n_pairs, rng)
    ratios = draw_ratios(camera, ratio, n_pairs, rng)
    return shown, isos, ratios, np.random.default_rng(rng.randint(2**31 - 1))


def draw_isos(
    camera: Camera,
    iso: float | Sequence[float] | None,
    n_pairs: int,
    rng: np.random.RandomState,
) -> list[float]:
    """Choose the ISO of each pair as `make_domain` documents it."""
    low, high = camera.iso_range
    if iso is None:
        drawn = np.exp(rng.uniform(np.log(low), np.log(high), n_pairs))
        return [float(value) for value in np.clip(np.rint(drawn), low, high)]
    isos = _spread("iso", iso, n_pairs, rng)
    for value in isos:
        camera.gain_at(value)  # refuses what the camera does not reach
    return isos


def draw_ratios(
    camera: Camera,
    ratio: float | Sequence[float] | None,
    n_pairs: int,
    rng: np.random.RandomState,
) -> list[float]:
    """Choose the light factor of each pair as `make_domain` documents it."""
    if ratio is None:
        return [float(value) for value in rng.choice(camera.ratios, n_pairs)]
    return _spread("ratio", ratio, n_pairs, rng)


def label_pair(
    noisy: np.ndarray,
    clean: np.ndarray,
    camera: Camera,
    iso: float,
    ratio: float,
    scene: str,
) -> RawPair:
    """Make a pair of two mosaics, with a camera's levels and name."""
    metadata = (camera.cfa, camera.black_level, camera.white_level, camera.name, iso)
    images = RawImage(noisy, *metadata, ratio), RawImage(clean, *metadata)
    return RawPair(*images, scene)


def _spread(
    name: str, values: Any, n_pairs: int, rng: np.random.RandomState
) -> list[float]:
    """One value for each pair: repeated, taken in order, or drawn."""
    if np.ndim(values) == 0:
        return [check_positive(name, values)] * n_pairs
    choices = [check_positive(name, value) for value in values]
    if not choices:
        raise ValueError(f"{name} is an empty sequence; give one value or more.")
    if len(choices) == n_pairs:
        return choices
    return [choices[index] for index in rng.randint(len(choices), size=n_pairs)]
