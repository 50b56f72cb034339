"""The torch device that a name means."""

from __future__ import annotations

import torch

from reid.project.errors import ReidError


def device_of(device: str) -> torch.device:
    """The torch device of a name; `auto` is CUDA where there is one, else the CPU."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        result = torch.device(device)
    except RuntimeError:
        raise ReidError(f"device: no `{device}` (there are auto, cpu, cuda)") from None
    if result.type == "cuda" and not torch.cuda.is_available():
        raise ReidError(f"device: `{device}`, but torch finds no CUDA device; use cpu")
    if result.type == "cuda" and (result.index or 0) >= torch.cuda.device_count():
        raise ReidError(f"device: no `{device}` (torch finds {torch.cuda.device_count()} of CUDA)")
    return result
