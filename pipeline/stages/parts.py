"""Body parts: five overlapping boxes an image, from its joints; missing joints are filled in.

Reads   1-shards (`height`, `width`), 2-derived/joints
Writes  2-derived/parts: `parts` = boxes R0 whole body, R1 head, R2 upper body, R3 upper leg, R4
        lower leg as x1, y1, x2, y2 pixels (they may exceed the image); `parts_source`, where they
        come from; `joints_filled`, how many joints were made up; `pose`, the canonical pose or -1
Source  Yang et al., "Attention driven person re-identification", Pattern Recognition 2019,
        eq. 1 and 2 (`reid.arrays.poses`), and its canonical poses, for which it gives no details
Differs Which joints bound which part is a reconstruction: the paper numbers its joints from head to
        foot, and the print of its sets is damaged. Neighbouring parts share their boundary joints.
        Canonical poses are k-means centres of the training poses. One is laid over the confident
        joints by scale and shift alone: people in a crop stand upright, and a rotation found from
        few joints would tip the body over.

`parts_source` is, in this order:
    pose       all joints are confident
    canonical  those below `min_confidence` come from the canonical pose that fits the others best
    mean       fewer than `min_joints` are confident, or the body they give is impossible: the mean
               pose over the whole image
    strips     no joints at all (a null row): the image and its four equal strips
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.engine.stage import Resources, Stage, TableStep
from reid.arrays.pose_clusters import (
    STANDING,
    cluster,
    confident_joints,
    fill,
    normalise,
    possible,
)
from reid.arrays.poses import BOXES, body_frame, boxes_column, joints_array, part_boxes, strips
from reid.project.params import DerivedParams

SCHEMA = pa.schema(
    [
        pa.field("parts", BOXES),
        pa.field("parts_source", pa.string()),  # pose, canonical, mean or strips
        pa.field("joints_filled", pa.int8()),
        pa.field("pose", pa.int8()),
    ]
)

FIT_MISSING = 4  # training poses with at most so many joints missing are clustered
FIT_ROUNDS = 2  # the second fills missing joints from the first one's canonical poses


class Params(DerivedParams):
    beta: Annotated[float, Field(ge=0, le=0.5)] = 5 / 48  # overlap in body heights (paper)
    wrists: bool = True  # whether wrists belong to the upper body
    canonical_poses: Annotated[int, Field(ge=1, le=127)] = 8
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.2  # joints below are filled in
    min_joints: Annotated[int, Field(ge=2, le=18)] = 4  # with fewer the whole image is the person
    fit_poses: Annotated[int, Field(ge=1)] = 20_000  # at most so many training poses are clustered
    strips: bool = True  # strips where a row has no joints; False rejects it
    seed: Annotated[int, Field(ge=0)] = 0


def batch_rows(params: Params) -> int:
    return 2048


def fit(tables: Iterator[pa.Table], params: Params) -> dict[str, Any]:
    """Canonical poses of the training rows: `poses` (K, 18, 2) and their `mean`, in body heights.

    Poses with at most `FIT_MISSING` joints missing are completed, centred on their mean joint,
    scaled to body height 1 and clustered; the most common pose comes first.
    """
    parts = [_fit_rows(table, params) for table in tables]
    parts = parts or [(np.empty((0, 18, 2)), np.empty((0, 18), bool))]
    xy, confident = (np.concatenate(part) for part in zip(*parts, strict=True))
    if len(xy) > params.fit_poses:
        generator = np.random.default_rng(params.seed)
        chosen = np.sort(generator.choice(len(xy), params.fit_poses, replace=False))
        xy, confident = xy[chosen], confident[chosen]
    poses, used = normalise(STANDING[None]), np.empty((0, 18, 2))
    for _ in range(FIT_ROUNDS):
        filled, pose = fill(xy, confident, poses)
        used = normalise(filled[(pose >= 0) & (body_frame(filled).height > 1)])
        if len(used):
            poses = cluster(used, params.canonical_poses, params.seed)
    mean = normalise(used.mean(0, keepdims=True)) if len(used) else poses
    return {
        "count": len(used),
        "poses": poses.round(6).tolist(),
        "mean": mean[0].round(6).tolist(),
    }


def build(params: Params, resources: Resources[dict[str, Any]]) -> TableStep:
    """The stage's step, with the result of `fit`."""
    fitted = resources.fitted
    if fitted is None:
        raise ValueError("parts needs the canonical poses of `fit`")
    poses, mean = np.array(fitted["poses"]), np.array(fitted["mean"])

    def step(table: pa.Table) -> pa.Table:
        joints = joints_array(table["joints"])
        height, width = table["height"].to_numpy(), table["width"].to_numpy()
        boxes, source, filled, pose = derive(joints, height, width, poses, mean, params)
        missing = (source == "strips") & (not params.strips)
        columns = {
            "parts": boxes_column(boxes, missing),
            "parts_source": pa.array(source.tolist(), pa.string(), mask=missing),
            "joints_filled": pa.array(filled, pa.int8(), mask=missing),
            "pose": pa.array(pose, pa.int8(), mask=missing),
            "reject": pa.array(["no joints" if m else None for m in missing], pa.string()),
        }
        return pa.table(columns)

    return TableStep(step)


def derive(
    joints: np.ndarray,
    height: np.ndarray,
    width: np.ndarray,
    poses: np.ndarray,
    mean: np.ndarray,
    params: Params,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Boxes (N, 5, 4), and source, filled and pose (N,), of (N, 18, 3) joints; NaN = no joints."""
    xy, confident = confident_joints(joints, height, width, params.min_confidence)
    filled_xy, pose = fill(xy, confident, poses)
    known = ~np.isnan(joints).all((1, 2))
    enough = known & (confident.sum(1) >= params.min_joints)
    believed = enough & (pose >= 0) & possible(filled_xy, height)
    filled_xy[~believed] = over_image(mean, height, width)[~believed]
    boxes = part_boxes(filled_xy, params.beta, wrists=params.wrists)
    boxes[~known] = strips(height, width)[~known]
    missing = (~confident).sum(1)
    source = np.select(
        [~known, ~believed, missing == 0], ["strips", "mean", "pose"], default="canonical"
    )
    filled = np.select([~known, ~believed], [0, 18], default=missing)
    return boxes, source, filled, np.where(source == "canonical", pose, -1)


def over_image(pose: np.ndarray, height: np.ndarray, width: np.ndarray) -> np.ndarray:
    """One (18, 2) pose of body height 1 laid over each whole image: (N, 18, 2) pixels."""
    top = body_frame(pose[None]).top[0]
    x = pose[:, 0] * height[:, None] + width[:, None] / 2
    return np.stack([x, (pose[:, 1] - top) * height[:, None]], -1)


def _fit_rows(table: pa.Table, params: Params) -> tuple[np.ndarray, np.ndarray]:
    height, width = table["height"].to_numpy(), table["width"].to_numpy()
    joints = joints_array(table["joints"])
    xy, confident = confident_joints(joints, height, width, params.min_confidence)
    filled, pose = fill(xy, confident, normalise(STANDING[None]))
    enough = (~confident).sum(1) <= FIT_MISSING
    good = enough & (pose >= 0) & possible(filled, height)
    return xy[good], confident[good]


STAGE = Stage(
    name="parts",
    params=Params,
    reads={"rows": ["height", "width"], "joints": ["joints"]},
    schema=SCHEMA,
    build=build,
    fit=fit,
    batch_rows=batch_rows,
)
