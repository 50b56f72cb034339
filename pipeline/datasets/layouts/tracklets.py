"""What readers of tracklets in folders share: the folders, counts by role, and the protocol."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.datasets.base import Reject, single_query
from pipeline.datasets.layouts import names

ROLES = ("train", "query", "gallery")


class Tracklet(NamedTuple):
    """What is counted of one tracklet."""

    person: int
    camera: int
    frames: int
    roles: tuple[str, ...]


def folders_in(folder: Path, label: str, expected: str) -> tuple[list[str], list[Reject]]:
    """Sorted names of the folders in `folder`, and links to some; all else but clutter is rejected.

    `label` is the folder's path in the rejects' ids, `expected` what belongs there. Raises
    `ReidError` where the folder cannot be read.
    """

    def why_no_folder(entry: os.DirEntry[str]) -> str:
        if entry.is_dir():
            return ""
        if entry.is_symlink() and not entry.is_file():
            return "a link to nothing"
        return f"not a folder; expected {expected}"

    return names.entries_in(folder, label, why_no_folder)


def count_tracklets(tracklets: Iterable[Tracklet], roles: Sequence[str] = ROLES) -> dict[str, int]:
    """Images, tracklets and persons by role; junk and distractors are no persons."""
    tracklets = list(tracklets)
    counts: dict[str, int] = {}
    for role in roles:
        chosen = [t for t in tracklets if role in t.roles]
        counts[role] = sum(t.frames for t in chosen)
        counts[f"{role}_identities"] = len({t.person for t in chosen if t.person > 0})
        counts[f"{role}_tracklets"] = len(chosen)
    return counts


def queries_without_match(tracklets: Iterable[Tracklet]) -> int:
    """Query tracklets whose person no gallery tracklet of another camera shows."""
    tracklets = list(tracklets)
    cameras: dict[int, set[int]] = {}
    for tracklet in tracklets:
        if "gallery" in tracklet.roles:
            cameras.setdefault(tracklet.person, set()).add(tracklet.camera)
    queries = [t for t in tracklets if "query" in t.roles]
    return sum(not cameras.get(t.person, set()) - {t.camera} for t in queries)


def tracklet_protocol(
    name: str,
    title: str,
    published: Mapping[str, int],
    counts: Mapping[str, int],
    **persons: Sequence[int],
) -> dict[str, Any]:
    """The usual protocol of videos: one tracklet is searched among tracklets of other cameras.

    `persons` are junk and distractors, as `single_query` takes them.
    """
    made = single_query(name, title, published, counts, **persons)
    return {**made, "rule": {**made["rule"], "query": "tracklet", "gallery": "tracklet"}}
