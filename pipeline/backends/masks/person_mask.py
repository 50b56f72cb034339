"""A person's mask, and whose it is that a crop is about.

Of several people the one is taken whose mask has the largest intersection over union with the
image's middle, its full height and the middle half of its width: the rule of `coco.central_person`,
on pixels in place of boxes. Two people who overlap have boxes that hardly differ, but the one
behind keeps few pixels; and a detection without pixels loses to any other. Where no mask reaches
the middle it is the largest; of equals the first, which libraries give the highest score.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.backends.coco import middle_overlap


class PersonMask(NamedTuple):
    mask: np.ndarray  # (H, W) bool
    score: float  # the detector's, 0 to 1; 1 where the mask comes without one


def central_mask(masks: np.ndarray, scores: Sequence[float]) -> PersonMask | None:
    """The crop's own of (N, H, W) bool masks with N scores, by the rule above; None where N = 0."""
    if not len(masks):
        return None
    height, width = masks.shape[1:]
    area = masks.sum((1, 2))
    inside = masks[:, :, width // 4 : -(-3 * width // 4)].sum((1, 2))
    overlap = middle_overlap(inside, area, height, width)
    best = max(range(len(masks)), key=lambda person: (overlap[person], area[person]))
    return PersonMask(masks[best], float(scores[best]))
