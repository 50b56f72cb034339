# torch.from_numpy has no types:
# pyright: reportUnknownMemberType=false
"""A paper's prepared samples as batches of uint8 tensors, resident where they fit.

A paper's `view` turns one row into arrays of fixed size, without randomness: so each row is
prepared once and kept, in memory or on the device, and a training step is an index and the
augmentation on the device. What does not fit is prepared ahead by threads (decoders and resizing
release the interpreter's lock).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from reid.data.dataset import Data
from reid.project.errors import ReidError
from reid.project.progress import Meter, advance
from reid.project.threads import cores

View = Callable[[dict[str, Any]], dict[str, np.ndarray]]
CHUNK = 32  # rows that one thread prepares at a time
SHARE = 0.5  # of the free memory that resident samples may take

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class Draw:
    """The samples of a batch, the rows that they are made of, and what they are combined with."""

    samples: np.ndarray  # (B,) numbers: rows are their own samples, clips are of tracklets
    rows: np.ndarray  # (B,) positions in the data, or (B, T) of the frames of clips
    donors: np.ndarray  # (B,) positions in the data, -1 where a sample stays as it is

    @property
    def needed(self) -> np.ndarray:
        """(B + S,) positions: the batch's, then those of the donors that there are."""
        return np.concatenate([self.rows.ravel(), self.donors[self.donors >= 0]])

    def clips(self, batch: Batch) -> Batch:
        """The rows of `needed` as (B, T, ...), where samples are clips, else as they are."""
        if self.rows.ndim == 1:
            return batch
        return {name: values.unflatten(0, self.rows.shape) for name, values in batch.items()}

    def parts(self, batch: Batch) -> tuple[Batch, Batch, Tensor]:
        """Of the samples of `needed` the batch's (B), the donors' (S), and where these go."""
        own = {name: values[: len(self.rows)] for name, values in batch.items()}
        given = {name: values[len(self.rows) :] for name, values in batch.items()}
        device = next(iter(batch.values())).device
        return own, given, torch.from_numpy(np.flatnonzero(self.donors >= 0)).to(device)


class Views:
    """Prepared samples of `data`; `resident`: auto, device, memory or off."""

    def __init__(
        self, data: Data, view: View, device: torch.device, resident: str = "auto", threads: int = 0
    ):
        self.data, self.view, self.device = data, view, device
        self.threads = threads or cores()
        if len(data) == 0:
            raise ReidError("no rows to prepare: the chosen part of the data set is empty")
        first = self._prepare(np.array([0]))
        self.bytes = len(data) * sum(t.nbytes for t in first.values())
        self.resident = self._place(resident)
        self.kept = self._keep(first) if self.resident != "off" else None

    def _place(self, resident: str) -> str:
        """Where the samples fit: the device, the memory, or nowhere."""
        if resident not in ("auto", "device", "memory", "off"):
            raise ReidError(f"resident: `{resident}` is none of auto, device, memory, off")
        if resident != "auto":
            return "memory" if resident == "device" and self.device.type == "cpu" else resident
        if self.device.type == "cuda" and self.bytes < SHARE * torch.cuda.mem_get_info()[0]:
            return "device"
        return "memory" if self.bytes < SHARE * psutil.virtual_memory().available else "off"

    def _keep(self, first: Batch) -> Batch:
        count = len(self.data)
        kept = {n: torch.empty((count, *t.shape[1:]), dtype=t.dtype) for n, t in first.items()}
        chunks = np.array_split(np.arange(count), max(1, count // CHUNK))

        def fill(rows: np.ndarray) -> None:
            for name, values in self._prepare(rows).items():
                kept[name][rows[0] : rows[-1] + 1] = values

        meter = Meter("images prepared", count, unit="images")
        with meter, ThreadPoolExecutor(self.threads) as pool:
            for rows, _ in zip(chunks, pool.map(fill, chunks), strict=True):
                advance(len(rows))
        return (
            {n: t.to(self.device) for n, t in kept.items()} if self.resident == "device" else kept
        )

    def _prepare(self, rows: np.ndarray) -> Batch:
        views = [self.view(row) for row in self.data.each(rows)]
        return {n: torch.from_numpy(np.stack([v[n] for v in views])) for n in views[0]}

    def get(self, rows: np.ndarray) -> Batch:
        """The samples of `rows` (positions in `data`), on the device."""
        if self.kept is None:
            batch = self._prepare(rows)
        else:
            device = self.device if self.resident == "device" else "cpu"
            index = torch.from_numpy(np.asarray(rows)).to(device)
            batch = {name: kept.index_select(0, index) for name, kept in self.kept.items()}
        if self.device.type == "cuda" and self.resident != "device":
            return {n: t.pin_memory().to(self.device, non_blocking=True) for n, t in batch.items()}
        return batch

    def batches(self, order: Iterable[np.ndarray]) -> Iterator[tuple[np.ndarray, Batch]]:
        """The samples of each batch of positions; prepared ahead where they are not resident."""
        if self.kept is not None:
            for rows in order:
                yield rows, self.get(rows)
            return
        with ThreadPoolExecutor(self.threads) as pool:
            waiting: list[tuple[np.ndarray, Any]] = []
            for rows in order:
                waiting.append((rows, pool.submit(self.get, rows)))
                if len(waiting) > 2 * self.threads:
                    ready, future = waiting.pop(0)
                    yield ready, future.result()
            for ready, future in waiting:
                yield ready, future.result()
