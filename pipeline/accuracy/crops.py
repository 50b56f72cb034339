"""How near the boxes of built crops come to the people of a rendered world's frames.

Reads   2-derived/<stage>/<build>, 0-raw/<world>.truth
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.accuracy.truth import Measured, rows
from pipeline.backends.boxes import iou
from reid.project.errors import ReidError
from reid.shards.folder import Shards

MATCH_IOU = 0.5  # a box that meets somebody's true box by so much is that person's


def measured(built: Path, truth: Path) -> Measured:
    """The boxes of built crops against the true boxes of the people in each frame.

    With each frame that has one goes the intersection over union of its person's box.

    frames      in which the person of the label is seen
    iou         mean over the crops with that label, with the true box of that person
    iou_all     the same over all frames, 0 where there is no such crop
    misses      frames without a crop of that person: none, or one of another or of nobody
    others      of these, how many show another person in the frame
    false       boxes that are no one's, of all boxes
    boxes       how many there are, junk included
    iou_alone, misses_alone, frames_alone   of frames where nobody else is seen
    """
    people = _people(truth)
    by_frame: dict[str, list[Mapping[str, Any]]] = {}
    for row in Shards(built).scalars(["source_image_id", "person", "box"]).to_pylist():
        if row["source_image_id"] not in people:
            raise ReidError(
                f"{truth}: knows nothing of {row['source_image_id']}, a frame of {built}"
            )
        if row["box"] is not None:
            by_frame.setdefault(row["source_image_id"], []).append(row)
    by_name = {
        name: _line(seen, by_frame.get(name, [])) for name, seen in people.items() if seen[0]["box"]
    }
    lines = list(by_name.values())
    boxes = [
        max((iou(row["box"], one["box"]) for one in people[name] if one["box"]), default=0.0)
        for name, crops in by_frame.items()
        for row in crops
    ]
    alone = [line for line in lines if line["alone"]]
    numbers = {
        **_summary(lines), "others": sum(line["other"] for line in lines), "boxes": len(boxes),
        "false": sum(best < MATCH_IOU for best in boxes),
        **{f"{name}_alone": value for name, value in _summary(alone).items()},
    }  # fmt: skip
    each = {name: line["iou"] for name, line in by_name.items() if line["iou"] is not None}
    return Measured(numbers, each)


def _people(truth: Path) -> dict[str, list[dict[str, Any]]]:
    """The people of each frame, the one of its label first."""
    frames = rows(truth, ["image_id", "people"])
    return {row["image_id"]: row["people"] for row in frames if row["people"]}


def _line(
    people: Sequence[Mapping[str, Any]], crops: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """What became of the person of one frame's label."""
    own, others = people[0], [one["box"] for one in people[1:] if one["box"]]
    crop = next((row["box"] for row in crops if row["person"] == own["person"]), None)
    met = None if crop is None else iou(crop, own["box"])
    missed = met is None or met < MATCH_IOU
    other = missed and crop is not None and any(iou(crop, box) >= MATCH_IOU for box in others)
    return {"iou": met, "missed": missed, "other": other, "alone": not others}


def _summary(lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    met = [line["iou"] for line in lines if line["iou"] is not None]
    return {
        "frames": len(lines), "iou": round(float(np.mean(met)), 4) if met else None,
        "iou_all": round(sum(met) / len(lines), 4) if lines else None,
        "misses": sum(line["missed"] for line in lines),
    }  # fmt: skip
