"""Where the true matches of a query stand in its ranking, without sorting the gallery.

A match's rank is one more than the number of kept gallery entries before it: those nearer, and
those equally near that come earlier. So a row of distances is compared with its few matches.
Once in NumPy, on one core (a second thread was slower: the steps are shorter than the turns of
Python's lock), and once as a batched torch function for any device.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from reid.project.errors import ReidError

Exclude = Literal["same_person_same_camera", "same_camera", "none"]

EXCLUDE = ("same_person_same_camera", "same_camera", "none")
FEW = 64  # up to so many matches a pass over the row for each is faster than binary search
LAST = np.iinfo(np.int64).max  # the key of an entry that is not in the ranking


def array_of(values: Any) -> np.ndarray:
    """NumPy's view of an array, a list, or a torch tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
        values = values.numpy()
    return np.asarray(values)


@dataclass(frozen=True)
class Labels:
    """Who and where: (Q,) of the queries, (G,) of the gallery; what a query does not see.

    `exclude` names the gallery entries that are as if absent: of the query's
    `same_person_same_camera`, of its `same_camera` (cross-camera only), or `none`.
    """

    query_person: np.ndarray
    query_camera: np.ndarray
    gallery_person: np.ndarray
    gallery_camera: np.ndarray
    exclude: Exclude

    @classmethod
    def of(cls, query_person, query_camera, gallery_person, gallery_camera, exclude) -> Labels:
        if exclude not in EXCLUDE:
            raise ReidError(f"exclude: no `{exclude}` (there are {', '.join(EXCLUDE)})")
        query_person = _whole(query_person, "query_person")
        gallery_person = _whole(gallery_person, "gallery_person")
        query_camera = _whole(query_camera, "query_camera", len(query_person))
        gallery_camera = _whole(gallery_camera, "gallery_camera", len(gallery_person))
        return cls(query_person, query_camera, gallery_person, gallery_camera, exclude)

    def keep(self, junk: Sequence[int]) -> np.ndarray:
        """Indices of the gallery without junk."""
        kept = np.flatnonzero(~np.isin(self.gallery_person, np.asarray(junk, dtype=np.int64)))
        if not len(kept):
            raise ReidError("gallery: nothing is left without junk")
        return kept

    def at(self, kept: np.ndarray) -> Labels:
        """The same with these gallery entries only."""
        person, camera = self.gallery_person[kept], self.gallery_camera[kept]
        return Labels(self.query_person, self.query_camera, person, camera, self.exclude)

    def excluded(self, query: int) -> np.ndarray:
        """(G,) bool: what the query does not see."""
        if self.exclude == "none":
            return np.zeros(len(self.gallery_person), dtype=bool)
        excluded = self.gallery_camera == self.query_camera[query]
        if self.exclude == "same_person_same_camera":
            excluded &= self.gallery_person == self.query_person[query]
        return excluded


def _whole(values: Any, name: str, count: int | None = None) -> np.ndarray:
    array = array_of(values)
    if array.ndim != 1 or not len(array):
        raise ReidError(f"{name}: shape {array.shape}, must be a list of at least one number")
    if array.dtype.kind not in "iu":
        raise ReidError(f"{name}: {array.dtype}, must be whole numbers")
    if count is not None and len(array) != count:
        raise ReidError(f"{name}: {len(array)} values for {count} persons")
    return array.astype(np.int64)


class _View:
    """The gallery as the queries of one camera see it: each person's positions."""

    def __init__(self, labels: Labels, columns: np.ndarray | None, positions: np.ndarray | None):
        """`positions` of the labels are seen (None: all); `columns` are those of the labels."""
        person, camera = labels.gallery_person, labels.gallery_camera
        if positions is not None:
            person, camera = person[positions], camera[positions]
            columns = positions if columns is None else columns[positions]
        self.columns, self.camera, self.size = columns, camera, len(person)
        order = np.argsort(person, kind="stable")  # positions ascend within a person
        persons, first = np.unique(person[order], return_index=True)
        groups = np.split(order, first[1:]) if len(persons) else []
        self.positions = dict(zip(persons.tolist(), groups, strict=True))


NOBODY = np.empty(0, dtype=np.int64)


class _Matcher:
    """Ranks of the true matches of one query after another."""

    def __init__(self, labels: Labels, columns: np.ndarray | None):
        self.labels, self.by_camera = labels, labels.exclude == "same_camera"
        cameras = np.unique(labels.query_camera).tolist() if self.by_camera else [0]
        self.views = {
            camera: _View(labels, columns, self._seen(camera) if self.by_camera else None)
            for camera in cameras
        }

    def _seen(self, camera: int) -> np.ndarray:
        return np.flatnonzero(self.labels.gallery_camera != camera)

    def __call__(self, query: int, row: np.ndarray) -> tuple[np.ndarray, int]:
        """Ranks (from 1, in no order) of the query's matches in its row, and entries it sees."""
        camera = self.labels.query_camera[query]
        view = self.views[int(camera) if self.by_camera else 0]
        row = row if view.columns is None else row.take(view.columns)
        own = view.positions.get(int(self.labels.query_person[query]), NOBODY)
        if self.labels.exclude != "same_person_same_camera" or not len(own):
            return _positions(row, own) + 1, view.size
        same = view.camera[own] == camera
        matches, excluded = own[~same], own[same]
        before = _positions(row, matches)
        if len(excluded):
            before -= _preceding(row, excluded, matches)
        return before + 1, view.size - len(excluded)


def _positions(row: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """Where each match stands in a stable sort of the row, from 0, without sorting it."""
    if len(matches) > FEW:
        return _positions_of_many(row, matches)
    before = np.empty(len(matches), dtype=np.int64)
    nearer = np.empty(len(row), dtype=bool)
    for slot, match in enumerate(matches.tolist()):
        limit = row[match]
        np.less_equal(row[:match], limit, out=nearer[:match])  # of a tie, the earlier is before
        np.less(row[match:], limit, out=nearer[match:])
        before[slot] = np.count_nonzero(nearer)
    return before


def _positions_of_many(row: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """As `_positions`, by a binary search of each entry among the sorted match distances."""
    order = np.argsort(row[matches], kind="stable")  # `matches` ascend: by distance, then index
    limits = row[matches[order]]
    bucket = np.searchsorted(limits, row, side="right")  # matches that are not farther
    nearer = np.cumsum(np.bincount(bucket, minlength=len(limits) + 1))[:-1]
    tied = np.flatnonzero((limits[bucket - 1] == row) & (bucket > 0))  # holds the matches too
    tied = tied[np.argsort(row[tied], kind="stable")]
    place = np.flatnonzero(np.isin(tied, matches))  # of each match among the tied entries
    earlier = place - np.searchsorted(row[tied], limits, side="left")
    before = np.empty(len(matches), dtype=np.int64)
    before[order] = nearer + earlier
    return before


def _preceding(row: np.ndarray, excluded: np.ndarray, matches: np.ndarray) -> np.ndarray:
    """How many of `excluded` stand before each of `matches`."""
    distance, limit = row[excluded], row[matches][:, None]
    tie = (distance == limit) & (excluded < matches[:, None])
    return ((distance < limit) | tie).sum(1)


Ranks = tuple[np.ndarray, np.ndarray, np.ndarray]  # flat ranks, their count a query, entries seen


def rank_matches(
    blocks: Iterable[np.ndarray],
    labels: Labels,
    columns: np.ndarray | None = None,
    width: int | None = None,
) -> Ranks:
    """Ranks of all matches, queries in order.

    `blocks` are consecutive rows of distances, `width` wide; the entries of `labels` are its
    `columns` (None: all).
    """
    matcher = _Matcher(labels, columns)
    queries = len(labels.query_person)
    width = len(labels.gallery_person) if width is None else width
    ranks, counts, seen = [], [], []
    for query, row in enumerate(checked_rows(blocks, queries, width)):
        found, size = matcher(query, row)
        ranks.append(found)
        counts.append(len(found))
        seen.append(size)
    return np.concatenate(ranks), np.array(counts), np.array(seen)


def checked_rows(blocks: Iterable[np.ndarray], queries: int, width: int) -> Iterator[np.ndarray]:
    """The rows (width,) of `blocks`, one a query; ReidError for other counts, widths, or NaN."""
    count = 0
    for block in blocks:
        _check_block(block, count, queries, width)
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


def rank_tensor(distance: Any, labels: Labels, rows: slice) -> Ranks:
    """As `rank_matches`, for the queries `rows`: torch distances (C, G) float32 on any device.

    Each entry's key is its distance's bits, in an order-preserving form, above its index: a total
    order without ties. Entries are counted by the first match that they do not follow.
    """
    import torch

    def on_device(values: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(values).to(distance.device)

    if distance.isnan().any():
        raise ReidError("distance: has NaN")
    same = on_device(labels.query_person[rows])[:, None] == on_device(labels.gallery_person)
    excluded = on_device(labels.query_camera[rows])[:, None] == on_device(labels.gallery_camera)
    if labels.exclude == "same_person_same_camera":
        excluded &= same
    elif labels.exclude == "none":
        excluded = torch.zeros_like(same)
    same &= ~excluded
    bits = (distance.float() + 0.0).contiguous().view(torch.int32).long()  # + 0: no negative zero
    bits = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits)
    key = (bits << 32) + torch.arange(distance.shape[1], device=distance.device)  # (C, G)
    key = key.masked_fill(excluded, LAST)
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
    seen = (~excluded).sum(1)
    return ranks[counted].cpu().numpy(), counts.cpu().numpy(), seen.cpu().numpy()
