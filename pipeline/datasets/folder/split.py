"""Roles by a random split of the persons, for images whose labels give none.

A share of the persons, drawn by a seed, trains. Of the others one image of each person and camera,
drawn too, is a query, and the rest are the gallery. The only image of a person and camera is both,
where other cameras have images of others; in a data set of one camera it is of the gallery alone.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.datasets.base import Reject, Split
from pipeline.datasets.folder.labels import DISTRACTOR, ROLES, Row
from pipeline.datasets.layouts import names
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


def check_any(root: Path, source: str, files: pa.Table, rejects: list[Reject]) -> None:
    """Raises `ReidError` where nothing could be read."""
    if not files.num_rows:
        first = f"; first: {rejects[0].image_id}: {rejects[0].reason}" if rejects else ""
        how = "" if source else f"; name them {NAMES}, or put reid.yaml beside them"
        raise ReidError(f"{root}: no image with labels, {len(rejects)} rejects{how}{first}")


def draw(files: pa.Table, split: Split) -> pa.Table:
    """`files` with roles and part of each row. Raises `ReidError` for too few persons."""
    person, camera = (files[name].to_numpy() for name in ("person", "camera"))
    persons = np.unique(person[person > DISTRACTOR]).tolist()
    train = round(split.train * len(persons))
    if not 2 <= train < len(persons):
        raise ReidError(
            f"split: {split.train:g} of {len(persons)} persons leaves {train} to train on and "
            f"{len(persons) - train} to test; at least 2 and 1 are needed"
        )
    random = np.random.default_rng(split.seed)
    trained = np.isin(person, random.permutation(persons)[:train])
    roles = {"train": trained, "query": np.zeros(len(person), bool), "gallery": ~trained}
    keys = [(name, "ascending") for name in ("person", "camera", "image_id")]
    order = pc.sort_indices(files, keys).to_numpy()  # type: ignore[attr-defined]
    order = order[((person > DISTRACTOR) & ~trained)[order]]  # each person's and camera's in a row
    several = len(np.unique(camera[order])) > 1
    for start, stop in pairwise(names.runs(person[order], camera[order])):
        chosen = order[start + int(random.integers(stop - start))]
        if stop - start > 1 or several:
            roles["query"][chosen] = True
            roles["gallery"][chosen] = stop - start == 1
    drawn = {role: pa.array(given) for role, given in roles.items()}
    drawn["part"] = pc.if_else(drawn["train"], "train", "test")  # type: ignore[attr-defined]
    return pa.table([drawn.get(name, files[name]) for name in files.column_names], files.schema)


def described(split: Split) -> str:
    """The rule in a line, as protocol.json and the data card have it."""
    return (
        f"roles by a random split, seed {split.seed}: {split.train:g} of the persons train; of the "
        "others one image of each person and camera is a query, the rest are the gallery"
    )
