"""Roles by a random split of the persons, for images whose labels give none.

A share of the persons, drawn by a seed, trains. Of the others one image of each person and camera,
drawn too, is a query, and the rest are the gallery. The only image of a person and camera is both,
where other cameras have images of others; in a data set of one camera it is of the gallery alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.base import Reject, Split
from pipeline.datasets.folder.labels import DISTRACTOR, ROLES, Row
from reid.project.errors import ReidError

# cam1/0004.jpg of person anna: anna/cam1_0004.jpg, in folders of any depth.
PATTERN = r"(?:.*/)?(?P<person>[^/]+)/(?P<camera>[^/]+)_(?P<frame>[0-9]{1,9})\.[^./]+"
NAMES = "person/camera_frame.jpg"  # what the pattern matches


def without_roles(source: Path, row: Row) -> Row:
    """A row that waits for its role. Raises `ReidError` where it has one."""
    values = row.values
    given = [name for name in ("role", "part", *ROLES) if str(values.get(name) or "").strip()]
    if given or values.get("roles"):
        what = f"column {given[0]}" if given else "folders"
        raise ReidError(f"{source}: gives roles by {what}; leave --split out, or take them away")
    return row._replace(values={**values, "roles": ("gallery",)})


def check_any(
    root: Path, source: str, columns: Mapping[str, list[Any]], rejects: list[Reject]
) -> None:
    """Raises `ReidError` where nothing could be read."""
    if not columns["path"]:
        first = f"; first: {rejects[0].image_id}: {rejects[0].reason}" if rejects else ""
        how = "" if source else f"; name them {NAMES}, or put reid.yaml beside them"
        raise ReidError(f"{root}: no image with labels, {len(rejects)} rejects{how}{first}")


def draw(columns: Mapping[str, list[Any]], split: Split) -> None:
    """Give each row of `LISTED` its roles and part. Raises `ReidError` for too few persons."""
    person, camera = columns["person"], columns["camera"]
    persons = sorted({number for number in person if number > DISTRACTOR})
    train = round(split.train * len(persons))
    if not 2 <= train < len(persons):
        raise ReidError(
            f"split: {split.train:g} of {len(persons)} persons leaves {train} to train on and "
            f"{len(persons) - train} to test; at least 2 and 1 are needed"
        )
    random = np.random.default_rng(split.seed)
    trained = {*random.permutation(persons)[:train].tolist()}
    shots: dict[tuple[int, int], list[int]] = {}
    for row in sorted(range(len(person)), key=columns["image_id"].__getitem__):
        roles = ("train",) if person[row] in trained else ("gallery",)
        _give(columns, row, roles)
        if person[row] > DISTRACTOR and person[row] not in trained:
            shots.setdefault((person[row], camera[row]), []).append(row)
    cameras = {number for _, number in shots}
    for _, taken in sorted(shots.items()):
        chosen = taken[int(random.integers(len(taken)))]
        if len(taken) > 1:
            _give(columns, chosen, ("query",))
        elif len(cameras) > 1:
            _give(columns, chosen, ("query", "gallery"))


def _give(columns: Mapping[str, list[Any]], row: int, roles: Sequence[str]) -> None:
    for role in ROLES:
        columns[role][row] = role in roles
    columns["part"][row] = "train" if "train" in roles else "test"


def described(split: Split) -> str:
    """The rule in a line, as protocol.json and the data card have it."""
    return (
        f"roles by a random split, seed {split.seed}: {split.train:g} of the persons train; of the "
        "others one image of each person and camera is a query, the rest are the gallery"
    )
