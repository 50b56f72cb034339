"""Joints and body boxes as arrays: which joints make a part, and the boxes that they give.

Joints are (N, 18, 2) or (N, 18, 3) in `JOINT_NAMES` order, pixels, y downward, confidence last.
Source  Yang et al., "Attention driven person re-identification", Pattern Recognition 2019, eq. 1, 2
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

JOINTS = pa.list_(pa.list_(pa.float32(), 3), 18)  # x, y in pixels of `image`; confidence 0 to 1
BOXES = pa.list_(pa.list_(pa.float32(), 4), 5)  # x1, y1, x2, y2 of R0 (whole body) and R1..R4

JOINT_NAMES = (  # OpenPose's COCO order, 0-based
    "nose", "neck",
    "right_shoulder", "right_elbow", "right_wrist",
    "left_shoulder", "left_elbow", "left_wrist",
    "right_hip", "right_knee", "right_ankle",
    "left_hip", "left_knee", "left_ankle",
    "right_eye", "left_eye", "right_ear", "left_ear",
)  # fmt: skip

JOINT = {name: index for index, name in enumerate(JOINT_NAMES)}

OTHER_SIDE = {"right": "left", "left": "right"}
MIRROR = np.array([  # (18,) each joint's number on the other side; its own where it has no side
    JOINT["_".join(OTHER_SIDE.get(word, word) for word in name.split("_"))] for name in JOINT_NAMES
])  # fmt: skip

# The paper numbers its joints from the top of the body to the bottom; neighbouring parts share the
# joints of their boundary. Left and right always go together.
HEAD = ("nose", "right_eye", "left_eye", "right_ear", "left_ear", "neck")
UPPER_BODY = (
    "neck", "right_shoulder", "left_shoulder", "right_elbow", "left_elbow",
    "right_wrist", "left_wrist", "right_hip", "left_hip",
)  # fmt: skip
UPPER_LEG = ("right_hip", "left_hip", "right_knee", "left_knee")
LOWER_LEG = ("right_knee", "left_knee", "right_ankle", "left_ankle")


class Frame(NamedTuple):
    """The whole body's box of equation 1; each (N,) pixels."""

    left: np.ndarray
    top: np.ndarray
    right: np.ndarray
    bottom: np.ndarray

    @property
    def height(self) -> np.ndarray:
        """The body height H of both equations; not positive where the head is below the feet."""
        return self.bottom - self.top


def body_frame(xy: np.ndarray) -> Frame:
    """The whole body's box from (N, 18, 2) joints, by equation 1.

    With P0 all joints, P1 those of the head (neck included) and P4 knees and ankles:

        bottom = 4/3 max y(P4) - 1/3 min y(P4)   a third of the shin below the ankles
        top    = 2 min y(P1) - max y(P1)         the head's height again above the eyes
        H      = bottom - top
        left   = min(xc - H/4, min x(P0)), right = max(xc + H/4, max x(P0))

    where xc is the mean x of all joints, so the box is at least half as wide as it is high.
    """
    x, y = xy[..., 0], xy[..., 1]  # (N, 18)
    head_low, head_high = _extent(y, HEAD)
    leg_low, leg_high = _extent(y, LOWER_LEG)
    bottom = (4 * leg_high - leg_low) / 3
    top = 2 * head_low - head_high
    quarter = (bottom - top) / 4
    centre = x.mean(1)
    left = np.minimum(centre - quarter, x.min(1))
    right = np.maximum(centre + quarter, x.max(1))
    return Frame(left, top, right, bottom)


def part_boxes(xy: np.ndarray, beta: float, *, wrists: bool = True) -> np.ndarray:
    """(N, 18, 2) joints to (N, 5, 4) boxes x1, y1, x2, y2 of R0 to R4, by equation 2.

    `beta` is the overlap as a share of the body height H. All boxes have the body's left and right:

        R0 whole body   top               to bottom
        R1 head         top               to max y(P1) + beta H
        R2 upper body   min y(P2) - beta H to max y(P2) + beta H
        R3 upper leg    min y(P3) - beta H to max y(P3) + beta H
        R4 lower leg    min y(P4) - beta H to bottom

    Neighbours share joints, so they overlap by at least 2 beta H. Boxes may exceed the image.
    `wrists` False leaves the wrists out of P2: arms hanging below the hips then do not stretch it.
    """
    frame, y = body_frame(xy), xy[..., 1]
    overlap = beta * frame.height
    upper = UPPER_BODY if wrists else tuple(n for n in UPPER_BODY if not n.endswith("wrist"))
    extents = [_extent(y, part) for part in (HEAD, upper, UPPER_LEG, LOWER_LEG)]
    tops = [frame.top, frame.top, *(low - overlap for low, _ in extents[1:])]
    bottoms = [frame.bottom, *(high + overlap for _, high in extents[:3]), frame.bottom]
    boxes = np.empty((len(xy), 5, 4), xy.dtype)
    boxes[:, :, 0], boxes[:, :, 2] = frame.left[:, None], frame.right[:, None]
    boxes[:, :, 1], boxes[:, :, 3] = np.stack(tops, 1), np.stack(bottoms, 1)
    return boxes


def strips(height: np.ndarray, width: np.ndarray) -> np.ndarray:
    """(N,) image sizes to (N, 5, 4) boxes: the whole image, then its four equal strips downward."""
    tops = np.array([0, 0, 0.25, 0.5, 0.75])
    bottoms = np.array([1, 0.25, 0.5, 0.75, 1])
    boxes = np.zeros((len(height), 5, 4))
    boxes[:, :, 1], boxes[:, :, 3] = height[:, None] * tops, height[:, None] * bottoms
    boxes[:, :, 2] = width[:, None]
    return boxes


def joints_array(column: pa.ChunkedArray | pa.Array) -> np.ndarray:
    """A column of the type `JOINTS` to (N, 18, 3) float32; all NaN in rows that are null."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    result = np.full((len(array), len(JOINT_NAMES), 3), np.nan, np.float32)
    valid = np.asarray(array.is_valid())
    flat = array.cast(JOINTS).flatten().flatten()  # null rows are left out by flatten
    result[valid] = flat.to_numpy(zero_copy_only=False).reshape(-1, len(JOINT_NAMES), 3)
    return result


def joints_column(joints: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """(N, 18, 3) to a column of the type `JOINTS`, null where `missing` (N,) is True."""
    return _to_column(joints, JOINTS, missing)


def boxes_column(boxes: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    """(N, 5, 4) to a column of the type `BOXES`, null where `missing` (N,) is True."""
    return _to_column(boxes, BOXES, missing)


def _extent(values: np.ndarray, names: tuple[str, ...]) -> tuple[np.ndarray, np.ndarray]:
    chosen = values[:, [JOINT[name] for name in names]]
    return chosen.min(1), chosen.max(1)


def _to_column(values: np.ndarray, kind: pa.DataType, missing: np.ndarray | None) -> pa.Array:
    flat = pa.array(np.ascontiguousarray(values, np.float32).ravel())
    inner = pa.FixedSizeListArray.from_arrays(flat, type=kind.value_type)
    mask = None if missing is None else pa.array(np.asarray(missing, bool))
    return pa.FixedSizeListArray.from_arrays(inner, type=kind, mask=mask)
