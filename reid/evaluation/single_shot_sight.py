"""What each query of a single-gallery-shot evaluation sees of the gallery, grouped by person."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from reid.evaluation.labels import Labels
from reid.evaluation.protocol import Exclude


class View:
    """The gallery without one camera (None: all of it), its entries grouped by person."""

    def __init__(self, labels: Labels, hidden_camera: int | None):
        entries = np.arange(len(labels.gallery_person))
        if hidden_camera is not None:
            entries = np.flatnonzero(labels.gallery_camera != hidden_camera)
        person = labels.gallery_person[entries]
        order = np.argsort(person, kind="stable")
        self.entries = entries[order]  # (S,)
        self.persons, self.start, self.count = np.unique(  # (J,) each
            person[order], return_index=True, return_counts=True
        )
        self.group = np.repeat(np.arange(len(self.persons)), self.count)  # (S,)
        self.drawn = np.empty((0, len(self.persons)), dtype=np.int64)  # (R, J) if shared

    def find(self, person: int) -> int | None:
        """The person's group; None where the person is not in this view."""
        group = int(np.searchsorted(self.persons, person))
        seen = group < len(self.persons) and self.persons[group] == person
        return group if seen else None


@dataclass(frozen=True)
class Query:
    """A query with a match: what it sees of its own person and of the others."""

    own: View
    own_group: int
    others: View
    own_among_others: int | None  # group of the own person in `others`, which does not count
    position: np.ndarray  # (G,) positions of the gallery entries in the query's ranking, from 0

    @property
    def matches(self) -> np.ndarray:
        start = self.own.start[self.own_group]
        return self.own.entries[start : start + self.own.count[self.own_group]]


class Sight:
    """The views that the queries have of the gallery, by the camera of the query."""

    def __init__(self, labels: Labels, exclude: Exclude):
        self.labels, self.exclude = labels, exclude
        self.whole = View(labels, None)
        cameras = [] if exclude == "none" else np.unique(labels.query_camera).tolist()
        self.without = {camera: View(labels, camera) for camera in cameras}

    def query(self, index: int, row: np.ndarray) -> Query | None:
        """The query of an index, with its distances `row` (G,); None if it has no match."""
        person = int(self.labels.query_person[index])
        own = self.without.get(int(self.labels.query_camera[index]), self.whole)
        others = own if self.exclude == "same_camera" else self.whole
        group = own.find(person)
        if group is None:
            return None
        position = np.empty(len(row), dtype=np.int32)
        position[np.argsort(row, kind="stable")] = np.arange(len(row), dtype=np.int32)
        return Query(own, group, others, others.find(person), position)

    def views(self) -> list[View]:
        """All views, the whole gallery first."""
        return [self.whole, *self.without.values()]
