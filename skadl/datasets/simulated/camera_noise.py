"""From a linear scene to the counts of a simulated camera, noisy and clean."""

from __future__ import annotations

import numpy as np

from skadl.datasets.simulated.cameras import Camera
from skadl.noise.tukey_lambda import draw_tukey_lambda
from skadl.raw.mosaic import sample_rgb, spread_planes


def expose(scene: np.ndarray, camera: Camera) -> np.ndarray:
    """Make the clean mosaic, (H, W) float32 in counts, of a scene (H, W, 3).

    The scene is linear and white-balanced, 1 is where green saturates: the camera's
    white balance is undone and its CFA sampled; nothing is rounded.
    """
    return mosaic_scene(scene / np.asarray(camera.white_balance), camera)


def mosaic_scene(rgb: np.ndarray, camera: Camera) -> np.ndarray:
    """Sample unbalanced RGB, (H, W, 3), at the CFA's sites, and scale it to counts."""
    mosaic = sample_rgb(rgb, camera.cfa).astype(np.float32)
    span = camera.white_level - camera.black_level
    return np.clip(mosaic, 0, 1) * np.float32(span) + np.float32(camera.black_level)


def add_camera_noise(
    clean: np.ndarray,
    camera: Camera,
    iso: float,
    *,
    ratio: float = 1.0,
    random_state: np.random.Generator,
) -> np.ndarray:
    """Expose a clean mosaic (H, W) with the noise of a camera, in 1/ratio the light.

    Returns uint16 counts: ``black + K * Poisson(signal / (ratio * K)) + read + row +
    bias``, rounded and clipped to 0 and the white level.
    """
    # The model of Wei et al., "A Physics-based Noise Formation Model for Extreme
    # Low-light Raw Denoising", CVPR 2020, section 3: photon noise, read noise of
    # Tukey-lambda distribution, row noise (one Gaussian offset for each row of the
    # sensor), quantisation, and a colour bias. Their Gaussian and their Tukey-lambda
    # scale are two fits to the same read noise; only one of them is added here.
    rng = random_state
    gain = camera.gain_at(iso)
    signal = np.maximum(clean - np.float32(camera.black_level), 0)
    counts = rng.poisson(signal / (gain * ratio)) * gain + camera.black_level
    shape = camera.read_shape_at(iso)
    if shape is None:
        read = rng.standard_normal(clean.shape, np.float32)
    else:
        read = draw_tukey_lambda(shape, clean.shape, rng)
    counts += camera.read_scale_at(iso) * read
    counts += camera.row_noise_at(iso) * rng.standard_normal((len(clean), 1))
    counts += spread_planes(camera.colour_bias_at(iso), camera.cfa, clean.shape)
    return np.clip(np.rint(counts), 0, camera.white_level).astype(np.uint16)
