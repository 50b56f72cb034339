"""One training on several devices: its start, the share of each process, and their exchanges.

`torchrun ... -m reid train NAME` starts the processes, on one machine or several; `.work/` must
then be on a file system that all of them share. `--devices N` calls it for this machine.
"""

from __future__ import annotations

import atexit
import os
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, distributed, nn

from reid.data.clips import Tracklets
from reid.data.dataset import Data
from reid.nn.device import device_of
from reid.project.errors import ReidError
from reid.project.locks import lock

MIXED = {"bf16-mixed": torch.bfloat16, "16-mixed": torch.float16}


@dataclass(frozen=True)
class Devices:
    """The devices of one training, as one of its processes sees them."""

    device: torch.device  # this process's
    precision: str  # 32-true, bf16-mixed or 16-mixed
    rank: int = 0
    count: int = 1
    scaler: torch.amp.GradScaler | None = None  # of float16's losses

    @property
    def first(self) -> bool:
        """Whether this process prints and publishes."""
        return self.rank == 0

    def parallel(self, network: nn.Module) -> nn.Module:
        """The network with its gradients averaged over all devices."""
        if self.count == 1:
            return network
        # Phases of some papers leave parameters without gradients.
        return nn.parallel.DistributedDataParallel(network, find_unused_parameters=True)

    def autocast(self) -> AbstractContextManager[Any]:
        """What is computed in it is in this precision."""
        kind = MIXED.get(self.precision)
        return nullcontext() if kind is None else torch.autocast(self.device.type, kind)

    def seed(self, number: int) -> None:
        """Start the draws of dropout from a number: a hundredth of `torch.manual_seed`'s time.

        That one writes down the call stack for each kind of device that is not in use.
        """
        torch.default_generator.manual_seed(number)
        if self.device.type != "cpu":
            torch.get_device_module(self.device).manual_seed(number)

    def forward(self, network: nn.Module, batch: dict[str, Tensor]) -> Any:
        """The network's output in float32; itself it computes in this precision."""
        with self.autocast():
            output = network(batch)
        return output if self.precision == "32-true" else _float32(output)

    def update(self, loss: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """The gradients of a loss, and one step along them."""
        if self.scaler is None:
            loss.backward()
            optimizer.step()
            return
        self.scaler.scale(loss).backward()
        self.scaler.step(optimizer)
        self.scaler.update()


def launched(device: str, precision: str) -> Devices:
    """The device of this process, and the others that torchrun started, if it did.

    Precision `auto` is bfloat16 on CUDA. `ReidError` where there is no such device.
    """
    own = device_of(device)
    rank, count = (
        int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1))
    )
    if count > 1:
        own = device_of(f"cuda:{os.environ['LOCAL_RANK']}") if own.type == "cuda" else own
        distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
        atexit.register(distributed.destroy_process_group)
    if own.type == "cuda":
        torch.cuda.set_device(own)
    if precision == "auto":
        precision = "bf16-mixed" if own.type == "cuda" else "32-true"
    scaler = torch.amp.GradScaler(own.type) if precision == "16-mixed" else None
    return Devices(own, precision, rank, count, scaler)


def _float32(output: Any) -> Any:
    """Each floating tensor of dicts and sequences as float32."""
    if isinstance(output, dict):
        return {name: _float32(value) for name, value in output.items()}
    if isinstance(output, list | tuple):
        return type(output)(_float32(value) for value in output)
    is_float = isinstance(output, Tensor) and output.is_floating_point()
    return output.float() if is_float else output


def first_locks(devices: Devices, path: Path, what: str) -> AbstractContextManager[None]:
    """The lock of a training, held by its first process for all of them."""
    return lock(path, what) if devices.first else nullcontext()


def wait_for_all(devices: Devices) -> None:
    """Return when every process has come here."""
    if devices.count > 1:
        distributed.barrier()


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


def summed(devices: Devices, values: Tensor) -> Tensor:
    """The sum over all devices, on each; `values` are overwritten by it."""
    if devices.count > 1:
        distributed.all_reduce(values)
    return values


def gathered(devices: Devices, *arrays: np.ndarray) -> list[np.ndarray]:
    """Each array with the rows of all devices, device after device; one exchange for all arrays."""
    if devices.count == 1:
        return [*arrays]
    per_device: list[Any] = [None] * devices.count
    distributed.all_gather_object(per_device, arrays)
    return [np.concatenate(each) for each in zip(*per_device, strict=True)]
