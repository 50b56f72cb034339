"""Whether the values of weights may be a network's: numbers, of floats no others than finite."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from reid.project.errors import ReidError


def check_values(own: Mapping[str, Any], state: Mapping[str, Any], path: Path | str) -> None:
    """Raises `ReidError` with the first name whose value is not what the network holds there.

    `own` are the network's tensors by name, `state` those of the file `path`; names that only one
    of them has, and tensors of another shape, are not looked at.
    """
    import torch

    for name, wanted in own.items():
        if name not in state:
            continue
        value, wrong = state[name], ""
        if not isinstance(value, torch.Tensor):
            wrong = f"is {type(value).__name__}, not a tensor"
        elif value.is_nested or value.layout != torch.strided or value.device.type == "meta":
            wrong = "is a sparse, nested or empty tensor, not an array of numbers"
        elif value.shape != wanted.shape:  # it may be far larger than its file
            continue
        elif wanted.is_floating_point() and not value.is_floating_point():
            wrong = f"holds {str(value.dtype).removeprefix('torch.')}, not floats"
        elif value.is_floating_point() and not bool(torch.isfinite(value.float()).all()):
            wrong = "holds NaN or infinity"
        if wrong:
            raise ReidError(f"{path}: {name} {wrong}; take the weights of another checkpoint")
