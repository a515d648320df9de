"""Arrays in MATLAB files: the old format, and version 7.3, which is HDF5."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat

from skadl.support.extras import import_extra

_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MATLAB_CLASS = "MATLAB_class"  # the attribute that MATLAB gives every variable


def is_hdf5(path: Path) -> bool:
    """Tell whether a file is HDF5, as MATLAB writes it from version 7.3 on."""
    with path.open("rb") as file:  # MATLAB puts its own header of 512 bytes in front
        head = file.read(512 + len(_HDF5_SIGNATURE))
    return head.startswith(_HDF5_SIGNATURE) or head[512:] == _HDF5_SIGNATURE


def mat_problem(path: Path) -> str | None:
    """Say why a MATLAB file is not whole, without reading its arrays; or None.

    A file of version 7.3 that was cut off is always found.
    """
    try:
        if path.stat().st_size == 0:
            return f"{path.name} is empty; download it again."
        if is_hdf5(path):
            with _open_hdf5(path):  # HDF5 compares the size with that in its header
                pass
    except ValueError as error:
        return str(error)
    except OSError as error:
        return f"{path.name} cannot be opened ({error.strerror or error})."
    return None


def read_mat(path: Path, *, landscape: bool = False) -> np.ndarray:
    """Read "x" or the only array of a MATLAB file, with its axes as MATLAB shows them.

    `landscape` says that a two-dimensional array is wider than high; it decides where
    the file does not tell the order of its axes. ValueError if it is damaged or does
    not hold one array, ImportError if it is of version 7.3 and h5py is missing.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}.")
    if is_hdf5(path):
        array, is_reversed = _read_hdf5(path)
    else:
        array, is_reversed = _only_array(read_old_mat(path), path), False
    # MATLAB stores arrays column by column, so HDF5 sees the axes of a variable of
    # version 7.3 in reverse. Whether MATLAB, or a program that does as it does, wrote
    # it is told by the attribute "MATLAB_class"; an HDF5 file without it is taken as it
    # lies, unless that contradicts `landscape`.
    unsure = not is_reversed and landscape and array.ndim == 2 and is_hdf5(path)
    if is_reversed or (unsure and array.shape[0] > array.shape[1]):
        array = array.T
    return array


def read_old_mat(path: Path, **options: Any) -> dict[str, Any]:
    """Read the variables of a MATLAB file of version 4 to 7; ValueError if damaged."""
    try:
        variables = loadmat(path, **options)
    except NotImplementedError as error:  # version 7.3 by its header, yet no HDF5
        raise ValueError(
            f"{path.name} is cut off behind its header; download it again."
        ) from error
    except Exception as error:  # loadmat lets any parsing error out
        raise ValueError(
            f"{path.name} is damaged, incomplete or no MATLAB file ({error}); "
            "download it again."
        ) from error
    return {
        name: value for name, value in variables.items() if not name.startswith("__")
    }


def _read_hdf5(path: Path) -> tuple[np.ndarray, bool]:
    with _open_hdf5(path) as file:
        try:
            found = {
                name: item
                for name, item in file.items()
                if not name.startswith("#") and hasattr(item, "dtype")
            }
            name = _only_name({name: item.dtype for name, item in found.items()}, path)
            return found[name][()], _MATLAB_CLASS in found[name].attrs
        except (KeyError, OSError, RuntimeError) as error:
            raise _damaged(path, error) from error


def _open_hdf5(path: Path) -> Any:
    h5py = import_extra("h5py", "sidd", f"{path.name}, a MATLAB 7.3 file,")
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{path.name} is damaged or incomplete ({error}); download it again."
    )


def _only_array(variables: dict[str, Any], path: Path) -> np.ndarray:
    dtypes = {name: np.asarray(value).dtype for name, value in variables.items()}
    return variables[_only_name(dtypes, path)]


def _only_name(dtypes: dict[str, np.dtype], path: Path) -> str:
    names = [name for name, dtype in dtypes.items() if dtype.kind in "uif"]
    if "x" in names:
        return "x"
    if len(names) != 1:
        raise ValueError(
            f"{path.name} holds the arrays {names}; needed is one, or one called 'x'."
        )
    return names[0]
