"""RAP's labels beside person and camera: viewpoint, hidden sides and part boxes.

They stand in `data` of RAP_annotation.mat, boxes in pixels of the camera's frame. Here boxes are of
the image, which is the person's box of the frame; they may reach outside it. What is absent (0 or
NaN) is null, and so is what makes no sense, which one reject for each label counts.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.datasets.base import Reject
from pipeline.datasets.rap.annotation import Annotation

VIEWPOINT = 111  # columns of `data`, from 0: 1 front, 2 back, 3 left, 4 right
OCCLUSION = {"left": 112, "right": 113, "up": 114, "down": 115}  # 1 where that side is hidden
PERSON_BOX = 120  # x, y, width, height, as of every box
PART_BOXES = {"head_shoulder": 124, "upper_body": 128, "lower_body": 132}
LARGEST = 1e6  # pixels; beyond it a box cannot be meant

EXTRA = pa.schema(
    [
        *(pa.field(f"occlusion_{side}", pa.bool_()) for side in OCCLUSION),  # sides of the image
        *(pa.field(f"box_{part}", pa.list_(pa.float32(), 4)) for part in PART_BOXES),
    ]
)


def labels_of(annotation: Annotation, rows: list[int]) -> tuple[dict[str, list[Any]], list[Reject]]:
    """`viewpoint` and the columns of `EXTRA` for `rows`, and what makes no sense."""
    data = annotation.data[rows]  # (R, 152)
    columns: dict[str, list[Any]] = {}
    odd: dict[str, np.ndarray] = {}
    columns["viewpoint"], odd["viewpoint"] = _choice(data[:, VIEWPOINT], (1, 2, 3, 4))
    for side, column in OCCLUSION.items():
        values, odd[f"occlusion_{side}"] = _choice(data[:, column], (0, 1))
        columns[f"occlusion_{side}"] = [None if v is None else bool(v) for v in values]
    person = data[:, PERSON_BOX : PERSON_BOX + 4]
    for part, start in PART_BOXES.items():
        boxes, odd[f"box_{part}"] = _part_boxes(person, data[:, start : start + 4])
        columns[f"box_{part}"] = boxes
    rejects = []
    for name, wrong in odd.items():
        if wrong.any():
            first = annotation.name[rows[int(wrong.argmax())]]
            reason = f"makes no sense in {wrong.sum():,} images, null there; the first is {first}"
            rejects.append(Reject(f"RAP_annotation.mat#data/{name}", reason))
    return columns, rejects


def _choice(values: np.ndarray, allowed: tuple[int, ...]) -> tuple[list[int | None], np.ndarray]:
    """(R,) labels as whole numbers, None where absent or odd; and which are odd."""
    good = np.isin(values, allowed)
    odd = ~good & ~np.isnan(values) & (values != 0)
    return [int(v) if g else None for v, g in zip(values.tolist(), good, strict=True)], odd


def _part_boxes(person: np.ndarray, part: np.ndarray) -> tuple[list[Any], np.ndarray]:
    """(R, 4) x, y, width, height in the frame to x1, y1, x2, y2 in the image; and which are odd.

    Both boxes need a size, and must meet.
    """
    absent = (np.isnan(part) | (part == 0)).all(1)
    with np.errstate(invalid="ignore", over="ignore"):
        start = part[:, :2] - person[:, :2]
        corners = np.column_stack([start, start + part[:, 2:]])
        sized = (part[:, 2:] > 0).all(1) & (person[:, 2:] > 0).all(1)
        meet = (corners[:, 2:] > 0).all(1) & (corners[:, :2] < person[:, 2:]).all(1)
        meant = (np.abs(np.column_stack([part, person])) < LARGEST).all(1)  # and no NaN
    good = ~absent & sized & meet & meant
    boxes = [c.tolist() if g else None for c, g in zip(corners, good, strict=True)]
    return boxes, ~good & ~absent
