"""Which rows make up each batch of an epoch: pure functions of (seed, epoch).

A sampler holds no state: `batches(epoch)` gives the same arrays of row numbers whenever it is
called, so a resumed run goes on with the batches that it would have had.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import numpy as np

from reid.project.errors import ReidError

Mode = Literal["bag_of_tricks", "uniform"]


class Sampler(Protocol):
    """What a trainer needs of a sampler."""

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The epoch's batches of row numbers, in order."""
        ...

    def __len__(self) -> int:
        """The most batches that an epoch can have."""
        ...


class Shuffle:
    """Every row once an epoch, in random order, `batch` at a time.

    The last batch, where it is not full, is left out with `drop_last`; `len` is exact.
    """

    def __init__(self, count: int, batch: int, seed: int, *, drop_last: bool = False):
        _at_least_one(count=count, batch=batch)
        if drop_last and count < batch:
            raise ReidError(f"sampler: {count} rows do not fill a batch of {batch}")
        self.count, self.batch, self.seed, self.drop_last = count, batch, seed, drop_last

    def __len__(self) -> int:
        return self.count // self.batch if self.drop_last else -(-self.count // self.batch)

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The epoch's batches of row numbers, (batch,) int64 each."""
        order = _generator(self.seed, epoch).permutation(self.count)
        return [order[start : start + self.batch] for start in range(0, self.count, self.batch)][
            : len(self)
        ]


class TwoPhases:
    """Batches of the first sampler for so many epochs, then those of the second."""

    def __init__(self, first: Sampler, epochs: int, second: Sampler):
        self.first, self.epochs, self.second = first, epochs, second

    def __len__(self) -> int:
        return max(len(self.first), len(self.second))

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The epoch's batches of row numbers."""
        return (self.first if epoch < self.epochs else self.second).batches(epoch)


class IdentityBatches:
    """P identities with K images each: batches of P x K row numbers, an identity's side by side.

    `person` (N,) is each row's person. An identity with fewer than K images gives K by drawing
    with replacement (an image may come twice, another not at all).

    bag_of_tricks  Each identity's images are shuffled and cut into groups of K; what is left over
                   sits out this epoch. P identities that still have a group are drawn at random,
                   each gives one group, until fewer than P have any. Every batch is full. How many
                   there are depends on the draws; `len` is the most there can be.
                   Source: Luo et al., CVPRW 2019 ("Bag of tricks"), its published sampler.
    uniform        Each identity once an epoch, in random order, with K images drawn without
                   replacement. The last batch, where it has fewer than P identities, is left out
                   with `drop_last`; `len` is exact.
                   Source: Hermans et al., arXiv:1703.07737, section 2.
    """

    def __init__(
        self,
        person: Any,
        identities: int,
        images: int,
        seed: int,
        mode: Mode = "bag_of_tricks",
        *,
        drop_last: bool = True,
    ):
        _at_least_one(identities=identities, images=images)
        if mode not in ("bag_of_tricks", "uniform"):
            raise ReidError(f"sampler: no mode `{mode}` (there are bag_of_tricks, uniform)")
        self.identities, self.images, self.seed = identities, images, seed
        self.mode, self.drop_last = mode, drop_last
        person = np.asarray(person)
        order = np.argsort(person, kind="stable")
        _, first = np.unique(person[order], return_index=True)
        self.rows = np.split(order, first[1:])  # the row numbers of each identity
        if len(first) < identities:
            raise ReidError(
                f"sampler: {len(first)} persons do not fill a batch of {identities} persons; "
                "take a smaller `batch`, or fewer `identities`"
            )

    def __len__(self) -> int:
        if self.mode == "uniform":
            whole, rest = divmod(len(self.rows), self.identities)
            return whole + (rest > 0 and not self.drop_last)
        groups = np.array([max(1, len(rows) // self.images) for rows in self.rows])
        # `most` batches can be filled if identities, at one group a batch, have enough for them.
        most = int(groups.sum()) // self.identities
        while np.minimum(groups, most).sum() < most * self.identities:
            most -= 1
        return most

    def batches(self, epoch: int) -> list[np.ndarray]:
        """The epoch's batches of row numbers, (P * K,) int64 each."""
        generator = _generator(self.seed, epoch)
        if self.mode == "uniform":
            return self._uniform(generator)
        return self._bag_of_tricks(generator)

    def _uniform(self, generator: np.random.Generator) -> list[np.ndarray]:
        order: list[int] = generator.permutation(len(self.rows)).tolist()
        drawn = [self._draw(self.rows[identity], generator) for identity in order]
        starts = range(0, len(self) * self.identities, self.identities)
        return [np.concatenate(drawn[start : start + self.identities]) for start in starts]

    def _draw(self, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        return generator.choice(rows, self.images, replace=len(rows) < self.images)

    def _bag_of_tricks(self, generator: np.random.Generator) -> list[np.ndarray]:
        groups = [self._groups(rows, generator) for rows in self.rows]
        left = np.array([len(group) for group in groups])  # groups that each identity still has
        batches: list[np.ndarray] = []
        available = np.flatnonzero(left)
        while len(available) >= self.identities:
            chosen = generator.choice(available, self.identities, replace=False)
            left[chosen] -= 1
            numbers: list[int] = chosen.tolist()
            own = [groups[i][left[i]] for i in numbers]
            batches.append(np.concatenate(own))
            available = np.flatnonzero(left)
        return batches

    def _groups(self, rows: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Row numbers (groups, K)."""
        if len(rows) < self.images:
            return self._draw(rows, generator)[None]
        whole = len(rows) // self.images * self.images
        return generator.permutation(rows)[:whole].reshape(-1, self.images)


def _generator(seed: int, epoch: int) -> np.random.Generator:
    return np.random.default_rng([seed, epoch])


def _at_least_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ReidError(f"sampler: {name} is {number}, must be at least 1")
