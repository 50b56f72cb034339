"""People before two cameras, divided in two halves, and the protocols that follow.

One half of the persons is trained on; of the other, tracklets of camera 1 are searched among those
of camera 2. Who is seen by one camera alone is among the rows, but in no split.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.datasets.base import ALL_TRACKLETS, Listing
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.two_cameras import Frame, Recordings

SPLITS = 10  # that are drawn, where no file names them
QUERY, GALLERY = 1, 2  # cameras


class Split(NamedTuple):
    """One way to divide the persons."""

    name: str
    title: str
    train: list[int]
    test: list[int]
    seed: int | None = None  # where it was drawn


def halves(persons: Sequence[int], seed: int) -> tuple[list[int], list[int]]:
    """Persons to train on and to test on, half and half; of an odd number, one more to train."""
    drawn = np.random.default_rng(seed).permutation(len(persons))
    half = len(persons) // 2
    test, train = ([persons[i] for i in np.sort(part)] for part in (drawn[:half], drawn[half:]))
    return train, test


def drawn_splits(persons: Sequence[int], title: str, missing: str) -> list[Split]:
    """Splits `random-01` to `random-10`, drawn with their numbers as seeds."""
    return [
        Split(f"random-{k:02d}", f"{title}, random split {k} of {SPLITS} (no {missing})",
              *halves(persons, k), k)
        for k in range(1, SPLITS + 1)
    ]  # fmt: skip


def listing(
    splits: Sequence[Split],
    recordings: Recordings,
    published: Mapping[str, int],
    counts: Mapping[str, int],
) -> Listing:
    """The listed rows with the roles of the first split, and a protocol for each."""
    protocols = [protocol(split, recordings, published, counts) for split in splits]
    protocols[0]["members"] = "columns"
    table = table_of(recordings.frames, splits[0])
    return Listing(table, protocols[0]["found"], recordings.rejects, protocols)


def table_of(frames: Sequence[Frame], split: Split) -> pa.Table:
    """The listed rows, with the roles of one split."""
    train, test = set(split.train), set(split.test)
    rows = [
        {**f._asdict(), "part": "all", "tracklet": 1, "train": f.person in train,
         "query": f.person in test and f.camera == QUERY,
         "gallery": f.person in test and f.camera == GALLERY}
        for f in frames
    ]  # fmt: skip
    return names.listed(names.columns_of(rows))


def protocol(
    split: Split, recordings: Recordings, published: Mapping[str, int], counts: Mapping[str, int]
) -> dict[str, Any]:
    """One split as a protocol, members by persons and cameras."""
    lengths = {key: len(frames) for key, frames in recordings.by_tracklet().items()}
    chosen = {
        "train": [(p, camera) for p in split.train for camera in (QUERY, GALLERY)],
        "query": [(p, QUERY) for p in split.test],
        "gallery": [(p, GALLERY) for p in split.test],
    }
    roles: dict[str, int] = {}
    for role, keys in chosen.items():
        present = [key for key in keys if key in lengths]
        roles |= {role: sum(lengths[key] for key in present), f"{role}_tracklets": len(present),
                  f"{role}_identities": len({person for person, _ in present})}  # fmt: skip
    return {
        "name": split.name,
        "title": split.title,
        "published": dict(published),
        "found": {**counts, **roles},
        "members": {
            "train": {"persons": split.train},
            "query": {"persons": split.test, "cameras": [QUERY]},
            "gallery": {"persons": split.test, "cameras": [GALLERY]},
        },
        "rule": ALL_TRACKLETS | ({} if split.seed is None else {"seed": split.seed}),
        "metrics": ["cmc", "map"],
    }
