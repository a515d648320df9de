"""A figure of a sensor at some ISOs, and between them."""

from __future__ import annotations

import numbers
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from skadl.raw.image import check_positive


class IsoTable(Mapping):
    """Read-only mapping of ISO to a figure, rising, interpolated in log ISO.

    `check(what, value)` returns each value as the table holds it, or raises a
    ValueError that begins with `what`: "gain at ISO 100". `|` gives a dict.
    """

    def __init__(
        self, name: str, values: Any, check: Callable[[str, Any], Any] = check_positive
    ) -> None:
        if not isinstance(values, Mapping) or not values:
            raise ValueError(
                f"{name} must map at least one ISO to a value, got {values!r}."
            )
        checked = {
            check_positive("ISO", iso): check(f"{name} at ISO {iso}", value)
            for iso, value in values.items()
        }
        self._values = dict(sorted(checked.items()))

    def __getitem__(self, iso: float) -> Any:
        return self._values[iso]

    def __iter__(self) -> Iterator[float]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __reversed__(self) -> Iterator[float]:
        return reversed(self._values)

    def __or__(self, other: Mapping) -> dict:
        return self._values | dict(other)

    def __ror__(self, other: Mapping) -> dict:
        return dict(other) | self._values

    def __repr__(self) -> str:
        return repr(self._values)

    def at(self, iso: float) -> np.ndarray:
        """Linear between the known ISOs, the nearest one's value beyond; of any shape.

        >>> table = IsoTable("row noise", {100: 1.0, 400: 3.0})
        >>> round(float(table.at(200)), 3), float(table.at(6400))
        (2.0, 3.0)
        """
        log_iso = np.log(check_positive("iso", iso))
        columns = np.array(list(self._values.values()), float)
        flat = columns.reshape(len(self), -1).T
        values = [np.interp(log_iso, self._log_isos(), column) for column in flat]
        return np.reshape(values, columns.shape[1:])

    def power_law_at(self, iso: float, beyond: float = 0.0) -> float:
        """Linear between the logarithms of values above 0.

        Outside the known ISOs the value grows with the power `beyond` of ISO.

        >>> gain = IsoTable("gain", {100: 0.1, 400: 0.4})
        >>> round(gain.power_law_at(200), 3), round(gain.power_law_at(800, beyond=1), 3)
        (0.2, 0.8)
        """
        log_isos, log_iso = self._log_isos(), np.log(check_positive("iso", iso))
        inside = np.clip(log_iso, log_isos[0], log_isos[-1])
        log_value = np.interp(inside, log_isos, np.log(list(self._values.values())))
        return float(np.exp(log_value + beyond * (log_iso - inside)))

    def _log_isos(self) -> np.ndarray:
        return np.log(list(self._values))


def check_not_negative(what: str, value: Any) -> float:
    """Return a finite number of 0 or more as a float, or say why it is none."""
    if not isinstance(value, numbers.Real) or not 0 <= value < np.inf:
        raise ValueError(f"{what} must be a finite number of 0 or more, got {value!r}.")
    return float(value)


def check_planes(what: str, value: Any) -> tuple[float, ...]:
    """Return a finite float for each plane (R, Gr, Gb, B), or say what is wrong."""
    try:
        planes = np.asarray(value, float)
    except (TypeError, ValueError):
        planes = np.empty(0)
    if planes.shape not in ((4,), (9,)) or not np.isfinite(planes).all():
        raise ValueError(
            f"{what} must be four finite numbers, for R, Gr, Gb and B (nine of an "
            f"X-Trans mosaic), got {value!r}."
        )
    return tuple(planes.tolist())


def check_plane_factors(what: str, value: Any) -> tuple[float, ...]:
    """Return four factors above 0, for R, Gr, Gb and B, or say what is wrong."""
    factors = check_planes(what, value)
    if min(factors) <= 0:
        raise ValueError(f"{what} must be four factors above 0, got {value!r}.")
    return factors
