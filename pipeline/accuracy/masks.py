"""How near built masks come to the true masks of a rendered world.

Reads   2-derived/masks/<build>, 0-raw/<world>.truth
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.accuracy.truth import Measured, decoded, mean, rows_of_build
from pipeline.stages.masks import tight_box
from reid.arrays.images import decode_mask
from reid.project.errors import ReidError
from reid.shards.folder import Shards

LEAST_PIXELS = 64  # of a true mask; an image that shows less of its person is not counted
MATCH_IOU = 0.5  # below it a mask is of another person, or of nobody
WHOLE = 0.9  # of the true box's area, which is of the whole person, seen or not
TRUTH = ["image_id", "mask", "box"]


class Line(NamedTuple):
    """One image that shows somebody."""

    image_id: str
    iou: float | None  # None without a mask
    whole: bool


def measured(built: Path, truth: Path) -> Measured:
    """Built masks against the true ones, and each mask's intersection over union.

    images      whose true mask has at least `LEAST_PIXELS`
    missing     of these, images that have no mask
    iou         mean intersection over union, over the images that have a mask
    iou_all     the same over all images, 0 where there is no mask
    iou_median  over the images that have a mask
    wrong       share of these whose mask meets the true one by less than `MATCH_IOU`
    ..._whole   of images where the box around what is seen of the person fills at least `WHOLE` of
                the true box, which is of the whole person, hidden or outside the image or not
    ..._partly  of the others: an end of the person is hidden or cut off. What is hidden in a
                person's middle does not tell
    empty       images that show nobody; false  of these, how many have a mask all the same
    """
    shards = Shards(built)
    lines: list[Line] = []
    empty = false = 0
    for index, row in rows_of_build(shards, truth, TRUTH):
        name, data = row["image_id"], shards.read("mask", index)
        if row["mask"] is None:
            true = np.zeros((1, 1), bool)
        else:
            true = decoded(decode_mask, row["mask"]["bytes"], truth, name)
        area = np.count_nonzero(true)
        if area == 0:
            empty, false = empty + 1, false + (data is not None)
        elif area >= LEAST_PIXELS:
            built_mask = None if data is None else decoded(decode_mask, data, built, name)
            lines.append(Line(name, _iou(built_mask, true, built, name), _whole(true, row["box"])))
    if not lines:
        raise ReidError(f"{truth}: has no mask of {LEAST_PIXELS} pixels of any image of {built}")
    numbers = {
        **_summary(lines), **_summary([line for line in lines if line.whole], "_whole"),
        **_summary([line for line in lines if not line.whole], "_partly"),
        "empty": empty, "false": false,
    }  # fmt: skip
    return Measured(numbers, {line.image_id: line.iou for line in lines if line.iou is not None})


def _iou(mask: np.ndarray | None, true: np.ndarray, built: Path, name: str) -> float | None:
    """Intersection over union of two (H, W) bool masks; None without one."""
    if mask is None:
        return None
    if mask.shape != true.shape:
        (height, width), (h, w) = mask.shape, true.shape
        raise ReidError(
            f"{built}: {name}: a mask of {width} x {height} pixels, the ground truth has {w} x {h}"
        )
    return np.count_nonzero(mask & true) / np.count_nonzero(mask | true)


def _whole(true: np.ndarray, box: Sequence[float] | None) -> bool:
    """Whether what is seen of a person reaches as far as the person does."""
    if box is None:
        return False
    x1, y1, x2, y2 = tight_box(true)
    return (x2 - x1) * (y2 - y1) >= WHOLE * (box[2] - box[0]) * (box[3] - box[1])


def _summary(lines: Sequence[Line], name: str = "") -> dict[str, Any]:
    met = np.array([line.iou for line in lines if line.iou is not None])
    return {
        f"images{name}": len(lines), f"missing{name}": len(lines) - len(met),
        f"iou{name}": mean(met),
        f"iou_all{name}": round(float(met.sum()) / len(lines), 4) if lines else None,
        f"iou_median{name}": round(float(np.median(met)), 4) if len(met) else None,
        f"wrong{name}": mean(met < MATCH_IOU),
    }  # fmt: skip
