"""COCO's 17 joints and OpenPose's 18 and 25; and which of several people a crop is about.

Source  the orders of the COCO keypoint annotations and of OpenPose's COCO and BODY_25 models
"""

from __future__ import annotations

import numpy as np

from reid.arrays.poses import JOINT_NAMES

COCO_NAMES = (
    "nose", "left_eye", "right_eye", "left_ear", "right_ear",
    "left_shoulder", "right_shoulder", "left_elbow", "right_elbow", "left_wrist", "right_wrist",
    "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle",
)  # fmt: skip

BODY_25_NAMES = (
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist", "middle_hip",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
    "left_big_toe", "left_small_toe", "left_heel",
    "right_big_toe", "right_small_toe", "right_heel",
)  # fmt: skip

_NECK = JOINT_NAMES.index("neck")
_SHOULDERS = [COCO_NAMES.index("left_shoulder"), COCO_NAMES.index("right_shoulder")]
_FROM_COCO = [COCO_NAMES.index(name) if name != "neck" else 0 for name in JOINT_NAMES]
_FROM_BODY_25 = [BODY_25_NAMES.index(name) for name in JOINT_NAMES]


def from_coco(joints: np.ndarray) -> np.ndarray:
    """(..., 17, 3) COCO joints to (..., 18, 3) in OpenPose's order.

    The neck, which COCO lacks, is the middle of the shoulders with the lower of their confidences.
    """
    shoulders = joints[..., _SHOULDERS, :]  # (..., 2, 3)
    result = joints[..., _FROM_COCO, :]  # (..., 18, 3)
    result[..., _NECK, :2] = shoulders[..., :2].mean(-2)
    result[..., _NECK, 2] = shoulders[..., 2].min(-1)
    return result


def to_coco(joints: np.ndarray) -> np.ndarray:
    """(..., 18, 3) joints in OpenPose's order to COCO's (..., 17, 3): all but the neck."""
    return joints[..., [JOINT_NAMES.index(name) for name in COCO_NAMES], :]


def from_body_25(joints: np.ndarray) -> np.ndarray:
    """(..., 25, 3) joints of OpenPose's BODY_25 model to its (..., 18, 3) COCO order."""
    return joints[..., _FROM_BODY_25, :]


def to_openpose(numbers: np.ndarray) -> np.ndarray:
    """51 (COCO), 54 (OpenPose) or 75 (BODY_25) numbers x, y, confidence, ... to (18, 3) float32.

    A joint of which a number is masked (`np.ma`) becomes zeros. Raises `ValueError` on other
    counts, and on NaN and infinity.
    """
    if numbers.size not in (51, 54, 75):
        raise ValueError(
            f"{numbers.size} numbers; a person has 51 (COCO), 54 (OpenPose) or 75 (BODY_25)"
        )
    missing = np.ma.getmaskarray(numbers).reshape(-1, 3).any(1, keepdims=True)
    joints = np.ma.getdata(numbers).astype(np.float32).reshape(-1, 3)
    joints = np.where(missing, np.float32(0), joints)
    if not np.isfinite(joints).all():
        raise ValueError("no number, NaN or infinity among its joints; leave a missing one empty")
    if len(joints) == 18:
        return joints
    return from_coco(joints) if len(joints) == 17 else from_body_25(joints)


def central_person(boxes: np.ndarray, height: int, width: int) -> int:
    """The index of the person a crop is about: (N, 4) boxes x1, y1, x2, y2 in pixels, N > 0.

    It is the box with the largest intersection over union with the image's middle: its full height
    and the middle half of its width. So a large box wins over a small one, and a middle one over
    one at the side; of equals the first, which libraries give the highest score.
    """
    left, right = width / 4, 3 * width / 4
    inside_x = np.minimum(boxes[:, 2], right) - np.maximum(boxes[:, 0], left)
    inside_y = np.minimum(boxes[:, 3], height) - np.maximum(boxes[:, 1], 0)
    inside = inside_x.clip(0) * inside_y.clip(0)
    area = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return int(middle_overlap(inside, area, height, width).argmax())


def middle_overlap(inside: np.ndarray, area: np.ndarray, height: int, width: int) -> np.ndarray:
    """The intersection over union of regions with the middle half of an image's width.

    `area` (N,) pixels of the regions, `inside` (N,) of these in the middle.
    """
    return inside / (area + width / 2 * height - inside)
