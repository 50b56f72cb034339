"""Built data in torch's own terms: a map-style data set, and batches that go on where they stopped.

rows = data.role("train").torch(transform=lambda row: (row["image"], row["person"]))
loader = reid.StatefulLoader(rows, IdentityBatches(data.role("train").labels("person"), 16, 4, 0))
for epoch in range(loader.epoch, 120):
    for batch in loader:
        ...                          loader.state_dict() at any moment
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from torch.utils.data import DataLoader, Dataset

from reid.data.row import Row
from reid.data.samplers import Sampler
from reid.project.errors import ReidError


class Rows(Protocol):
    """What torch takes of a built data set's rows: their number, and several at once."""

    def __len__(self) -> int: ...

    def each(self, positions: Sequence[int], /) -> Iterable[Row]: ...


class TorchData(Dataset[Any]):
    """A map-style data set: batches are read in one go through `__getitems__`.

    It goes to worker processes by fork or pickle, from local and remote files alike; a
    `transform` that is pickled is a function with a name, not a lambda.
    """

    def __init__(self, data: Rows, transform: Callable[[Row], Any] | None = None):
        self.data, self.transform = data, transform

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, position: int) -> Any:
        count = len(self)
        if not -count <= position < count:
            raise IndexError(f"no row {position:,} (there are {count:,})")
        return self.__getitems__([position % count])[0]

    def __getitems__(self, positions: Sequence[int]) -> list[Any]:
        rows = self.data.each(positions)
        return list(rows if self.transform is None else map(self.transform, rows))


class StatefulLoader:
    """The batches of a sampler, epoch after epoch; a state of it goes on with the very next row.

    Iterating gives what is left of the current epoch; the one after it begins the next epoch.
    `state_dict` counts the batches that were handed out, whatever workers have read ahead, so that
    `load_state_dict` into a new loader of the same data and sampler gives the batches that would
    have come. Random numbers that a transform draws are its own affair.
    """

    def __init__(
        self,
        rows: TorchData,
        sampler: Sampler,
        *,
        workers: int = 0,
        collate: Callable[[list[Any]], Any] | None = None,
        **options: Any,
    ):
        """`options` go to `torch.utils.data.DataLoader`, such as `pin_memory`."""
        self.rows, self.sampler, self.workers, self.collate = rows, sampler, workers, collate
        self.options = options
        self.epoch = self.done = 0  # the current epoch; how many of its batches were handed out

    def __len__(self) -> int:
        """The most batches that an epoch can have."""
        return len(self.sampler)

    def __iter__(self) -> Iterator[Any]:
        batches = self.sampler.batches(self.epoch)
        left = [batch.tolist() for batch in batches[self.done :]]
        loader: DataLoader[Any] = DataLoader(
            self.rows,
            batch_sampler=left,
            num_workers=self.workers,
            collate_fn=self.collate,
            **self.options,
        )
        for batch in loader:
            self.done += 1
            if self.done == len(batches):
                self.epoch, self.done = self.epoch + 1, 0
            yield batch

    def state_dict(self) -> dict[str, int]:
        """Where the next batch is: its epoch and number, and a checksum of the epoch's rows."""
        return {"epoch": self.epoch, "batch": self.done, "rows": self._checksum(self.epoch)}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on at a state; `ReidError` where it is of other data or another sampler."""
        if state["rows"] != self._checksum(state["epoch"]):
            raise ReidError(
                "loader: the state is of other rows or another sampler (its kind, seed, sizes); "
                "make the loader as it was"
            )
        self.epoch, self.done = state["epoch"], state["batch"]

    def _checksum(self, epoch: int) -> int:
        digest = len(self.rows)
        for batch in self.sampler.batches(epoch):
            digest = zlib.crc32(np.asarray(batch, np.int64).tobytes(), digest)
        return digest
