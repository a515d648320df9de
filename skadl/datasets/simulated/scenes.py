"""Linear scenes to put before a simulated camera, from random leaves or photographs.

The photographs are those that scikit-learn and scikit-image carry in their wheels:
nothing is downloaded. "china" and "flower" are under CC BY 2.0, credited in
scikit-learn's ``datasets/images/README.txt``; the others are CC0 or public domain.
"""

from __future__ import annotations

import hashlib
import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

import numpy as np
import skimage.data
from skimage.transform import resize_local_mean
from sklearn.datasets import load_sample_image
from sklearn.utils import check_random_state, check_scalar

from skadl.datasets.simulated.dead_leaves import dead_leaves

SCENE_KINDS = (
    "mixture",
    "dead-leaves",
    "photographs",
    "mixture-test",
    "dead-leaves-test",
    "photographs-test",
)

PHOTOGRAPHS = ("china", "coffee", "chelsea", "rocket", "motorcycle")
TEST_PHOTOGRAPHS = ("flower", "astronaut")
# Photographs are made smaller, which averages out noise, JPEG blocks and demosaicing:
# by 2, or by less where a crop is large, but by 4/3 at least. Of a photograph that is
# then too small the rest is its mirror image.
_SHRINKAGE, _LEAST_SHRINKAGE = 2.0, 4 / 3


@dataclass(frozen=True, eq=False)
class Scene:
    """What a simulated camera looks at.

    Parameters
    ----------
    rgb : ndarray of shape (H, W, 3)
        Linear RGB in [0, 1], white-balanced: grey has equal values.
    name : str
        Becomes `RawPair.scene`. Crops of one photograph share its name, because
        they may overlap: as groups of a cross-validation they stay together.
    """

    rgb: np.ndarray
    name: str

    def __post_init__(self) -> None:
        rgb = np.asarray(self.rgb)
        if rgb.ndim != 3 or rgb.shape[2] != 3 or rgb.dtype.kind not in "uif":
            raise ValueError(
                "a scene must be linear RGB of shape (H, W, 3), got "
                f"{rgb.dtype} of shape {rgb.shape}."
            )
        if not (np.isfinite(rgb).all() and rgb.min() >= 0 and rgb.max() <= 1):
            raise ValueError(
                "a scene must lie in [0, 1] (linear light, 1 at saturation), got "
                f"values from {rgb.min()} to {rgb.max()}; divide by its white level."
            )


def make_scenes(
    kind: str, n_scenes: int, size: int | tuple[int, int], random_state: Any = None
) -> list[Scene]:
    """Draw scenes with the contrasts, edges and colours of natural images.

    Parameters
    ----------
    kind : str
        "dead-leaves": random occluding shapes, never twice the same.
        "photographs": crops of five photographs, mirrored at random, at half their
        resolution (where `size` needs more, at up to 3/4 of it).
        "mixture": the two in turn.
        With "-test" appended: scenes that the plain kinds never show, whatever the
        seeds, for measuring: two reserved photographs, leaves of another stream.
    n_scenes : int
    size : int or tuple of two ints
        Height and width in pixels. Beyond about 320 photographs become too small
        and are continued by reflection.
    random_state : int, RandomState or None

    Returns
    -------
    list of Scene
        Highlights (the 98 % quantile of green) lie between 0.2 and 1.1 of
        saturation, clipped at 1, so that dim and bright exposures occur.

    Raises
    ------
    ValueError
        If `kind` is unknown.

    Examples
    --------
    >>> scene, = make_scenes("photographs-test", 1, 64, random_state=0)
    >>> scene.rgb.shape, scene.name in ("flower", "astronaut")
    ((64, 64, 3), True)
    """
    if kind not in SCENE_KINDS:
        raise ValueError(
            f"scenes {kind!r} are not known; choose one of {list(SCENE_KINDS)} or "
            "pass a list of linear RGB arrays."
        )
    check_scalar(n_scenes, "n_scenes", numbers.Integral, min_val=1)
    size = check_size(size)
    is_test = kind.endswith("-test")
    makers = {
        "dead-leaves": (_leaves_scene,),
        "photographs": (_photograph_scene,),
        "mixture": (_leaves_scene, _photograph_scene),
    }[kind.removesuffix("-test")]
    seed = check_random_state(random_state).randint(2**31 - 1)
    scenes = []
    for index in range(n_scenes):
        # The test flag is part of the seed, so no seed shows a test scene in training.
        rng = np.random.default_rng([seed, index, int(is_test)])
        maker = makers[index % len(makers)]
        name = f"leaves-{'test-' if is_test else ''}{seed:08x}-{index}"
        scenes.append(maker(size, is_test, name, rng))
    return scenes


def check_scenes(
    scenes: Any, n_scenes: int, size: tuple[int, int], random_state: Any
) -> list[Scene]:
    """Turn what `make_domain` was given as scenes into `Scene` records of one size.

    Of a kind `n_scenes` are drawn; others, (H, W, 3), are cropped at their centre, and
    arrays are named after a hash of their content.
    """
    if scenes is None:
        scenes = "mixture"
    if isinstance(scenes, str):
        return make_scenes(scenes, n_scenes, size, random_state)
    if not isinstance(scenes, (Sequence, np.ndarray)):
        raise TypeError(
            "scenes must be a kind or a sequence of Scene or arrays, got "
            f"{type(scenes).__name__}."
        )
    if len(scenes) == 0:
        raise ValueError("scenes is empty; give at least one scene, or None.")
    return [_crop_centre(_as_scene(scene), size) for scene in scenes]


def check_size(size: Any) -> tuple[int, int]:
    """Turn a side or (height, width) into two ints of at least 2, or raise."""
    sides = np.broadcast_to(size, 2) if np.size(size) in (1, 2) else np.array([0.5])
    if sides.dtype.kind not in "iu" or sides.min() < 2:
        raise ValueError(
            "size must be one side or (height, width), integers of at least 2 "
            f"pixels, got {size!r}."
        )
    return int(sides[0]), int(sides[1])


def srgb_to_linear(encoded: np.ndarray) -> np.ndarray:
    """Undo the sRGB transfer curve (IEC 61966-2-1), from [0, 1] to [0, 1].

    >>> float(srgb_to_linear(0.5).round(3))
    0.214
    """
    encoded = np.asarray(encoded)
    return np.where(
        encoded <= 0.04045, encoded / 12.92, ((encoded + 0.055) / 1.055) ** 2.4
    )


def _leaves_scene(
    size: tuple[int, int], is_test: bool, name: str, rng: np.random.Generator
) -> Scene:
    return Scene(_set_exposure(dead_leaves(size, rng), rng), name)


def _photograph_scene(
    size: tuple[int, int], is_test: bool, name: str, rng: np.random.Generator
) -> Scene:
    names = TEST_PHOTOGRAPHS if is_test else PHOTOGRAPHS
    fitting = [name for name in names if _shrinkage(name, size) >= _LEAST_SHRINKAGE]
    name = rng.choice(fitting or names)
    shrinkage = np.clip(_shrinkage(name, size), _LEAST_SHRINKAGE, _SHRINKAGE)
    rgb = _crop_at_random(_photograph(name, float(shrinkage)), size, rng)
    if rng.random() < 0.5:
        rgb = rgb[:, ::-1]
    if rng.random() < 0.5:
        rgb = rgb[::-1]
    tint = np.exp(rng.normal(0, 0.08, 3)).astype(np.float32)
    return Scene(_set_exposure(rgb * tint, rng), str(name))


def _shrinkage(name: str, size: tuple[int, int]) -> float:
    """How far a photograph may shrink until a crop of `size` is all of it."""
    height, width = _encoded_photograph(name).shape[:2]
    return min(height / size[0], width / size[1])


def _set_exposure(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    bright = max(float(np.quantile(rgb[..., 1], 0.98)), 1e-6)
    exposure = np.exp(rng.uniform(np.log(0.2), np.log(1.1)))
    return np.clip(rgb * np.float32(exposure / bright), 0, 1)


def _crop_at_random(
    image: np.ndarray, size: tuple[int, int], rng: np.random.Generator
) -> np.ndarray:
    height, width = size
    below = max(0, height - image.shape[0])
    right = max(0, width - image.shape[1])
    image = np.pad(image, ((0, below), (0, right), (0, 0)), mode="symmetric")
    top = rng.integers(image.shape[0] - height + 1)
    left = rng.integers(image.shape[1] - width + 1)
    return image[top : top + height, left : left + width]


@cache
def _encoded_photograph(name: str) -> np.ndarray:
    if name in ("china", "flower"):
        return load_sample_image(f"{name}.jpg")
    if name == "motorcycle":
        return skimage.data.stereo_motorcycle()[0]
    return getattr(skimage.data, name)()


@lru_cache(maxsize=32)
def _photograph(name: str, shrinkage: float) -> np.ndarray:
    """Linear photograph, (height / shrinkage, width / shrinkage, 3)."""
    # Resized in float64: in float32 the last bits depend on how many threads BLAS has,
    # and a fit that goes on in another process would not know its pairs again.
    linear = srgb_to_linear(np.arange(256) / 255)[_encoded_photograph(name)]
    # The shrinkage may be just that at which a side becomes a whole number.
    height, width = (int(side / shrinkage + 1e-6) for side in linear.shape[:2])
    resized = resize_local_mean(linear, (height, width), channel_axis=2)
    return resized.astype(np.float32)


def _as_scene(scene: Any) -> Scene:
    if isinstance(scene, Scene):
        return scene
    rgb = np.ascontiguousarray(scene)
    digest = hashlib.blake2b(rgb.tobytes(), digest_size=6).hexdigest()
    return Scene(rgb, f"scene-{digest}")


def _crop_centre(scene: Scene, size: tuple[int, int]) -> Scene:
    height, width = size
    top = (scene.rgb.shape[0] - height) // 2
    left = (scene.rgb.shape[1] - width) // 2
    if top < 0 or left < 0:
        raise ValueError(
            f"scene {scene.name!r} of shape {scene.rgb.shape} is smaller than the "
            f"size asked for, {size}; ask for a smaller size or give larger scenes."
        )
    return Scene(scene.rgb[top : top + height, left : left + width], scene.name)
