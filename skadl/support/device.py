"""Where and how precisely to compute."""

from __future__ import annotations

import torch

PRECISIONS = ("auto", "float32", "bfloat16")


def resolve_device(device: str | torch.device) -> torch.device:
    """Turn a name into a device that is there; "auto" prefers a CUDA GPU to the CPU."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        resolved = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ValueError(
            f"device {device!r} is not a torch device; use 'auto', 'cpu' or 'cuda'."
        ) from error
    if not is_available(resolved):
        raise ValueError(
            f"device {device!r} is not available on this machine; use device='auto'."
        )
    return resolved


def is_available(device: torch.device) -> bool:
    """Say whether tensors can be put on a device."""
    if device.type == "cuda":
        return torch.cuda.is_available() and (
            device.index is None or device.index < torch.cuda.device_count()
        )
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"


def resolve_precision(precision: str, device: torch.device) -> torch.dtype | None:
    """Choose the autocast type of the convolutions; None is float32 throughout.

    `precision` is one of `PRECISIONS`; "auto" is bfloat16 where the hardware computes
    in it.
    """
    if precision == "float32":
        return None
    if precision == "bfloat16" or _computes_bfloat16(device):
        return torch.bfloat16
    return None


def _computes_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        capabilities = getattr(torch.cpu, "get_capabilities", dict)()  # torch >= 2.9
        return bool(capabilities.get("avx512_bf16", False))
    return False
