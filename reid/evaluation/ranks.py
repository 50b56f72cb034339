"""Ranks of a query's true matches in its ranking of the gallery.

A match's rank is one more than the number of entries before it: those nearer, and those equally
near that come earlier. Only the distances up to the farthest match's are sorted, without their
indices; each match is then located by a binary search. `rank_matches` does so in NumPy on
one core (a second thread was slower: the steps are shorter than the turns of Python's lock),
`rank_tensor` for a batch of queries in torch on any device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from reid.evaluation.labels import Labels
from reid.evaluation.protocol import Exclude
from reid.project.errors import ReidError

MANY_TIES = 64  # with so many tied matches, one stable sort is faster than a pass for each
LAST = np.iinfo(np.int64).max  # the key of an entry that is not in the ranking

Ranks = tuple[np.ndarray, np.ndarray, np.ndarray]  # of all matches; each query's: matches, entries


def positions(row: np.ndarray, matches: np.ndarray, hidden: np.ndarray) -> np.ndarray:
    """Positions from 0 of `matches` (M,) in a stable sort of distances (G,) without `hidden` (H,).

    Both are ascending indices, and have none in common.
    """
    if not len(matches):
        return matches
    limits = row[matches]
    near = row <= limits.max()  # (G,): no other entry comes before a match
    near[hidden] = False
    ordered = np.sort(row[near])
    before = np.searchsorted(ordered, limits, side="left")
    tied = np.flatnonzero(np.searchsorted(ordered, limits, side="right") - before > 1)
    if len(tied) >= MANY_TIES:
        entries, position = np.flatnonzero(near), np.empty(len(row), dtype=np.int64)
        position[entries[np.argsort(row[near], kind="stable")]] = np.arange(len(entries))
        return position[matches]
    for slot in tied.tolist():
        earlier = slice(matches[slot])
        before[slot] += np.count_nonzero(near[earlier] & (row[earlier] == limits[slot]))
    return before


def rank_matches(rows: Iterable[np.ndarray], labels: Labels, exclude: Exclude) -> Ranks:
    """Ranks from 1 of all matches, query after query; `rows` are each query's distances (G,)."""
    ranks, seen = [], []
    for query, row in enumerate(rows):
        matches, hidden = labels.split(query, exclude)
        ranks.append(positions(row, matches, hidden) + 1)
        seen.append(len(row) - len(hidden))
    return np.concatenate(ranks), np.array([len(one) for one in ranks]), np.array(seen)


def checked_rows(blocks: Iterable[np.ndarray], queries: int, width: int) -> Iterator[np.ndarray]:
    """The rows (width,) of `blocks`, one for each query, as floats.

    Raises `ReidError` for another number or width of rows, or NaN.
    """
    count = 0
    for block in blocks:
        _check_block(block, count, queries, width)
        block = block if block.dtype.kind == "f" else block.astype(np.float64)
        for row in block:
            row = np.ascontiguousarray(row)
            if np.isnan(row.min()):  # the least is NaN where any is
                raise ReidError(f"distance: row {count} has NaN")
            yield row
            count += 1
    if count != queries:
        raise ReidError(f"distance: {count} rows for {queries} queries")


def _check_block(block: np.ndarray, start: int, queries: int, width: int) -> None:
    if block.ndim != 2 or block.shape[1] != width:
        raise ReidError(f"distance: shape {block.shape}, must be (queries, {width})")
    if start + len(block) > queries:
        raise ReidError(f"distance: more rows than the {queries} queries")


def checked_ranks(ranks: Sequence[int]) -> tuple[int, ...]:
    """The ranks as a tuple; `ReidError` unless there is at least one and all are at least 1."""
    if not ranks or min(ranks) < 1:
        raise ReidError(f"ranks: {tuple(ranks)}, must be whole numbers from 1")
    return tuple(ranks)


def rank_tensor(distance: Any, labels: Labels, exclude: Exclude, rows: slice) -> Ranks:
    """As `rank_matches`, for the queries `rows`: torch distances (C, G) float32 on any device.

    Each entry's key has the bits of its distance, in an order-preserving form, above those of its
    index: a total order without ties. Each entry is counted at the first match not before it.
    """
    import torch

    def on_device(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(distance.device)

    if distance.isnan().any():
        raise ReidError("distance: has NaN")
    same = on_device(labels.query_person[rows])[:, None] == on_device(labels.gallery_person)
    hidden = on_device(labels.query_camera[rows])[:, None] == on_device(labels.gallery_camera)
    if exclude == "same_person_same_camera":
        hidden &= same
    elif exclude == "none":
        hidden = torch.zeros_like(same)
    same &= ~hidden
    bits = (distance.float() + 0.0).contiguous().view(torch.int32).long()  # + 0: no negative zero
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    key = (bits << 32) + torch.arange(distance.shape[1], device=distance.device)  # (C, G)
    key = key.masked_fill(hidden, LAST)
    counts = same.sum(1)  # (C,)
    width = int(counts.max())
    query, entry = same.nonzero(as_tuple=True)
    slot = torch.arange(len(query), device=distance.device) - (counts.cumsum(0) - counts)[query]
    targets = torch.full((len(distance), width), LAST, device=distance.device)
    targets[query, slot] = key[query, entry]
    targets = targets.sort(1).values  # (C, width): the matches alone
    bucket = torch.searchsorted(targets, key)  # (C, G): matches before the entry
    tally = torch.zeros((len(distance), width + 1), dtype=torch.int64, device=distance.device)
    ranks = tally.scatter_add_(1, bucket, torch.ones_like(bucket)).cumsum(1)[:, :width]
    counted = torch.arange(width, device=distance.device) < counts[:, None]
    seen = (~hidden).sum(1)
    return ranks[counted].cpu().numpy(), counts.cpu().numpy(), seen.cpu().numpy()
