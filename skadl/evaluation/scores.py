"""PSNR and SSIM as the field's papers compute them, each under a protocol's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import maximum_filter
from skimage.metrics import structural_similarity

from skadl.evaluation.metrics import decibels
from skadl.evaluation.protocols import Protocol, Score, get_protocol
from skadl.raw.image import RawImage, window_of
from skadl.raw.mosaic import mosaic_of
from skadl.raw.pair import RawPair, check_pairs_sequence
from skadl.support.robust import robust_sigma

# A clean frame with less than this share of its pixels above one step of 8 bits is
# black: a wrong black level, which the illuminance correction would reward.
_LEAST_LIT, _LIT = 0.01, 1 / 255
# Robust deviations of a plane, above which a star is; packed pixels that it may be off;
# share of a frame that must be left.
_STAR, _NEAR, _LEAST_SKY = 5.0, 2, 0.1


def evaluate(denoised: Any, clean: Any, *, protocol: str = "skadl") -> Score:
    """Score denoised images against their clean partners as a paper does.

    Parameters
    ----------
    denoised, clean : ndarray of shape (planes, h, w), RawImage, or sequence of either
        Planes are normalised, black at 0 and white at 1, and brightened by the light
        factor; a `RawImage` is normalised here. Under "sid" both are cut to their
        middle, so give whole frames or those 512x512 pixels.
    protocol : {"sid", "eld", "pmn", "led", "sidd", "skadl", "sky"}, default="skadl"

    Returns
    -------
    Score
        Of sequences the mean, with each image's score in `images`.

    Raises
    ------
    ValueError
        If the protocol is not known, numbers or shapes differ, a frame is too small
        for the protocol, a value is not finite, or a clean frame is black where the
        protocol corrects the brightness.

    Notes
    -----
    The correction is the factor ``sum(p * s) / sum(p * p)`` over the pixels where the
    clean image s is not 1, with p the denoised image clipped to [0, 1]. Papers that
    use it gain about half a decibel (Feng et al., PMN, README), and more where the
    black level is off.

    Examples
    --------
    >>> import numpy as np
    >>> clean = np.full((4, 16, 16), 0.5)
    >>> print(evaluate(0.9 * clean, clean))
    26.02 dB, SSIM 0.9945 (protocol skadl, 1 image)
    >>> print(evaluate(0.9 * clean, clean, protocol="eld"))
    96.33 dB, SSIM 1.0000 (protocol eld, 1 image)
    """
    rules = get_protocol(protocol)
    is_one = [
        isinstance(images, RawImage)
        or (isinstance(images, np.ndarray) and images.ndim == 3)
        for images in (denoised, clean)
    ]
    if all(is_one):
        return _score(_planes(denoised), _planes(clean), rules)
    if any(is_one):
        raise ValueError(
            "got one image and a sequence of images; give one clean image for each "
            "denoised one."
        )
    denoised, clean = list(denoised), list(clean)
    if len(denoised) != len(clean) or not clean:
        raise ValueError(
            f"got {len(denoised)} denoised and {len(clean)} clean images; give one "
            "clean image for each denoised one, and at least one."
        )
    return _mean(
        [
            _score(_planes(d), _planes(c), rules)
            for d, c in zip(denoised, clean, strict=True)
        ],
        rules,
    )


def evaluate_pairs(
    denoiser: Callable[[RawImage], RawImage] | Any,
    pairs: Sequence[RawPair],
    *,
    protocol: str = "skadl",
) -> Score:
    """Denoise the noisy frame of each pair and score it as a paper does.

    Parameters
    ----------
    denoiser : ADLDenoiser, object with ``predict``, callable, or None
        A fitted estimator, or anything that turns a `RawImage` into a denoised one.
        None scores the noisy frames as they are: what denoising starts from.
    pairs : sequence of RawPair
        Frames are read one pair at a time.
    protocol : {"sid", "eld", "pmn", "led", "sidd", "skadl", "sky"}, default="skadl"
        Under "skadl" an `ADLDenoiser` gets what its own ``score`` says.

    Returns
    -------
    Score
        The mean, with each pair's score in `images`.

    Raises
    ------
    NotFittedError
        If the denoiser was not fitted.
    TypeError
        If `denoiser` is none of these.
    ValueError
        As `evaluate`, or if there are no pairs.

    Notes
    -----
    The crop of a protocol comes before denoising. What a network is shown stays as it
    is: counts below black are kept, although the code of ELD clips them.

    Examples
    --------
    >>> from skadl.datasets import make_domain
    >>> pairs = make_domain("SonyA7S2", 2, size=32, random_state=0)
    >>> evaluate_pairs(None, pairs, protocol="eld").n_images
    2
    """
    rules = get_protocol(protocol)
    checked = check_pairs_sequence(pairs, "pairs")
    if not checked:
        raise ValueError("got no pairs to score; give at least one RawPair.")
    denoise = _as_function(denoiser)
    scores = []
    for pair in checked:
        noisy, clean = (_middle(image, rules) for image in (pair.noisy, pair.clean))
        scores.append(_score(denoise(noisy), clean.normalised(), rules))
    return _mean(scores, rules)


def _as_function(denoiser: Any) -> Callable[[RawImage], np.ndarray]:
    if denoiser is None:
        return RawImage.normalised
    if hasattr(denoiser, "denoise_planes"):  # before its counts are rounded
        return denoiser.denoise_planes
    apply = getattr(denoiser, "predict", denoiser)
    if not callable(apply):
        raise TypeError(
            "denoiser must be a fitted ADLDenoiser, an object with predict, a function "
            f"of a RawImage, or None for no denoising; got {type(denoiser).__name__}."
        )
    return lambda image: _planes(apply(image))


def _planes(image: Any) -> np.ndarray:
    if isinstance(image, RawImage):
        return image.normalised()
    planes = np.asarray(image)
    if planes.ndim != 3 or planes.dtype.kind not in "uif" or planes.size == 0:
        raise ValueError(
            "an image to score is a RawImage or planes of shape (planes, h, w), got "
            f"{planes.dtype} of shape {planes.shape}; pack mosaics with "
            "RawImage.normalised."
        )
    return planes


def _middle_slices(height: int, width: int, rules: Protocol) -> tuple[slice, slice]:
    """Middle of a packed frame, where ELD's code takes it."""
    side = rules.crop
    if side is None:
        return slice(None), slice(None)
    if min(height, width) < side:
        raise ValueError(
            f"protocol {rules.name!r} scores the middle {side}x{side} of packed "
            f"planes, got {height}x{width}; give larger frames, or score whole ones "
            "under 'pmn'."
        )
    top, left = (n // 2 - side // 2 for n in (height, width))
    return slice(top, top + side), slice(left, left + side)


def _middle(image: RawImage, rules: Protocol) -> RawImage:
    image = image.with_mosaic(image.mosaic)  # a lazy image reads at every access
    side = mosaic_of(image.cfa).side
    sides = (length // side for length in image.mosaic.shape)
    rows, columns = _middle_slices(*sides, rules)
    return image if rules.crop is None else window_of(image, rows, columns)


def _score(denoised: np.ndarray, clean: np.ndarray, rules: Protocol) -> Score:
    if denoised.shape != clean.shape:
        raise ValueError(
            "a denoised and its clean image must have one shape, got "
            f"{denoised.shape} and {clean.shape}."
        )
    if not (np.isfinite(denoised).all() and np.isfinite(clean).all()):
        raise ValueError("images to score must be finite; got NaN or infinity.")
    needed = (11 if rules.gaussian_ssim else 7) + 2 * rules.border  # a window of SSIM
    if min(clean.shape[1:]) < needed:
        raise ValueError(
            f"protocol {rules.name!r} needs packed planes of at least "
            f"{needed}x{needed}, got {clean.shape[1]}x{clean.shape[2]}; give larger "
            "frames."
        )
    rows, columns = _middle_slices(*clean.shape[1:], rules)
    denoised, clean = (
        np.clip(planes[:, rows, columns], 0, 1).astype(float)
        for planes in (denoised, clean)
    )
    if rules.corrected:
        denoised = _correct_illuminance(denoised, clean, rules)
    if rules.border:
        inside = slice(rules.border, -rules.border)
        denoised, clean = (p[:, inside, inside] for p in (denoised, clean))
    share = 1.0  # of the pixels, that are judged
    if rules.on_sky:
        is_sky = _sky(clean)
        denoised, share = np.where(is_sky, denoised, clean), is_sky.mean()
    mse = np.mean((denoised - clean) ** 2) / share + rules.mse_offset
    return Score(
        decibels(mse),
        _ssim(denoised, clean, rules.gaussian_ssim),
        rules.name,
    )


def _correct_illuminance(
    denoised: np.ndarray, clean: np.ndarray, rules: Protocol
) -> np.ndarray:
    if np.mean(clean > _LIT) < _LEAST_LIT:
        raise ValueError(
            f"a clean image is black: under protocol {rules.name!r} the brightness is "
            "corrected, and any image would score well against it. Check black level "
            "and light factor of the pair, or leave it out."
        )
    # The factor of least squares: it minimises sum((k * denoised - clean)**2) where the
    # clean image is not saturated.
    is_lit = clean != 1
    power = np.sum(denoised[is_lit] ** 2)
    if power > 0:
        denoised = denoised * (np.sum(denoised[is_lit] * clean[is_lit]) / power)
    return np.clip(denoised, 0, 1) if rules.clips_corrected else denoised


def _sky(clean: np.ndarray) -> np.ndarray:
    """Where planes (4, h, w) show sky: no star near, nor what a shift left empty."""
    middle = np.median(clean, axis=(1, 2), keepdims=True)
    spread = np.array([robust_sigma(p) for p in clean - middle])[:, None, None]
    is_star = clean > middle + _STAR * spread
    near = maximum_filter(is_star, (1, 2 * _NEAR + 1, 2 * _NEAR + 1))
    is_sky = ~near & (clean >= 0.5 * middle)
    if is_sky.mean() < _LEAST_SKY:
        raise ValueError(
            f"{is_sky.mean():.0%} of a clean frame is sky between stars, and protocol "
            f"'sky' scores that alone; at least {_LEAST_SKY:.0%} are needed. Score "
            "other pictures under 'skadl'."
        )
    return is_sky


def _ssim(denoised: np.ndarray, clean: np.ndarray, gaussian: bool) -> float:
    options = {}
    if gaussian:
        options = dict(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    return float(
        structural_similarity(clean, denoised, data_range=1, channel_axis=0, **options)
    )


def _mean(scores: Sequence[Score], rules: Protocol) -> Score:
    return Score(
        float(np.mean([score.psnr for score in scores])),
        float(np.mean([score.ssim for score in scores])),
        rules.name,
        len(scores),
        tuple(scores),
    )
