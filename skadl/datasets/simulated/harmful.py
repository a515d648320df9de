"""Source pairs that do harm, under the name of a real camera.

The two synthetic sets of Table 5 of the paper on adaptive domain learning, and single
spoiled pairs inside a good domain: a training that selects its data must leave out
both.
"""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.utils import check_random_state, check_scalar

from skadl.datasets.simulated.camera_noise import add_camera_noise, expose, mosaic_scene
from skadl.datasets.simulated.cameras import Camera, get_camera
from skadl.datasets.simulated.domains import draw_settings, label_pair
from skadl.datasets.simulated.scenes import check_size
from skadl.raw.image import RawImage, check_positive
from skadl.raw.mosaic import unpack_mosaic
from skadl.raw.pair import RawPair

HARMFUL_TRUTHS = ("other-scene", "shifted", "black")

SPOILED_KINDS = (
    "misaligned by 2",
    "misaligned by 4",
    "misaligned by 16",
    "black truth",
    "other scene",
    "truths exchanged",
    "ratio times 0.5",
    "ratio times 1.5",
    "ratio times 2",
    "iso times 0.25",
    "iso times 4",
    "iso times 8",
    "noisy as clean",
)


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
    shown, isos, _, noise_rng = draw_settings(
        camera, n_pairs, size, iso, 1.0, scenes, random_state
    )
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
    """Make "Harmful2": true noise with a misaligned or black ground truth.

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
    check_scalar(shift, "shift", numbers.Integral, min_val=2)
    kinds = (truth,) if isinstance(truth, str) else tuple(truth)
    if not kinds or not set(kinds) <= set(HARMFUL_TRUTHS):
        raise ValueError(
            f"truth must be one or more of {list(HARMFUL_TRUTHS)}, got {truth!r}."
        )
    if shift % 2:
        raise ValueError(f"shift must be even so that the CFA fits, got {shift}.")
    margin = shift if "shifted" in kinds else 0
    size = height + margin, width + margin
    shown, isos, ratios, noise_rng = draw_settings(
        camera, n_pairs, size, iso, ratio, scenes, random_state
    )
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


def spoil_pairs(
    pairs: Sequence[RawPair],
    kinds: str | Sequence[str] = SPOILED_KINDS,
    share: float = 0.2,
    random_state: Any = None,
) -> tuple[list[RawPair], dict[int, str]]:
    """Hide harmful pairs in a good domain, to see whether they are found.

    Parameters
    ----------
    pairs : sequence of RawPair
        At least two, of one mosaic shape and CFA pattern; left as they are.
    kinds : str or sequence of str
        What goes wrong, of `SPOILED_KINDS`; a sequence is gone through in turn.

        - "misaligned by N": the clean frame is moved by N pixels along rows, columns
          or both; what enters is mirrored at the border.
        - "black truth": the clean frame is its black level.
        - "other scene": the clean frame is another pair's, turned by half a circle.
        - "truths exchanged": such pairs pass their clean frames on to one another; a
          single one exchanges its own with a good pair, which is spoiled, too.
        - "ratio times F", "iso times F": a wrong label, of light factor or ISO.
        - "noisy as clean": the two frames change places and keep their labels.
    share : float, default=0.2
        Part of the pairs to spoil, above 0 and at most 1, rounded to at least one.
    random_state : int, RandomState or None

    Returns
    -------
    pairs : list of RawPair
        In the order given; scenes keep their names.
    spoiled : dict of int to str
        Kind by index of the spoiled pairs, in rising order.

    Raises
    ------
    ValueError
        If a kind is unknown, `share` out of range, or the pairs do not fit together.

    Examples
    --------
    >>> from skadl.datasets import make_domain
    >>> pairs = make_domain("Pixel4a", 5, size=32, iso=400, random_state=0)
    >>> mixed, spoiled = spoil_pairs(pairs, "iso times 4", random_state=0)
    >>> [(index, mixed[index].iso) for index in spoiled]
    [(2, 1600.0)]
    """
    kinds = (kinds,) if isinstance(kinds, str) else tuple(kinds)
    if not kinds or not set(kinds) <= set(SPOILED_KINDS):
        raise ValueError(
            f"kinds must be one or more of {list(SPOILED_KINDS)}, got {kinds!r}."
        )
    check_scalar(
        share, "share", numbers.Real, min_val=0, max_val=1, include_boundaries="right"
    )
    pairs = list(pairs)
    shapes = {(pair.clean.mosaic.shape, pair.clean.cfa) for pair in pairs}
    if len(pairs) < 2 or len(shapes) > 1:
        raise ValueError(
            "spoil_pairs exchanges clean frames and needs two pairs or more of one "
            f"shape and CFA pattern, got {len(pairs)} pairs of {sorted(shapes)}."
        )
    rng = check_random_state(random_state)
    order = rng.permutation(len(pairs)).tolist()
    n_spoiled = max(1, round(share * len(pairs)))
    spoiled = {
        index: kinds[i % len(kinds)] for i, index in enumerate(order[:n_spoiled])
    }
    exchanged = [i for i, kind in spoiled.items() if kind == "truths exchanged"]
    if len(exchanged) == 1:
        # A partner is needed: a good pair, or any where all are spoiled.
        exchanged.append([i for i in order[::-1] if i != exchanged[0]][0])
        spoiled[exchanged[1]] = "truths exchanged"
    givers = dict(zip(exchanged, np.roll(exchanged, 1).tolist(), strict=True))
    mixed = list(pairs)
    for index, kind in spoiled.items():
        giver = givers.get(index)
        if giver is None:
            giver = (index + rng.randint(1, len(pairs))) % len(pairs)
        mixed[index] = _spoil(pairs[index], kind, pairs[giver].clean, rng)
    return mixed, dict(sorted(spoiled.items()))


def _spoil(
    pair: RawPair, kind: str, other: RawImage, rng: np.random.RandomState
) -> RawPair:
    noisy, clean = pair.noisy, pair.clean
    fault, _, number = kind.rpartition(" ")
    if fault == "misaligned by":
        return replace(pair, clean=_move(clean, int(number), rng))
    read = noisy.with_mosaic(noisy.mosaic)  # a lazy frame has no fields to replace
    if fault == "ratio times":
        return replace(pair, noisy=replace(read, ratio=noisy.ratio * float(number)))
    if fault == "iso times":
        return replace(pair, noisy=replace(read, iso=noisy.iso * float(number)))
    if kind == "black truth":
        black = np.broadcast_to(clean.black_planes[:, None, None], clean.packed().shape)
        return replace(pair, clean=_with_planes(clean, black))
    if kind == "other scene":
        return replace(pair, clean=_with_planes(other, other.packed()[:, ::-1, ::-1]))
    if kind == "truths exchanged":
        return replace(pair, clean=other)
    return replace(pair, noisy=clean, clean=noisy)


def _move(image: RawImage, shift: int, rng: np.random.RandomState) -> RawImage:
    """Shift by an even number of pixels: mirroring about a pixel keeps the CFA, too."""
    directions = [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1) if (i, j) != (0, 0)]
    down, right = directions[rng.randint(len(directions))]
    height, width = image.mosaic.shape
    padded = np.pad(image.mosaic, shift, mode="reflect")
    top, left = shift - down * shift, shift - right * shift
    return image.with_mosaic(padded[top : top + height, left : left + width])


def _with_planes(image: RawImage, planes: np.ndarray) -> RawImage:
    mosaic = unpack_mosaic(planes, image.cfa).astype(image.mosaic.dtype)
    return image.with_mosaic(mosaic)
