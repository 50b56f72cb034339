"""How near built joints come to the true joints of a rendered world.

Reads   2-derived/joints/<build>, 0-raw/<world>.truth
Source  Yang and Ramanan, Articulated human detection with flexible mixtures of parts, PAMI 2013:
        the share of joints that lie within 0.1 of a person's box (PCK)
Differs Their box is around the true joints, and its longer side counts; here it is the height of
        the box around the whole body, hidden or not.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.accuracy.truth import Measured, mean, rows_of_build
from reid.arrays.poses import JOINT, JOINT_NAMES, MIRROR, joints_array
from reid.project.errors import ReidError
from reid.shards.folder import Shards

NEAR = 0.1  # of the person's height: a joint that is not farther away is right
SEEN, HIDDEN = 1.0, 0.5  # confidences of the ground truth; 0 is outside the image
TRUTH = ["image_id", "joints", "box"]
GROUPS = {
    "head": ("nose", "right_eye", "left_eye", "right_ear", "left_ear"),
    "shoulders": ("neck", "right_shoulder", "left_shoulder"),  # COCO has no neck: mid-shoulders
    "elbows": ("right_elbow", "left_elbow"),
    "wrists": ("right_wrist", "left_wrist"),
    "hips": ("right_hip", "left_hip"),
    "knees": ("right_knee", "left_knee"),
    "ankles": ("right_ankle", "left_ankle"),
}
PAIRED = np.arange(len(JOINT_NAMES)) != MIRROR  # (18,) joints that have another side


class People(NamedTuple):
    """The images in which a joint of the person lies."""

    image_ids: list[str]
    true: np.ndarray  # (N, 18, 3)
    estimated: np.ndarray  # (N, 18, 3), NaN without joints
    height_px: np.ndarray  # (N,) of the person's box


def measured(built: Path, truth: Path) -> Measured:
    """Built joints against the true ones, and the mean error of each image.

    images      that have a joint of the person in them, hidden or not
    missing     of these, images that have no joints
    pck         share of the visible joints that lie within `NEAR` of the person's height, over the
                images that have joints; a joint that was not detected (confidence 0) is not near
    pck_all     the same over all images
    pck_hidden  of joints that are in the image and hidden, by the body itself or by others
    pck_head ... of the visible joints of a group
    error       mean distance of the visible joints that were detected, in shares of the height
    swapped     share of the images whose visible joints with a left and a right side would, on
                average, lie nearer with the sides exchanged
    nobody      images without a person; false  of these, how many have joints all the same
    """
    people, counts = _read(built, truth)
    there = np.isfinite(people.estimated).all(2) & (people.estimated[..., 2] > 0)  # (N, 18)
    has = np.array([np.isfinite(joints).any() for joints in people.estimated])  # (N,)
    seen = people.true[..., 2] == SEEN
    hidden = people.true[..., 2] == HIDDEN
    distance = _distance(people, people.estimated)
    near = there & (distance <= NEAR)
    of = has[:, None]
    groups = {name: [JOINT[one] for one in joints] for name, joints in GROUPS.items()}
    numbers: dict[str, Any] = {
        "images": len(has), "missing": int(np.count_nonzero(~has)),
        "pck": mean(near[seen & of]), "pck_all": mean(near[seen]),
        "pck_hidden": mean(near[hidden & of]),
        **{f"pck_{n}": mean(near[:, at][(seen & of)[:, at]]) for n, at in groups.items()},
        "error": mean(distance[seen & there]),
        "swapped": mean(_swapped(people, seen & there & there[:, MIRROR] & PAIRED)),
        **counts,
    }  # fmt: skip
    each = {
        name: float(distance[i, one].mean())
        for i, name in enumerate(people.image_ids)
        if (one := seen[i] & there[i]).any()
    }
    return Measured(numbers, each)


def _read(built: Path, truth: Path) -> tuple[People, dict[str, int]]:
    """The people of the build's images, and how many of these images show nobody."""
    shards = Shards(built)
    estimated = joints_array(shards.scalars(["joints"])["joints"])  # (images, 18, 3)
    chosen: list[int] = []
    names, true, heights = [], [], []
    nobody = false = 0
    for index, row in rows_of_build(shards, truth, TRUTH):
        joints = None if row["joints"] is None else np.array(row["joints"], np.float32)
        if joints is None or row["box"] is None:
            nobody += 1
            false += bool(np.isfinite(estimated[index]).any())
        elif (joints[:, 2] > 0).any():
            chosen.append(index)
            names.append(row["image_id"])
            true.append(joints)
            heights.append(row["box"][3] - row["box"][1])
    if not chosen:
        raise ReidError(f"{truth}: has no joints in any image of {built}")
    people = People(names, np.stack(true), estimated[chosen], np.array(heights))
    return people, {"nobody": nobody, "false": false}


def _distance(people: People, joints: np.ndarray) -> np.ndarray:
    """(N, 18) from the true joints, in shares of the person's height; NaN where there are none."""
    away = joints[..., :2] - people.true[..., :2]
    return np.hypot(away[..., 0], away[..., 1]) / people.height_px[:, None]


def _swapped(people: People, compared: np.ndarray) -> np.ndarray:
    """Whether an image's joints fit better mirrored, of each image that has joints to compare.

    `compared` (N, 18) bool says which these are.
    """
    own = np.where(compared, _distance(people, people.estimated), 0).sum(1)
    other = np.where(compared, _distance(people, people.estimated[:, MIRROR]), 0).sum(1)
    return (other < own)[compared.any(1)]
