"""What the network knows of an image: sensor, ISO, light factor, noise level.

The paper's metadata vector is the one-hot sensor code and the ISO repeated n times
(section 3.2) and "can be extended as long as more meta information is provided".
The extension here is the expected noise level: two sensors at one ISO may differ
tenfold in noise, and a light factor multiplies it again. With the noise level alone,
without sensor and ISO, a sensor that was never seen in `fit` is one more noise level.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from torch import Tensor

from skadl.noise.noise_level import NoiseLevel

CONDITIONINGS = ("sensor_iso", "sensor_iso_noise", "noise", "none")
Codes = TypeVar("Codes", np.ndarray, Tensor)


@dataclass(frozen=True)
class Conditioning:
    """Turn sensor, ISO and noise of an image into the network's metadata vector.

    Parameters
    ----------
    kind : {"sensor_iso", "sensor_iso_noise", "noise", "none"}
        The paper's vector, that plus light factor and noise level, these alone, or a
        single 0: nothing, for a plain network.
    sensors : tuple of str
        Sensors seen in `fit`; position is the one-hot code.

    Examples
    --------
    >>> Conditioning("sensor_iso", ("A", "B")).vector("B", 1600, 1.0, None)
    array([0. , 1. , 0.5, 0.5], dtype=float32)
    """

    kind: str
    sensors: tuple[str, ...]

    @property
    def uses_noise(self) -> bool:
        """Whether a noise level must be given."""
        return self.kind in ("sensor_iso_noise", "noise")

    @property
    def uses_sensor(self) -> bool:
        """Whether the sensor must be one of `sensors`."""
        return self.kind in ("sensor_iso", "sensor_iso_noise")

    @property
    def length(self) -> int:
        """Length of the vector."""
        n_sensors = len(self.sensors) if self.uses_sensor else 0
        # A network has at least one input.
        return max(2 * n_sensors + (3 if self.uses_noise else 0), 1)

    def vector(
        self, sensor: str, iso: float, ratio: float, noise: NoiseLevel | None
    ) -> np.ndarray:
        """Build the vector of one image.

        Parameters
        ----------
        sensor : str
            One of `sensors`, unless only the noise counts.
        iso : float
            Enters as ``log2(iso / 100) / 8``: raw ISO would saturate the tanh of
            Eq. 4, and noise is a power law of ISO.
        ratio : float
            Light factor; enters as ``log10(ratio) / 2``.
        noise : NoiseLevel or None
            Needed where the kind uses it; enters as two centred logarithms.

        Returns
        -------
        ndarray of shape (length,), float32
            Every entry about within [-2, 2].
        """
        entries = []
        if self.uses_sensor:
            one_hot = np.zeros(len(self.sensors))
            one_hot[self.sensors.index(sensor)] = 1.0
            entries += [one_hot, np.full(len(self.sensors), np.log2(iso / 100) / 8)]
        if self.uses_noise:
            # Variances in units of white squared: centred on 1e-3 and 1e-5, floored far
            # below any sensor so that a noise of 0 has a logarithm.
            shot_code = (np.log10(max(noise.shot, 1e-8)) + 3) / 2
            read_code = (np.log10(max(noise.read, 1e-12)) + 5) / 3
            entries.append(np.array([np.log10(ratio) / 2, shot_code, read_code]))
        entries = entries or [np.zeros(1)]
        return np.concatenate(entries).astype(np.float32)


def decode_noise(metadata: Codes) -> tuple[Codes, Codes]:
    """Return shot and read part of the noise out of vectors (..., length).

    The inverse of `Conditioning.vector`, for any kind whose vector ends with the noise.

    >>> vector = Conditioning("noise", ()).vector("A", 100, 1, NoiseLevel(0.01, 0.001))
    >>> [round(float(part), 6) for part in decode_noise(vector)]
    [0.01, 0.001]
    """
    return 10 ** (2 * metadata[..., -2] - 3), 10 ** (3 * metadata[..., -1] - 5)


def tell_quarter(metadata: Codes) -> Codes:
    """Return vectors (..., length) that tell a quarter of the noise variance.

    >>> vector = Conditioning("noise", ()).vector("A", 100, 1, NoiseLevel(0.01, 0.001))
    >>> [round(float(part), 6) for part in decode_noise(tell_quarter(vector))]
    [0.0025, 0.00025]
    """
    told = metadata.clone() if isinstance(metadata, Tensor) else metadata.copy()
    told[..., -2] -= np.log10(4) / 2
    told[..., -1] -= np.log10(4) / 3
    return told
