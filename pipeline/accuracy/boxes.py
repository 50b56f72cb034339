"""Average precision of the boxes of built crops against the people of a rendered world's frames.

Reads   2-derived/crops/<build>, 0-raw/<world>.truth
Source  Lin et al., Microsoft COCO, ECCV 2014: pycocotools' matching, ignored people and 101 recalls
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.accuracy.truth import rows
from pipeline.backends.boxes import iou
from reid.project.layout import manifest_of
from reid.shards.folder import Shards
from reid.shards.read import Shard

MATCH_IOU = 0.5  # of AP50
SLIVER_PIXELS = 64  # people with fewer visible pixels are neither right nor wrong to find
RECALLS = np.linspace(0, 1, 101)  # at which precision is read and averaged

Box = Sequence[float]


class Frame(NamedTuple):
    """The boxes found in one frame, and the people who are seen in it."""

    found: Sequence[Box]
    scores: Sequence[float]
    people: Sequence[Box]
    ignored: Sequence[bool]  # of each of the people


def precision_of_crops(built: Path, truth: Path) -> dict[str, Any]:
    """AP50 of a build's boxes over its frames, also of those that were rejected.

    ap50        average precision at an IoU of 0.5, interpolated at COCO's 101 recalls
    ap50_of     everyone: all boxes against all visible people, where the build has rows of them all
                (`others: junk`); labelled: else, the box that has a frame's label against the
                person of that label, so that a box of somebody else in the frame is wrong
    ap50_people visible people that are to be found
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
    found: Sequence[Mapping[str, Any]], people: Sequence[Mapping[str, Any]], everyone: bool
) -> Frame:
    """What is compared in one frame; the person of its label is the first of its people."""
    seen = [one for one in (people if everyone else people[:1]) if one["box"] is not None]
    return Frame(
        [row["box"] for row in found], [row["score"] for row in found],
        [one["box"] for one in seen], [one["pixels"] < SLIVER_PIXELS for one in seen],
    )  # fmt: skip


def average_precision(frames: Iterable[Frame]) -> float | None:
    """AP at `MATCH_IOU` over the boxes of all frames, as pycocotools; None without people.

    Precision at a recall is the highest at that recall or a higher one.
    """
    scores: list[float] = []
    hits: list[bool] = []
    people = 0
    for frame in frames:
        people += list(frame.ignored).count(False)
        for score, hit in _judged(frame):
            scores.append(score)
            hits.append(hit)
    if not people:
        return None
    order = np.argsort(-np.array(scores), kind="stable")
    right = np.cumsum(np.array(hits, bool)[order])
    precision = right / np.arange(1, len(right) + 1)
    precision = np.maximum.accumulate(precision[::-1])[::-1]
    place = np.searchsorted(right / people, RECALLS, side="left")
    return float(np.append(precision, 0.0)[place].mean())


def _judged(frame: Frame) -> list[tuple[float, bool]]:
    """Score of each box that counts, and whether it is of a person who was not found before.

    The best box first, each takes the person it meets most; one who is ignored only where it meets
    no other, and it does not count then.
    """
    free = [i for i, ignored in enumerate(frame.ignored) if not ignored]
    slivers = [i for i, ignored in enumerate(frame.ignored) if ignored]
    judged = []
    for index in np.argsort(-np.array(frame.scores), kind="stable").tolist():
        hit = _taken(frame.found[index], frame.people, free)
        if hit or not _taken(frame.found[index], frame.people, slivers):
            judged.append((frame.scores[index], hit))
    return judged


def _taken(box: Box, people: Sequence[Box], left: list[int]) -> bool:
    """Whether the box meets one of those that are left by enough; that one is left no more."""
    met = [(iou(box, people[i]), n) for n, i in enumerate(left)]
    best, n = max(met, default=(0.0, 0))
    if best < MATCH_IOU:
        return False
    del left[n]
    return True
