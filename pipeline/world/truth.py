"""Ground truth: what a rendered world knows of each image, and the Parquet files that hold it.

Writes  0-raw/<world>.truth/rows/*.parquet, keyed by image_id, in the order of writing
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reid.arrays.images import encode_png
from reid.arrays.poses import JOINTS
from reid.shards import schema

ROWS_PER_FILE = 2048
FRONT, BACK, LEFT, RIGHT = 1, 2, 3, 4  # viewpoint: the side of the person that the camera sees

PERSON = pa.struct(
    [
        pa.field("person", pa.int32()),  # the label; 0 for somebody without one
        pa.field("box", pa.list_(pa.float32(), 4)),  # around the visible pixels; null where hidden
        pa.field("pixels", pa.int32()),  # that are visible
    ]
)
SCHEMA = pa.schema(
    [
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("joints", JOINTS),  # confidence 1 visible, 0.5 hidden, 0 outside the image
        pa.field("mask", schema.IMAGE),  # 1-bit PNG: visible pixels of the person
        pa.field("mask_size", pa.int32()),
        pa.field("depth", schema.IMAGE),  # 16-bit PNG, millimetres, 0 = sky
        pa.field("depth_size", pa.int32()),
        pa.field("parts", schema.IMAGE),  # 8-bit PNG, numbers of `bodies.PARTS` where mask is set
        pa.field("parts_size", pa.int32()),
        pa.field("box", pa.list_(pa.float32(), 4)),  # x1, y1, x2, y2 pixels; may reach outside
        pa.field("viewpoint", pa.int8()),  # 1 front, 2 back, 3 left, 4 right side is seen
        pa.field("flow", schema.IMAGE),  # 16-bit PNG: u, v in pixels times 64 plus 32768; valid
        pa.field("flow_size", pa.int32()),
        pa.field("flow_to", pa.string()),  # image_id of the next image of the pass
        pa.field("people", pa.list_(PERSON)),  # where an image shows several: the one meant first
        pa.field("instances", schema.IMAGE),  # 8-bit PNG: n where the n-th of `people` is, or 0
        pa.field("instances_size", pa.int32()),
    ]
)


@dataclass(frozen=True)
class Truth:
    """The ground truth of one image; pictures are PNG bytes. Fields are as in `SCHEMA`."""

    mask: bytes
    depth: bytes
    parts: bytes
    joints: np.ndarray | None = None  # (18, 3) float32; None where nobody is meant
    box: np.ndarray | None = None  # (4,) float32
    viewpoint: int | None = None
    flow: bytes | None = None  # to the next sample of the same pass, which follows this one
    people: list[dict[str, Any]] | None = None
    instances: bytes | None = None


def people_of(
    persons: list[int], solids_each: list[int], solid: np.ndarray
) -> tuple[list[dict[str, Any]], bytes]:
    """`people` and `instances` of an image; `solid` (H, W) is what each pixel shows, or -1.

    `solids_each` are the numbers of solids of the persons, which come one after the other.
    """
    owner = np.repeat(np.arange(1, len(persons) + 1), solids_each)
    instances = np.where(solid >= 0, owner[solid], 0).astype(np.uint8)
    people = []
    for number, person in enumerate(persons, 1):
        rows, columns = np.nonzero(instances == number)
        box = None
        if len(rows):
            box = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        people.append({"person": person, "box": box, "pixels": len(rows)})
    return people, encode_png(instances)


def write_truth(folder: Path, rows: Iterable[tuple[str, Truth, str | None]]) -> int:
    """Write (image_id, truth, image_id of the next) rows below `folder`/rows; returns their number.

    Equal rows give equal bytes: nothing of the time or the host is written.
    """
    (folder / "rows").mkdir(parents=True)
    pending, count = iter(rows), 0
    while block := list(islice(pending, ROWS_PER_FILE)):
        table = pa.Table.from_pylist([_row(*row) for row in block], schema=SCHEMA)
        pq.write_table(
            table, folder / "rows" / f"{count // ROWS_PER_FILE:05d}.parquet", row_group_size=256,
            compression="NONE", use_dictionary=False, write_statistics=False,
        )  # fmt: skip
        count += len(block)
    return count


def _row(image_id: str, truth: Truth, following: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {
        "image_id": image_id,
        "joints": None if truth.joints is None else truth.joints.tolist(),
        "box": None if truth.box is None else truth.box.tolist(),
        "viewpoint": truth.viewpoint,
        "flow_to": following if truth.flow is not None else None,
        "people": truth.people,
    }
    for name in ("mask", "depth", "parts", "flow", "instances"):
        data = getattr(truth, name)
        row[name] = None if data is None else {"bytes": data, "path": None}
        row[f"{name}_size"] = None if data is None else len(data)
    return row
