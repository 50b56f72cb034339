"""What hides a person in an image, and the boxes of the parts that are seen: RAP's labels.

Measured on a grid of rays over the person's whole box, hidden or not: a ray that meets the body
counts as seen where nothing lies before it and where it is inside the image.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from pipeline.world.bodies import PART
from pipeline.world.cameras import Camera, Window
from pipeline.world.shapes import Solids, cast, some_solids
from pipeline.world.shots import Moment, Site, cut, person_box

ROWS, COLUMNS = 48, 24  # of the grid
HIDDEN_SHARE = 0.4  # of the body at a side, from which on the side counts as hidden
SEEN_SHARE = 0.15  # of a part, below which it has no box
SIDES = {  # where a side is, as shares of the box: rows, then columns
    "left": (0, 1, 0, 1 / 3), "right": (0, 1, 2 / 3, 1), "up": (0, 1 / 4, 0, 1),
    "down": (2 / 3, 1, 0, 1),
}  # fmt: skip
GROUPS = {
    "head_shoulder": ("head", "hair"),
    "upper_body": ("torso", "right_arm", "right_forearm", "left_arm", "left_forearm"),
    "lower_body": ("pelvis", "skirt", "right_thigh", "right_shin", "right_foot", "left_thigh",
                   "left_shin", "left_foot"),
}  # fmt: skip
SHOULDERS = [2, 5]  # numbers of joints
SHOULDER_M = 0.08  # from the joint to the outside


def labels_of(
    site: Site, solids: Solids, own: int, moment: Moment, height: int, width: int
) -> tuple[dict[str, Any], float]:
    """`occlusion_*` flags and `box_*` pixels of the person, and the share of the body that is seen.

    The person is the first `own` solids; `height` and `width` are the image's.
    """
    camera, body = site.camera, some_solids(solids, own)
    others = some_solids(solids, np.arange(len(solids.kind)) >= own)
    box = person_box(camera, body, own, moment.frames)
    part, seen = _grid(site, body, others, moment, Window(*box.tolist()))
    labels: dict[str, Any] = {}
    for side, (top, bottom, left, right) in SIDES.items():
        rows = slice(round(top * ROWS), round(bottom * ROWS))
        columns = slice(round(left * COLUMNS), round(right * COLUMNS))
        there = part[rows, columns] > 0
        labels[f"occlusion_{side}"] = _share(seen[rows, columns], there) < 1 - HIDDEN_SHARE
    for name, parts in GROUPS.items():
        numbers = [PART[p] for p in parts]
        there = np.isin(part, numbers)
        box = None
        if there.any() and _share(seen, there) > SEEN_SHARE:
            box = _box(camera, body, numbers, name, moment, height, width)
        labels[f"box_{name}"] = box
    return labels, _share(seen, part > 0)


def _grid(
    site: Site, body: Solids, others: Solids, moment: Moment, box: Window
) -> tuple[np.ndarray, np.ndarray]:
    """(ROWS, COLUMNS) part of the body that each ray meets, 0 for none; and whether it is seen."""
    camera, window = site.camera, moment.window
    x, y = camera.slopes(box, ROWS, COLUMNS)
    alone = cast(body, camera.see(moment.frames.take(body.bone)), x, y)
    before = cast(others, camera.see(moment.frames.take(others.bone)), x, y).depth
    before = np.minimum(before, cut(site.backdrop.depth, box, ROWS, COLUMNS, cv2.INTER_NEAREST))
    columns, rows = box.centres(ROWS, COLUMNS)
    inside = ((rows > window.y1) & (rows < window.y2))[:, None]
    inside = inside & (columns > window.x1) & (columns < window.x2)
    part = np.where(alone.index >= 0, body.part[alone.index], 0)
    seen = (alone.depth < before) & inside & (part > 0)
    return part, seen


def _share(seen: np.ndarray, there: np.ndarray) -> float:
    """The share of `there` that is seen; 1 where nothing is."""
    return float(seen[there].mean()) if there.any() else 1.0


def _box(
    camera: Camera, body: Solids, parts: list[int], name: str, moment: Moment, height, width
) -> list[float] | None:
    """x1, y1, x2, y2 of a part in whole pixels of the image, cut off at its edge."""
    chosen = some_solids(body, np.isin(body.part, parts))
    box = person_box(camera, chosen, len(chosen.kind), moment.frames, moment.window, height, width)
    if name == "head_shoulder":
        joints = camera.to_camera(moment.joints[SHOULDERS])
        points = moment.window.to_image(camera.project(joints), height, width)
        scale = width / (moment.window.x2 - moment.window.x1)
        reach = SHOULDER_M * camera.focal / joints[:, 2:] * scale
        low = np.minimum(box[:2], (points - reach).min(0))
        box = np.concatenate([low, np.maximum(box[2:], (points + reach).max(0))])
    low = np.floor(box[:2]).clip(0, [width, height])
    high = np.ceil(box[2:]).clip(0, [width, height])
    return [*low.tolist(), *high.tolist()] if (high - low > 2).all() else None
