"""Simulated cameras: their levels, colour response and noise at each ISO.

Eight real cameras come with the package, from published calibrations; see
``skadl/noise/camera_figures.json`` for every figure, its source and what was chosen.
Anyone else's camera is one `Camera` record.
"""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from skadl.datasets.simulated.published import camera_names
from skadl.noise.camera_figures import published_figures
from skadl.noise.iso_table import IsoTable, check_planes
from skadl.noise.published import PublishedCurves
from skadl.noise.residual import QUANTISATION_VARIANCE
from skadl.noise.sensors import SensorInfo
from skadl.noise.tukey_lambda import tukey_lambda_variance
from skadl.raw.image import check_positive
from skadl.raw.mosaic import check_cfa, mosaic_of


def _check_shape(what: str, value: float) -> float:
    # At -0.5 the variance of a Tukey-lambda distribution becomes infinite.
    if not isinstance(value, numbers.Real) or not -0.5 < value < np.inf:
        raise ValueError(f"{what} must be a finite number above -0.5, got {value!r}.")
    return float(value)


# Fields that become an `IsoTable`, and what their values must be.
_ISO_TABLES = {
    "gain": check_positive,
    "read_scale": check_positive,
    "read_shape": _check_shape,
    "row_noise": check_positive,
    "colour_bias": check_planes,
}


@dataclass(frozen=True, eq=False)
class Camera:
    """A sensor to simulate: what it makes of light, and the noise it adds.

    Tables map ISO to a value; between the given ISOs gain and scales are
    interpolated on logarithmic axes, shape and bias linearly in log ISO. An ISO outside
    `iso_range` is a ValueError.

    Parameters
    ----------
    name : str
        Sensor name that the simulated images carry.
    cfa : {"RGGB", "BGGR", "GRBG", "GBRG", "XTRANS-GBG", "XTRANS-GRG"}
        As in `RawImage`.
    black_level, white_level : float
        In counts; the files are integers up to `white_level`, at most 65535.
    gain : mapping of ISO to float
        System gain K in counts per photo-electron. Its lowest and highest ISO are
        the camera's ISO range.
    read_scale : mapping of ISO to float
        Scale of the read noise in counts: of the Tukey-lambda distribution where
        `read_shape` is given, else the standard deviation of a Gaussian.
    read_shape : mapping of ISO to float, optional
        Shape lambda of the Tukey-lambda distribution, above -0.5.
    row_noise : mapping of ISO to float, optional
        Standard deviation, in counts, of the offset that a whole row shares.
    colour_bias : mapping of ISO to four floats, optional
        Offset of the planes R, Gr, Gb, B (of X-Trans nine) above the black level, in
        counts.
    white_balance : tuple of three floats, default=(2.0, 1.0, 1.5)
        Multipliers of red, green and blue that turn this sensor's daylight white
        grey; the simulation divides by them.
    ratios : tuple of floats, default=(1.0,)
        Light factors that `make_domain` draws from by default.

    Raises
    ------
    ValueError
        If a field is out of its range; the message names it.

    Examples
    --------
    >>> camera = Camera("mine", "RGGB", 64, 1023, gain={100: 0.1, 1600: 1.6},
    ...                 read_scale={100: 1.0, 1600: 4.0})
    >>> gain, read_variance = camera.noise_at(400)
    >>> round(gain, 3), round(read_variance, 3)
    (0.4, 4.083)
    """

    name: str
    cfa: str
    black_level: float
    white_level: float
    gain: Mapping[float, float]
    read_scale: Mapping[float, float]
    read_shape: Mapping[float, float] | None = None
    row_noise: Mapping[float, float] | None = None
    colour_bias: Mapping[float, tuple[float, ...]] | None = None
    white_balance: tuple[float, float, float] = (2.0, 1.0, 1.5)
    ratios: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name must be a non-empty string, got {self.name!r}.")
        super().__setattr__("cfa", check_cfa(self.cfa))
        if not 0 <= self.black_level < self.white_level <= 65535:
            raise ValueError(
                "levels must satisfy 0 <= black_level < white_level <= 65535, got "
                f"{self.black_level!r} and {self.white_level!r}."
            )
        for table, check in _ISO_TABLES.items():
            values = getattr(self, table)
            if values is not None or table in ("gain", "read_scale"):  # required
                super().__setattr__(table, dict(IsoTable(table, values, check)))
        n_planes = mosaic_of(self.cfa).n_planes
        if {len(bias) for bias in (self.colour_bias or {}).values()} - {n_planes}:
            raise ValueError(
                f"colour_bias must have {n_planes} numbers at each ISO, one for each "
                f"plane of a {self.cfa} mosaic."
            )
        if len(self.white_balance) != 3 or not self.ratios:
            raise ValueError(
                "white_balance must be three multipliers and ratios at least one "
                f"light factor, got {self.white_balance!r} and {self.ratios!r}."
            )
        for value in (*self.white_balance, *self.ratios):
            check_positive("each of white_balance and ratios", value)

    @property
    def iso_range(self) -> tuple[float, float]:
        """Lowest and highest ISO that the gain is known for."""
        return float(min(self.gain)), float(max(self.gain))

    def gain_at(self, iso: float) -> float:
        """System gain K at an ISO, in counts per electron.

        Parameters
        ----------
        iso : float
            Inside `iso_range`.

        Returns
        -------
        float
        """
        return self._power_law(self.gain, iso)

    def read_scale_at(self, iso: float) -> float:
        """Scale of the read noise at an ISO, in counts.

        Parameters
        ----------
        iso : float
            Inside `iso_range`.

        Returns
        -------
        float
        """
        return self._power_law(self.read_scale, iso)

    def read_shape_at(self, iso: float) -> float | None:
        """Tukey-lambda shape of the read noise at an ISO; None if it is Gaussian.

        Parameters
        ----------
        iso : float
            Inside `iso_range`.

        Returns
        -------
        float or None
        """
        if self.read_shape is None:
            return None
        return float(self._between(self.read_shape, iso))

    def row_noise_at(self, iso: float) -> float:
        """Row noise at an ISO: standard deviation of the row offsets, in counts.

        Parameters
        ----------
        iso : float
            Inside `iso_range`.

        Returns
        -------
        float
        """
        if self.row_noise is None:
            return 0.0
        return self._power_law(self.row_noise, iso)

    def under(self, cfa: str) -> Camera:
        """Return the same sensor under another mosaic, for experiments.

        Parameters
        ----------
        cfa : str
            As in `RawImage`.

        Returns
        -------
        Camera
            Its name says so. The colour bias of a plane is the mean of its colour's.

        Examples
        --------
        >>> get_camera("SonyA7S2").under("XTRANS-GBG").name
        'SonyA7S2 XTRANS-GBG'
        """
        own, other, bias = mosaic_of(self.cfa), mosaic_of(cfa), self.colour_bias
        if bias is not None:
            bias = {
                iso: tuple(
                    float(np.mean([values[plane] for plane in own.planes_of(colour)]))
                    for colour in other.colours
                )
                for iso, values in bias.items()
            }
        return replace(
            self, name=f"{self.name} {other.name}", cfa=other.name, colour_bias=bias
        )

    def colour_bias_at(self, iso: float) -> np.ndarray:
        """Offsets of the planes at an ISO, in counts.

        Parameters
        ----------
        iso : float
            Inside `iso_range`.

        Returns
        -------
        ndarray of shape (4,)
            Of X-Trans (9,).
        """
        if self.colour_bias is None:
            return np.zeros(mosaic_of(self.cfa).n_planes)
        return self._between(self.colour_bias, iso)

    def noise_at(self, iso: float) -> tuple[float, float]:
        """Gain and total signal-independent variance: what an oracle would know.

        Parameters
        ----------
        iso : float
            Inside `iso_range`.

        Returns
        -------
        gain : float
            In counts per electron.
        read_variance : float
            Of a pixel, in counts squared: read noise, row noise and quantisation.
            The noise variance at a signal of s counts is ``gain * s +
            read_variance``.
        """
        shape = self.read_shape_at(iso)
        unit_variance = 1.0 if shape is None else tukey_lambda_variance(shape)
        read_variance = (
            unit_variance * self.read_scale_at(iso) ** 2
            + self.row_noise_at(iso) ** 2
            + QUANTISATION_VARIANCE
        )
        return self.gain_at(iso), float(read_variance)

    def info(self) -> SensorInfo:
        """Facts of this sensor for `skadl.SensorTable`, with its true noise.

        Returns
        -------
        SensorInfo
            With gain and read noise tabulated each quarter of a stop.
        """
        low, high = self.iso_range
        n_isos = 1 + max(1, int(np.ceil(4 * np.log2(high / low))))
        isos = [float(iso) for iso in np.geomspace(low, high, n_isos)]
        isos[0], isos[-1] = low, high
        noise = {iso: self.noise_at(iso) for iso in isos}
        return SensorInfo(
            self.cfa,
            self.black_level,
            self.white_level,
            gain={iso: gain for iso, (gain, _) in noise.items()},
            read_noise={iso: variance**0.5 for iso, (_, variance) in noise.items()},
        )

    def _power_law(self, table: Mapping[float, float], iso: float) -> float:
        logs = {known: np.log(value) for known, value in table.items()}
        return float(np.exp(self._between(logs, iso)))

    def _between(self, table: Mapping, iso: float) -> np.ndarray:
        """Linear in log ISO; the nearest value where the table does not reach."""
        low, high = self.iso_range
        if not low <= check_positive("iso", iso) <= high:
            raise ValueError(
                f"ISO {iso:g} is outside the range of camera {self.name!r}, "
                f"{low:g} to {high:g}; choose an ISO inside it."
            )
        values = np.array(list(table.values()), float)
        if len(table) == 1:
            return values[0]
        # Not np.interp: its last digits differ, and fits told the true noise with them.
        log_isos = np.log(list(table))
        log_iso = np.clip(np.log(float(iso)), log_isos[0], log_isos[-1])
        upper = int(np.clip(np.searchsorted(log_isos, log_iso), 1, len(table) - 1))
        below, above = log_isos[upper - 1], log_isos[upper]
        weight = (log_iso - below) / (above - below)
        return (1 - weight) * values[upper - 1] + weight * values[upper]


def get_camera(camera: str | Camera) -> Camera:
    """Return a camera by its name; a `Camera` passes through.

    Parameters
    ----------
    camera : str or Camera

    Returns
    -------
    Camera

    Raises
    ------
    ValueError
        If no camera of that name comes with the package.
    TypeError
        If `camera` is neither a name nor a `Camera`.
    """
    if isinstance(camera, Camera):
        return camera
    if not isinstance(camera, str):
        raise TypeError(
            "camera must be a name or a skadl.datasets.Camera, got "
            f"{type(camera).__name__}."
        )
    if camera not in camera_names():
        raise ValueError(
            f"camera {camera!r} is not known; known cameras are "
            f"{list(camera_names())}. Pass a skadl.datasets.Camera for your own."
        )
    return _published_cameras()[camera]


def camera_info(camera: str | Camera) -> SensorInfo:
    """Facts of a simulated sensor with its true noise, for `skadl.SensorTable`.

    Parameters
    ----------
    camera : str or Camera

    Returns
    -------
    SensorInfo

    Examples
    --------
    >>> camera_info("OppoReno10x").cfa
    'BGGR'
    """
    return get_camera(camera).info()


@cache
def _published_cameras() -> dict[str, Camera]:
    published = published_figures()
    return {name: _from_figures(name, entry) for name, entry in published.items()}


def _from_figures(name: str, figures: Mapping) -> Camera:
    """Make a camera of its published curves."""
    curves = PublishedCurves.of(figures)
    isos = curves.isos
    return Camera(
        name,
        figures["cfa"],
        figures["black_level"],
        figures["white_level"],
        gain=_table(isos, curves.gain),
        read_scale=_table(isos, curves.read_scale),
        read_shape=_optional_table(figures.get("shape")),
        row_noise=_table(isos, curves.row_noise),
        colour_bias=_optional_table(figures.get("colour_bias")),
        white_balance=tuple(figures["white_balance"]),
        ratios=tuple(float(ratio) for ratio in figures["ratios"]),
    )


def _table(isos: np.ndarray, values: np.ndarray | None) -> dict | None:
    if values is None:
        return None
    return {float(iso): float(v) for iso, v in zip(isos, values, strict=True)}


def _optional_table(entry: Mapping | None) -> dict | None:
    if entry is None:
        return None
    return dict(zip(map(float, entry["iso"]), entry["value"], strict=True))
