"""How close a denoised image is to its clean partner: PSNR and SSIM."""

from __future__ import annotations

import numpy as np
from skimage.metrics import structural_similarity

# No 16-bit file resolves an error below one step, so no score is infinite.
SMALLEST_MSE = (1.0 / 65535.0) ** 2


def psnr(
    prediction: np.ndarray, truth: np.ndarray, *, data_range: float = 1.0
) -> float:
    """Peak signal-to-noise ratio, finite even for identical images.

    Parameters
    ----------
    prediction, truth : ndarray of equal shape
        Any layout; skadl's scores use packed planes in [0, 1].
    data_range : float, default=1.0
        Distance between black and white.

    Returns
    -------
    float
        In dB. The mean squared error is floored at one 16-bit step squared, so
        equal images score 96.3 dB and not infinity, which would win every search.

    Raises
    ------
    TypeError
        If it is called as a scorer, with an estimator.
    ValueError
        If shapes differ, a value is not finite or `data_range` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> round(psnr(np.full((2, 2), 0.6), np.full((2, 2), 0.5)), 2)
    20.0
    """
    prediction, truth = _check_images(prediction, truth, data_range)
    with np.errstate(over="ignore"):
        mse = np.mean((prediction - truth) ** 2) / data_range**2
    if not np.isfinite(mse):
        raise ValueError("prediction and truth differ by more than float64 can square.")
    return decibels(mse)


def decibels(mse: float) -> float:
    """PSNR of a mean squared error, of images with black at 0 and white at 1."""
    return float(-10 * np.log10(max(mse, SMALLEST_MSE)))


def clipped_psnr(planes: np.ndarray, clean: np.ndarray) -> float:
    """PSNR in dB of normalised planes, beyond black and white clipped as skadl does."""
    return psnr(np.clip(planes, 0, 1), np.clip(clean, 0, 1))


def ssim(
    prediction: np.ndarray, truth: np.ndarray, *, data_range: float = 1.0
) -> float:
    """Structural similarity, averaged over planes (scikit-image, 7x7 window).

    Parameters
    ----------
    prediction, truth : ndarray of shape (H, W) or (planes, H, W)
        H and W at least 7.
    data_range : float, default=1.0
        Distance between black and white.

    Returns
    -------
    float
        At most 1.

    Raises
    ------
    TypeError
        If it is called as a scorer, with an estimator.
    ValueError
        If shapes differ or are too small, or a value is not finite.
    """
    prediction, truth = _check_images(prediction, truth, data_range)
    if prediction.ndim not in (2, 3) or min(prediction.shape[-2:]) < 7:
        raise ValueError(
            "ssim needs images of shape (H, W) or (planes, H, W) with sides of at "
            f"least 7, got {prediction.shape}."
        )
    channel_axis = 0 if prediction.ndim == 3 else None
    return float(
        structural_similarity(
            prediction, truth, data_range=data_range, channel_axis=channel_axis
        )
    )


def _check_images(
    prediction: np.ndarray, truth: np.ndarray, data_range: float
) -> tuple[np.ndarray, np.ndarray]:
    if hasattr(prediction, "predict"):
        raise TypeError(
            "psnr and ssim compare two images, and are no scorers. Leave scoring out: "
            "score is the mean PSNR. Or give a function of estimator and pairs, such "
            "as lambda e, pairs, y=None: skadl.evaluate_pairs(e, pairs).ssim."
        )
    prediction = np.asarray(prediction, dtype=np.float64)
    truth = np.asarray(truth, dtype=np.float64)
    if prediction.shape != truth.shape or prediction.size == 0:
        raise ValueError(
            "prediction and truth must have one non-empty shape, got "
            f"{prediction.shape} and {truth.shape}."
        )
    if not (np.isfinite(prediction).all() and np.isfinite(truth).all()):
        raise ValueError("prediction and truth must be finite; got NaN or infinity.")
    if not data_range > 0:
        raise ValueError(f"data_range must be positive, got {data_range!r}.")
    return prediction, truth
