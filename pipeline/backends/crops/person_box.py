"""A person's box in a frame, and which of several is the one that the frame's label names.

Where boxes come with labels it is the one of that label, or one without any. Of several that
remain it is, by the rule that is chosen,

    central   the one whose middle is nearest to the frame's: a camera is put where people pass
    largest   the one with the largest box
    nearest   the one that comes nearest to the camera, by the depth in its box

Of equals it is the first, which libraries give the highest score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from pipeline.backends.boxes import Box
from reid.arrays.images import BadImage

Rule = Literal["central", "largest", "nearest"]
NEAREST_PERCENT = 2  # of a box's readings may be nearer still: specks


class PersonBox(NamedTuple):
    box: Box  # x1, y1, x2, y2 in pixels of the frame
    score: float  # the detector's, 0 to 1; 1 where the box comes without one
    person: int | None = None  # whose it is, where it comes with a label


Detected = list[PersonBox] | str  # the people of a frame, or why it can have none


class Frame(NamedTuple):
    """What a backend looks at."""

    image_id: str
    image: np.ndarray  # (H, W, 3) uint8 RGB
    depth_mm: np.ndarray | None  # (H, W) uint16, 0 = no reading


def labelled_box(people: Sequence[PersonBox], person: int, frame: Frame, rule: Rule) -> int | None:
    """The index of the box that the label `person` is of; None where that is none of them."""
    own = [i for i, one in enumerate(people) if one.person == person]
    own = own or [i for i, one in enumerate(people) if one.person is None]
    if not own:
        return None
    return min(own, key=lambda i: _rank(people[i].box, frame, rule)) if len(own) > 1 else own[0]


def _rank(box: Box, frame: Frame, rule: Rule) -> float:
    """What is smallest for the box that the rule takes."""
    x1, y1, x2, y2 = box
    if rule == "largest":
        return (x1 - x2) * (y2 - y1)
    if rule == "central":
        height, width = frame.image.shape[:2]
        return ((x1 + x2 - width) / 2) ** 2 + ((y1 + y2 - height) / 2) ** 2
    if frame.depth_mm is None:
        raise BadImage("several people, and no depth to tell the nearest by")
    inside = frame.depth_mm[max(0, int(y1)) : int(y2), max(0, int(x1)) : int(x2)]
    readings = inside[inside > 0]
    return float(np.percentile(readings, NEAREST_PERCENT)) if len(readings) else np.inf
