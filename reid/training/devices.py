"""One training on several devices: its start, the share of each process, and their exchanges.

`--devices N` starts N processes on this machine. `torchrun ... -m reid train NAME` starts them
itself, on one machine or several; `.work/` must then be on a file system that all of them share.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from lightning.fabric import Fabric
from torch import Tensor

from reid.data.clips import Tracklets
from reid.data.dataset import Data
from reid.evaluation.evaluate import device_of
from reid.project.errors import ReidError
from reid.project.locks import lock


def precision_of(device: str, wanted: str) -> str:
    """Fabric's word for a precision; `auto` is bfloat16 where there is CUDA."""
    if wanted != "auto":
        return wanted
    on_cuda = device != "cpu" and torch.cuda.is_available()
    return "bf16-mixed" if on_cuda else "32-true"


def launched(device: str, devices: int, precision: str) -> Fabric:
    """Fabric with its processes running: those that torchrun started, else `devices` new ones.

    `ReidError` where there is no such device.
    """
    nodes = 1
    kind = "auto" if device == "auto" else device_of(device).type
    if "TORCHELASTIC_RUN_ID" in os.environ:
        devices = int(os.environ["LOCAL_WORLD_SIZE"])
        nodes = int(os.environ["WORLD_SIZE"]) // devices
    strategy: Any = "auto"
    if devices * nodes > 1:  # phases of some papers leave parameters without gradients
        strategy = "ddp_find_unused_parameters_true"
    fabric = Fabric(
        accelerator=kind,
        devices=devices, num_nodes=nodes, strategy=strategy,
        precision=precision_of(device, precision),  # pyright: ignore[reportArgumentType]
    )  # fmt: skip
    fabric.launch()
    return fabric


def is_first() -> bool:
    """Whether this is a training's first or only process: it prints and publishes."""
    return all(os.environ.get(name, "0") == "0" for name in ("RANK", "LOCAL_RANK", "NODE_RANK"))


def first_locks(fabric: Fabric, path: Path, what: str) -> AbstractContextManager[None]:
    """The lock of a training, held by its first process for all of them."""
    return lock(path, what) if fabric.is_global_zero else nullcontext()


def share(samples: int, together: int, rank: int, ranks: int) -> np.ndarray:
    """The positions in a batch that one device takes; groups of `together` samples stay whole.

    Batches of P identities with K images are divided by identities, so that each device has K
    images of each of its identities. `ReidError` where a device would get nothing.
    """
    groups = samples // together
    if groups < ranks:
        raise ReidError(
            f"a batch of {samples} samples in groups of {together} cannot be divided among {ranks} "
            "devices; use fewer --devices or a larger batch"
        )
    return np.arange(samples).reshape(-1, together)[rank::ranks].ravel()


def rows_of(data: Data, rank: int, ranks: int) -> Data:
    """The rows of which one device extracts features: whole tracklets.

    `ReidError` where there are fewer tracklets than devices.
    """
    if ranks == 1:
        return data
    tracklets = Tracklets.of(data)
    if len(tracklets) < ranks:
        raise ReidError(
            f"{len(tracklets)} held-out tracklets cannot be divided among {ranks} devices; raise "
            "val_identities or use fewer --devices"
        )
    number = np.repeat(np.arange(len(tracklets)), tracklets.count)
    return data.choose(np.sort(tracklets.rows[number % ranks == rank]))


def summed(fabric: Fabric, values: Tensor) -> Tensor:
    """The sum over all devices, on each."""
    if fabric.world_size == 1:
        return values
    return cast(Tensor, fabric.all_reduce(values, reduce_op="sum"))


def gathered(fabric: Fabric, *arrays: np.ndarray) -> list[np.ndarray]:
    """Each array with the rows of all devices, device after device; one exchange for all arrays."""
    if fabric.world_size == 1:
        return [*arrays]
    per_device: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(per_device, arrays)
    return [np.concatenate(each) for each in zip(*per_device, strict=True)]
