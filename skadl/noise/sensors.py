"""What is known of each sensor: pattern, levels and, where known, its noise."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from skadl.noise.fixed_pattern import FixedPattern, scale_pattern
from skadl.noise.iso_table import (
    IsoTable,
    check_not_negative,
    check_plane_factors,
    check_planes,
)
from skadl.raw.image import check_positive
from skadl.raw.levels import level_span
from skadl.raw.mosaic import check_cfa, mosaic_of
from skadl.raw.pair import RawPair

# Fields that become an `IsoTable`, and what their values must be.
_ISO_TABLES = {
    "gain": check_positive,
    "read_noise": check_positive,
    "black_offset": check_planes,
    "row_noise": check_not_negative,
    "gain_error": check_not_negative,
    "plane_gain": check_plane_factors,
    "read_noise_error": check_not_negative,
}


@dataclass(frozen=True, eq=False)
class SensorInfo:
    """One sensor: what it takes to read a bare mosaic and to expect its noise.

    Parameters
    ----------
    cfa : {"RGGB", "BGGR", "GRBG", "GBRG", "XTRANS-GBG", "XTRANS-GRG"}
        As in `RawImage`.
    black_level : float or tuple of floats
        In counts; four values (of X-Trans nine) are in CFA reading order.
    white_level : float
        In counts.
    gain : mapping of ISO to float, optional
        System gain K in counts per photo-electron.
    read_noise : mapping of ISO to float, optional
        Standard deviation of all signal-independent noise of a pixel, in counts: row
        noise and rounding are in it.
    black_offset : mapping of ISO to four floats, optional
        Error of the black level in the planes R, Gr, Gb, B (of X-Trans nine), in
        counts; `fit` measures it.
    iso_range : tuple of two floats, optional
        Lowest and highest ISO that a model was fitted on; `fit` fills it in.
    row_noise : mapping of ISO to float, optional
        Standard deviation of what a row of the mosaic shares, in counts; `fit`
        measures it.
    gain_error, read_noise_error : mapping of ISO to float, optional
        Standard errors of the natural logarithms of gain and read noise: 0.05 is
        5 %, 0.7 a factor of two. Filled in where the noise was measured; see
        `skadl.calibrate_sensor`.
    plane_gain : mapping of ISO to four floats, optional
        Gain of the planes R, Gr, Gb, B over `gain`, their mean is 1: some cameras
        multiply red and blue before they write a file.
    fixed_pattern : FixedPattern, optional
        Dark shading, pattern of columns and rows, and hot pixels, by ISO.
        ``predict`` and ``fit`` take it off frames of its size. Measured on dark
        frames, and on pairs as far as these show it.
    notes : tuple of str, optional
        What measuring the noise left open, and what to do about it.

    Notes
    -----
    Noise variance in counts is ``K * signal + read_noise**2`` (Eq. 3 of the paper:
    shot noise grows with the signal above black, read noise does not).

    Examples
    --------
    >>> info = SensorInfo("RGGB", 512, 16383, gain={100: 0.1, 400: 0.4},
    ...                   read_noise={100: 1.0, 400: 2.0})
    >>> tuple(round(float(x), 3) for x in info.noise_at(200))
    (0.2, 2.0)
    """

    cfa: str
    black_level: float | tuple[float, ...]
    white_level: float
    gain: Mapping[float, float] | None = None
    read_noise: Mapping[float, float] | None = None
    black_offset: Mapping[float, Sequence[float]] | None = None
    iso_range: tuple[float, float] | None = None
    row_noise: Mapping[float, float] | None = None
    gain_error: Mapping[float, float] | None = None
    read_noise_error: Mapping[float, float] | None = None
    plane_gain: Mapping[float, Sequence[float]] | None = None
    fixed_pattern: FixedPattern | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__setattr__("cfa", check_cfa(self.cfa))
        if not self.white_level > np.max(self.black_level):
            raise ValueError(
                f"white_level {self.white_level} must lie above black_level "
                f"{self.black_level}."
            )
        for name, check in _ISO_TABLES.items():
            table = getattr(self, name)
            if table is not None:
                super().__setattr__(name, IsoTable(name, table, check))
        n_planes = mosaic_of(self.cfa).n_planes
        for name in ("black_offset", "plane_gain"):
            table = getattr(self, name)
            if table is not None and len(next(iter(table.values()))) != n_planes:
                raise ValueError(
                    f"{name} must have {n_planes} numbers at each ISO, one for each "
                    f"plane of a {self.cfa} mosaic."
                )
        if not isinstance(self.fixed_pattern, (FixedPattern, type(None))):
            raise TypeError(
                "fixed_pattern must be a FixedPattern, got "
                f"{type(self.fixed_pattern).__name__}; measure it with "
                "skadl.calibrate_sensor(darks=...)."
            )
        super().__setattr__("notes", tuple(self.notes))
        if (self.gain is None) != (self.read_noise is None):
            raise ValueError(
                "gain and read_noise describe the noise together; give both or none."
            )

    @property
    def span(self) -> float:
        """White level minus mean black level, in counts."""
        return level_span(self.black_level, self.white_level)

    @property
    def knows_noise(self) -> bool:
        """Whether gain and read noise are given."""
        return self.gain is not None

    def noise_at(self, iso: float) -> tuple[float, float]:
        """Gain and read variance at an ISO, interpolated on logarithmic axes.

        Beyond the known ISOs gain follows ISO in proportion, and so does read noise.

        Parameters
        ----------
        iso : float

        Returns
        -------
        gain : float
            In counts per electron.
        read_variance : float
            In counts squared.

        Raises
        ------
        ValueError
            If the noise of this sensor is not known.
        """
        if self.gain is None or self.read_noise is None:
            raise ValueError(
                "the noise of this sensor is not known; give SensorInfo gain and "
                "read_noise by ISO, or measure them on pairs with "
                "skadl.calibrate_sensor(pairs)."
            )
        gain = self.gain.power_law_at(iso, beyond=1.0)
        return gain, self.read_noise.power_law_at(iso, beyond=1.0) ** 2

    def offset_at(self, iso: float) -> np.ndarray:
        """Error of the black level at an ISO, interpolated in its logarithm.

        Parameters
        ----------
        iso : float

        Returns
        -------
        ndarray of shape (4,)
            For the planes R, Gr, Gb, B, in counts; zeros where it is not known.
        """
        if self.black_offset is None:
            return np.zeros(mosaic_of(self.cfa).n_planes)
        return self.black_offset.at(iso)

    def row_noise_at(self, iso: float) -> float:
        """Row noise at an ISO, interpolated in its logarithm; 0 where not known.

        Parameters
        ----------
        iso : float

        Returns
        -------
        float
            Standard deviation of what a row of the mosaic shares, in counts.
        """
        return 0.0 if self.row_noise is None else float(self.row_noise.at(iso))

    def plane_gain_at(self, iso: float) -> np.ndarray:
        """Gain of each plane over the gain of all, interpolated in log ISO.

        Parameters
        ----------
        iso : float

        Returns
        -------
        ndarray of shape (4,)
            For the planes R, Gr, Gb, B; ones where it is not known.
        """
        if self.plane_gain is None:
            return np.ones(mosaic_of(self.cfa).n_planes)
        return self.plane_gain.at(iso)


@dataclass(frozen=True, eq=False)
class SensorTable:
    """Sensors by name. Holds no data of single captures, so folds cannot cut it.

    It has no length and no index on purpose: scikit-learn slices any fit argument
    that is as long as the data.

    Parameters
    ----------
    sensors : mapping of str to SensorInfo

    Examples
    --------
    >>> table = SensorTable({"A7S2": SensorInfo("RGGB", 512, 16383)})
    >>> table.names
    ('A7S2',)
    >>> table.get("A7S2").white_level
    16383
    """

    sensors: Mapping[str, SensorInfo] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.sensors, Mapping):
            raise TypeError(
                "SensorTable takes a mapping of sensor name to SensorInfo, got "
                f"{type(self.sensors).__name__}."
            )
        for name, info in self.sensors.items():
            if not isinstance(name, str) or not isinstance(info, SensorInfo):
                raise TypeError(
                    "SensorTable maps str to SensorInfo, got "
                    f"{type(name).__name__} to {type(info).__name__}."
                )
        super().__setattr__("sensors", dict(self.sensors))

    @property
    def names(self) -> tuple[str, ...]:
        """Names in the order in which they were given."""
        return tuple(self.sensors)

    def __contains__(self, name: object) -> bool:
        return name in self.sensors

    def __repr__(self) -> str:
        return f"SensorTable({', '.join(self.names)})"

    def get(self, name: str) -> SensorInfo:
        """Return what is known of one sensor.

        Parameters
        ----------
        name : str

        Returns
        -------
        SensorInfo

        Raises
        ------
        ValueError
            If the sensor is not in the table; the message lists those that are.
        """
        try:
            return self.sensors[name]
        except KeyError:
            raise ValueError(
                f"sensor {name!r} is not known; known sensors are "
                f"{list(self.names)}. Add it to the SensorTable passed to fit."
            ) from None

    def items(self) -> Iterator[tuple[str, SensorInfo]]:
        """Iterate over the sensors in the order in which they were given.

        Returns
        -------
        iterator of (str, SensorInfo)
        """
        return iter(self.sensors.items())

    def updated(self, changes: Mapping[str, SensorInfo]) -> SensorTable:
        """Return a table with some sensors added or replaced.

        Parameters
        ----------
        changes : mapping of str to SensorInfo

        Returns
        -------
        SensorTable
            This one stays as it is.

        Raises
        ------
        TypeError
            If `changes` maps anything else.
        """
        return SensorTable({**self.sensors, **changes})

    @classmethod
    def from_pairs(cls, pairs: Iterable[RawPair]) -> SensorTable:
        """Derive pattern, levels and ISO range of each sensor from its pairs.

        Parameters
        ----------
        pairs : iterable of RawPair

        Returns
        -------
        SensorTable
            Levels are those of the first pair of each sensor: later pairs of the
            same sensor may differ, and each is read with its own levels in `fit`.
        """
        sensors: dict[str, SensorInfo] = {}
        for pair in pairs:
            image = pair.noisy
            known = sensors.get(image.sensor)
            if known is None:
                sensors[image.sensor] = SensorInfo(
                    image.cfa,
                    image.black_level,
                    image.white_level,
                    iso_range=(image.iso, image.iso),
                )
            else:
                low, high = known.iso_range
                iso_range = (min(low, image.iso), max(high, image.iso))
                sensors[image.sensor] = replace(known, iso_range=iso_range)
        return cls(sensors)


def in_counts_of(info: SensorInfo, span: float) -> SensorInfo:
    """Return a sensor's facts in the counts of a file of another bit depth.

    >>> info = SensorInfo("RGGB", 128, 4095, gain={100: 0.25}, read_noise={100: 1.5})
    >>> more_bits = in_counts_of(info, 4 * info.span)
    >>> more_bits.white_level, more_bits.noise_at(100)
    (16380.0, (1.0, 36.0))
    """
    scale = span / info.span
    if scale == 1:
        return info
    black = np.multiply(info.black_level, scale).tolist()
    changes = {
        "black_level": tuple(black) if isinstance(black, list) else black,
        "white_level": scale * info.white_level,
    }
    for name in ("gain", "read_noise", "black_offset", "row_noise"):
        table = getattr(info, name)
        if table is not None:
            changes[name] = {
                iso: np.multiply(value, scale).tolist() for iso, value in table.items()
            }
    if info.fixed_pattern is not None:
        changes["fixed_pattern"] = scale_pattern(info.fixed_pattern, scale)
    return replace(info, **changes)


def with_calibration(table: SensorTable, calibrated: SensorTable) -> SensorTable:
    """Return a table in which what was measured goes before what it knew.

    What a calibration leaves open, such as the gain where there were no flats, stays as
    it was.
    """
    changes = {}
    for name, info in calibrated.items():
        known = table.get(name) if name in table else info
        # With its errors: figures of one measurement belong together.
        groups = [
            ("gain", "read_noise", "gain_error", "read_noise_error", "plane_gain"),
            ("black_offset",),
            ("row_noise",),
            ("fixed_pattern",),
        ]
        fields = {
            field: getattr(info, field)
            for group in groups
            if getattr(info, group[0]) is not None
            for field in group
        }
        changes[name] = replace(known, **fields)
    return table.updated(changes)
