"""Average precision of the boxes of built crops against the people of a rendered world's frames.

Reads   2-derived/crops/<build>, 0-raw/<world>.truth
Source  Lin et al., Microsoft COCO, ECCV 2014, as pycocotools computes it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.accuracy.truth import rows
from pipeline.backends.checkpoints import library
from reid.shards.folder import Shards
from reid.shards.manifest import manifest_of
from reid.shards.read import Shard

MATCH_IOU = 0.5  # of AP50
SLIVER_PIXELS = 64  # people with fewer visible pixels are neither right nor wrong to find
RECALLS = np.linspace(0, 1, 101)  # at which precision is read and averaged

Box = Sequence[float]


class Frame(NamedTuple):
    """The predicted boxes of one frame, and the people who are seen in it."""

    predicted: Sequence[Box]
    scores: Sequence[float]
    people: Sequence[Box]
    ignored: Sequence[bool]  # of each of the people


def precision_of_crops(built: Path, truth: Path) -> dict[str, Any]:
    """AP50 of a build's boxes over its frames, also of those that were rejected.

    ap50        average precision at an IoU of 0.5, interpolated at COCO's 101 recalls
    ap50_of     everyone: all boxes against all visible people, where the build has rows of them all
                (`others: junk`); labelled: else, the box that has a frame's label against the
                person of that label, so that a box of somebody else in the frame is wrong
    ap50_people visible people that are to be detected
    ap50_slivers  people who are seen by fewer than `SLIVER_PIXELS` pixels, and do not count
    """
    parameters = manifest_of(built, f"reid crops {built.name}")["parameters"]
    everyone = parameters.get("others") == "junk"
    by_frame: dict[str, list[Mapping[str, Any]]] = {name: [] for name in _rejected(built)}
    columns = ["image_id", "source_image_id", "box", "score"]
    for row in Shards(built).scalars(columns).to_pylist():
        boxes = by_frame.setdefault(row["source_image_id"], [])
        if row["box"] is not None and (everyone or row["image_id"] == row["source_image_id"]):
            boxes.append(row)
    frames = [
        _frame(by_frame[row["image_id"]], row["people"] or [], everyone)
        for row in rows(truth, ["image_id", "people"])
        if row["image_id"] in by_frame
    ]
    ap50 = average_precision(frames)
    ignored = [one for frame in frames for one in frame.ignored]
    return {
        "ap50": None if ap50 is None else round(ap50, 4),
        "ap50_of": "everyone" if everyone else "labelled",
        "ap50_people": ignored.count(False), "ap50_slivers": ignored.count(True),
    }  # fmt: skip


def _rejected(built: Path) -> list[str]:
    """The frames that nobody was cut out of."""
    path = built / "rejects.parquet"
    return Shard(path).table(["image_id"])["image_id"].to_pylist() if path.is_file() else []


def _frame(
    predicted: Sequence[Mapping[str, Any]], people: Sequence[Mapping[str, Any]], everyone: bool
) -> Frame:
    """What is compared in one frame; the person of its label is the first of its people."""
    seen = [one for one in (people if everyone else people[:1]) if one["box"] is not None]
    return Frame(
        [row["box"] for row in predicted], [row["score"] for row in predicted],
        [one["box"] for one in seen], [one["pixels"] < SLIVER_PIXELS for one in seen],
    )  # fmt: skip


def average_precision(frames: Sequence[Frame]) -> float | None:
    """AP at an IoU of `MATCH_IOU` over the boxes of all frames, by COCOeval; None without people.

    Of two boxes of one person the second is wrong. A person who is ignored is neither right nor
    wrong to find or to miss.
    """
    hint = "`pip install pycocotools`"
    coco = library("pycocotools.coco", hint)
    evaluation = library("pycocotools.cocoeval", hint)
    predicted = [
        {**_bbox(box), "area": 1, "image_id": n, "score": score}
        for n, frame in enumerate(frames)
        for box, score in zip(frame.predicted, frame.scores, strict=True)
    ]
    people = [  # COCOeval ignores by area alone: those who are ignored get one out of the range
        {**_bbox(box), "area": -1 if ignored else 1, "image_id": n, "iscrowd": 0}
        for n, frame in enumerate(frames)
        for box, ignored in zip(frame.people, frame.ignored, strict=True)
    ]
    with redirect_stdout(StringIO()):  # its progress
        true, ours = (_index(coco, boxes, len(frames)) for boxes in (people, predicted))
        run = evaluation.COCOeval(true, ours, "bbox")
        run.params.iouThrs, run.params.recThrs = np.array([MATCH_IOU]), RECALLS
        run.params.areaRng, run.params.areaRngLbl = [[0, 2]], ["all"]
        run.params.maxDets = [len(predicted)]
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"]  # (1, 101, 1, 1, 1); -1 without people
    return float(precision.mean()) if precision.min() >= 0 else None


def _bbox(box: Box) -> dict[str, Any]:
    """Two corners as COCO's corner and size."""
    x1, y1, x2, y2 = map(float, box)
    return {"bbox": [x1, y1, x2 - x1, y2 - y1], "category_id": 1}


def _index(coco: Any, annotations: Sequence[dict[str, Any]], frames: int) -> Any:
    """COCO's index over the annotations of so many frames."""
    index = coco.COCO()
    index.dataset = {
        "images": [{"id": n} for n in range(frames)], "categories": [{"id": 1}],
        "annotations": [{**one, "id": n} for n, one in enumerate(annotations, 1)],
    }  # fmt: skip
    index.createIndex()
    return index
