"""What skadl runs on, in one text for a bug report."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from typing import Any

import rawpy
import torch

import skadl
from skadl.support.device import resolve_device, resolve_precision

REQUIRED = (
    "numpy",
    "scipy",
    "scikit-learn",
    "scikit-image",
    "joblib",
    "rawpy",
    "tifffile",
    "safetensors",
    "click",
    "tqdm",
)
EXTRAS = {
    "plot": ("matplotlib",),
    "dng": ("imagecodecs",),
    "frame": ("pandas",),
    "onnx": ("onnx",),
    "sidd": ("h5py",),
    "bench": ("bm3d", "matplotlib", "pandas"),
    "dask": ("distributed",),
    "fits": ("astroalign", "astropy"),
    "bm3d": ("bm3d",),
    "app": ("matplotlib", "starlette", "uvicorn"),
    "onnxruntime": ("onnx", "onnxruntime"),
    "openvino": ("onnx", "openvino"),
}


def show_versions() -> None:
    """Print what a bug report needs: versions, processor and what is optional.

    The text names no user, host, folder or environment variable.

    See Also
    --------
    skadl.support.versions.collect_versions : The same as a dict.
    """
    versions = collect_versions()
    versions["extras"] = {
        extra: ", ".join(f"{name} {_shown(found)}" for name, found in packages.items())
        for extra, packages in versions["extras"].items()
    }
    for title, lines in versions.items():
        print(f"\n{title}")
        for name, value in lines.items():
            print(f"{name:>14}: {_shown(value)}")


def collect_versions() -> dict[str, dict[str, Any]]:
    """Gather what `show_versions` prints, for a script.

    Returns
    -------
    dict
        Plain values, as JSON takes them, in four dicts. "system": versions of skadl
        and Python, the platform, and how many processors this process may use.
        "torch": its version and that of its CUDA (None without), the device and the
        precision that "auto" chooses, the names of the GPUs, the vector instructions
        that torch uses on the processor ("AMX" only from torch 2.9 on), and the number
        of threads. "packages": version by package, and that of LibRaw inside rawpy.
        "extras": for each extra of skadl, version by package. A package that is not
        installed is None.
    """
    return {
        "system": {
            "skadl": skadl.__version__,
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "platform": platform.platform(),
            "machine": platform.machine(),
            "processors": _n_processors(),
        },
        "torch": _describe_torch(),
        "packages": {
            **{name: _version(name) for name in REQUIRED},
            "LibRaw": ".".join(map(str, rawpy.libraw_version)),
        },
        "extras": {
            extra: {name: _version(name) for name in names}
            for extra, names in EXTRAS.items()
        },
    }


def _describe_torch() -> dict[str, Any]:
    device = resolve_device("auto")
    precision = resolve_precision("auto", device) or torch.float32
    capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch >= 2.9
    return {
        "version": str(torch.__version__),
        "cuda": torch.version.cuda,
        "device": str(device),
        "precision": str(precision).removeprefix("torch."),
        "gpus": [
            torch.cuda.get_device_name(index)
            for index in range(torch.cuda.device_count())
        ],
        "instructions": [
            torch.backends.cpu.get_cpu_capability(),
            *(["AMX"] if capabilities.get("amx_bf16") else []),
        ],
        "threads": torch.get_num_threads(),
    }


def _n_processors() -> int | None:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def _version(package: str) -> str | None:
    """Version of a package, without importing it: it may be slow or broken."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(value) or "none"
    return "not installed" if value is None else str(value)
