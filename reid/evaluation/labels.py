"""Persons and cameras of queries and gallery, and which gallery entries a query does not see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np

from reid.evaluation.protocol import Exclude
from reid.project.errors import ReidError

SIDES: tuple[Literal["left"], Literal["right"]] = ("left", "right")
NO_MATCH = (
    "gallery: no query has a match; do persons and cameras have the right codes? Where all images "
    "are of one camera, the protocol that fits is `all_pairs`"
)


def array_of(values: Any) -> np.ndarray:
    """NumPy's view of an array, a list, or a torch tensor on any device."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        values = values.float() if values.is_floating_point() else values
        values = values.numpy()
    return np.asarray(values)


@dataclass(frozen=True)
class Labels:
    """Person and camera of each query (Q,) and of each gallery entry (G,), all int64."""

    query_person: np.ndarray
    query_camera: np.ndarray
    gallery_person: np.ndarray
    gallery_camera: np.ndarray

    @classmethod
    def of(
        cls, query_person: Any, query_camera: Any, gallery_person: Any, gallery_camera: Any
    ) -> Labels:
        """Labels from lists, arrays or tensors; `ReidError` unless whole numbers, as many each."""
        query_person = _whole(query_person, "query_person")
        gallery_person = _whole(gallery_person, "gallery_person")
        query_camera = _whole(query_camera, "query_camera", len(query_person))
        gallery_camera = _whole(gallery_camera, "gallery_camera", len(gallery_person))
        return cls(query_person, query_camera, gallery_person, gallery_camera)

    def without(self, junk: Sequence[int]) -> tuple[np.ndarray, Labels]:
        """Indices (K,) of the gallery entries that are not junk, and labels of these alone."""
        kept = np.flatnonzero(~np.isin(self.gallery_person, np.asarray(junk, dtype=np.int64)))
        if not len(kept):
            raise ReidError("gallery: nothing is left without junk")
        person, camera = self.gallery_person[kept], self.gallery_camera[kept]
        return kept, Labels(self.query_person, self.query_camera, person, camera)

    def split(self, query: int, exclude: Exclude) -> tuple[np.ndarray, np.ndarray]:
        """Gallery indices of a query's matches, and of entries it does not see; both ascending."""
        order, first, end = self._by_person
        own = order[first[query] : end[query]]
        if exclude == "none":
            return own, own[:0]
        camera = self.query_camera[query]
        same_camera = self.gallery_camera[own] == camera
        matches, hidden = own[~same_camera], own[same_camera]
        if exclude == "same_camera":
            hidden = np.flatnonzero(self.gallery_camera == camera)
        return matches, hidden

    @cached_property
    def _by_person(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Gallery indices by person, ascending for each, and each query's part: first and end."""
        order = np.argsort(self.gallery_person, kind="stable")
        ordered = self.gallery_person[order]
        first, end = (np.searchsorted(ordered, self.query_person, side) for side in SIDES)
        return order, first, end


def _whole(values: Any, name: str, count: int | None = None) -> np.ndarray:
    array = array_of(values)
    if array.ndim != 1 or not len(array):
        raise ReidError(f"{name}: shape {array.shape}, must be a list of at least one number")
    if array.dtype.kind not in "iu":
        raise ReidError(f"{name}: {array.dtype}, must be whole numbers")
    if count is not None and len(array) != count:
        raise ReidError(f"{name}: {len(array)} values for {count} persons")
    return array.astype(np.int64)
