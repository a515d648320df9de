"""Dead leaves: random scenes with the statistics of natural images.

Opaque leaves with radii of density r**-3 hide one another, which gives the edges,
occlusions and scale-invariant spectrum of natural images (Lee, Mumford and Huang,
"Occlusion Models for Natural Images", IJCV 2001). Leaves here are ellipses and
rectangles with their own colour, shading and texture, under uneven light.
"""

from __future__ import annotations

import numpy as np

_SUPERSAMPLING = 2
_SMALLEST_RADII = (1.5, 10.0)  # pixels of the final scene; one is drawn a scene
_COVERAGE = 2.0  # mean number of leaves above a point


def dead_leaves(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Draw one scene of `size` (H, W): linear positive RGB, (H, W, 3) float32.

    Its scale and white balance are natural but arbitrary.
    """
    height, width = (_SUPERSAMPLING * side for side in size)
    labels, centres, radii = _scatter_leaves(height, width, rng)
    n_leaves = len(radii)
    colours = _leaf_colours(n_leaves, rng)
    # Shading: each leaf brightens linearly across itself in one direction.
    slope = rng.normal(0, 0.25, (n_leaves, 2)) / radii[:, None]
    offset = 1 - (slope * centres).sum(1)
    roughness = 0.5 * rng.beta(0.7, 2.5, n_leaves)

    rows = np.arange(height, dtype=np.float32)[:, None]
    columns = np.arange(width, dtype=np.float32)
    shading = _look_up(offset, labels)
    shading += _look_up(slope[:, 0], labels) * rows
    shading += _look_up(slope[:, 1], labels) * columns
    np.clip(shading, 0.2, 1.8, out=shading)
    scene = np.stack(
        [_bin_2x2(_look_up(plane, labels) * shading) for plane in colours.T], axis=-1
    )
    texture = _bin_2x2(_look_up(roughness, labels)) * _pink_noise(size, rng)
    return scene * (np.exp(texture) * _illumination(size, rng))[..., None]


def _scatter_leaves(
    height: int, width: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Drop leaves until the canvas is covered; return labels, centres and radii."""
    # The cut-off sets how busy the scene is: confetti, or a few smooth shapes.
    smallest = _SUPERSAMPLING * np.exp(rng.uniform(*np.log(_SMALLEST_RADII)))
    largest = max(0.6 * max(height, width), 2 * smallest)
    mean_area = 2 * np.pi * smallest**2 * np.log(largest / smallest)
    # Leaves centred farther outside than this are rare, and not worth their time.
    margin = 0.1 * largest
    canvas = (height + 2 * margin) * (width + 2 * margin)
    # Radii by the inverse of the distribution with density r**-3 between the two. Leaf
    # 0 is the background: what no other leaf covers keeps its label.
    n_leaves = 2 + int(_COVERAGE * canvas / mean_area)
    ratio = (smallest / largest) ** 2
    radii = smallest / np.sqrt(1 - rng.random(n_leaves) * (1 - ratio))
    radii[0] = largest
    centres = rng.random((n_leaves, 2)) * (height + 2 * margin, width + 2 * margin)
    centres -= margin
    angles = rng.random(n_leaves) * np.pi
    elongations = np.exp(rng.normal(0, 0.3, n_leaves))
    is_ellipse = rng.random(n_leaves) < 0.7

    labels = np.zeros((height, width), np.int32)
    cosines, sines = np.cos(angles), np.sin(angles)
    reach = radii * np.maximum(elongations, 1 / elongations)
    reach = np.where(is_ellipse, reach, 1.42 * reach)
    low = np.clip((centres - reach[:, None]).astype(int), 0, (height, width))
    high = np.clip((centres + reach[:, None]).astype(int) + 2, 0, (height, width))
    for leaf in range(1, n_leaves):
        (top, left), (bottom, right) = low[leaf], high[leaf]
        if top >= bottom or left >= right:
            continue
        y = (np.arange(top, bottom, dtype=np.float32) - centres[leaf, 0])[:, None]
        x = np.arange(left, right, dtype=np.float32) - centres[leaf, 1]
        along = cosines[leaf] / (radii[leaf] * elongations[leaf])
        across = cosines[leaf] * elongations[leaf] / radii[leaf]
        along_y = sines[leaf] / (radii[leaf] * elongations[leaf])
        across_x = sines[leaf] * elongations[leaf] / radii[leaf]
        u, v = along * x + along_y * y, across * y - across_x * x
        if is_ellipse[leaf]:
            inside = u * u + v * v < 1
        else:
            inside = (np.abs(u) < 1) & (np.abs(v) < 1)
        labels[top:bottom, left:right][inside] = leaf
    return labels, centres, radii


def _leaf_colours(n_leaves: int, rng: np.random.Generator) -> np.ndarray:
    """Log-normal luminance and mostly muted colours of one palette: (n, 3), linear."""
    luminance = rng.normal(0, 0.7, (n_leaves, 1))
    # Natural colours spread most from warm to cold, less from green to magenta.
    warm = np.array([1.0, 0.0, -1.2])
    green = np.array([-0.4, 0.5, -0.4])
    palette = rng.normal(0, 0.2, 2)
    saturation = rng.gamma(1.5, 0.25, n_leaves)
    warmth = palette[0] + saturation * rng.normal(0.1, 0.9, n_leaves)
    greenness = palette[1] + saturation * rng.normal(0, 0.6, n_leaves)
    chroma = warmth[:, None] * warm + greenness[:, None] * green
    return np.exp(luminance + np.clip(chroma, -2, 2)).astype(np.float32)


def _look_up(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return np.take(values.astype(np.float32), labels)


def _bin_2x2(plane: np.ndarray) -> np.ndarray:
    return 0.25 * (
        plane[::2, ::2] + plane[1::2, ::2] + plane[::2, 1::2] + plane[1::2, 1::2]
    )


def _pink_noise(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Noise of amplitude spectrum 1/f and unit standard deviation."""
    frequency = np.hypot(np.fft.fftfreq(size[0])[:, None], np.fft.rfftfreq(size[1]))
    frequency[0, 0] = np.inf
    spectrum = np.fft.rfft2(rng.standard_normal(size, np.float32)) / frequency
    noise = np.fft.irfft2(spectrum, size)
    return (noise / noise.std()).astype(np.float32)


def _illumination(size: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Light that falls off smoothly from a random point, and a gradient."""
    y = np.linspace(-1, 1, size[0], dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, size[1], dtype=np.float32)
    tilt_y, tilt_x = rng.normal(0, 0.35, 2)
    centre_y, centre_x = rng.uniform(-1, 1, 2)
    falloff = rng.uniform(0, 0.6)
    distance = (y - centre_y) ** 2 + (x - centre_x) ** 2
    return np.exp(tilt_y * y + tilt_x * x - falloff * distance).astype(np.float32)
