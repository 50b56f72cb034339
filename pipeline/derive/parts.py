"""Body parts: five overlapping boxes an image, from its joints; missing joints are filled in.

Reads   1-shards (`height`, `width`), 2-derived/joints
Writes  2-derived/parts: `parts` = boxes R0 whole body, R1 head, R2 upper body, R3 upper leg, R4
        lower leg as x1, y1, x2, y2 pixels (they may exceed the image); `parts_source`, where they
        come from; `joints_filled`, how many joints were made up; `pose`, the canonical pose or -1
Source  Yang et al., "Attention driven person re-identification", Pattern Recognition 2019,
        eq. 1 and 2 (`pipeline.core.poses`), and its canonical poses, for which it gives no details
Differs Canonical poses are k-means centres of the training poses. One is laid over the confident
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

import warnings
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import numpy as np
import pyarrow as pa
from pydantic import Field

from pipeline.core.params import StageParams
from pipeline.core.poses import body_frame, boxes_column, joints_array, part_boxes, strips
from pipeline.core.schema import BOXES

VERSION = 1
READS = {"rows": ["height", "width"], "joints": ["joints"]}
SCHEMA = pa.schema(
    [
        pa.field("parts", BOXES),
        pa.field("parts_source", pa.string()),  # pose, canonical, mean or strips
        pa.field("joints_filled", pa.int8()),
        pa.field("pose", pa.int8()),
    ]
)

BODY_HEIGHT = (1 / 8, 8)  # a body's height over its image's; others are no person's
FIT_MISSING = 4  # training poses with at most so many joints missing are clustered
FIT_ROUNDS = 2  # the second fills missing joints from the first one's canonical poses

# A person who stands and faces the camera, in body heights: the pose that training poses are
# completed from, and the only one where no training pose is confident.
STANDING = np.array(
    [
        (0, -0.32), (0, -0.22),
        (-0.10, -0.22), (-0.14, -0.07), (-0.15, 0.07), (0.10, -0.22), (0.14, -0.07), (0.15, 0.07),
        (-0.06, 0.08), (-0.07, 0.33), (-0.07, 0.56), (0.06, 0.08), (0.07, 0.33), (0.07, 0.56),
        (-0.02, -0.34), (0.02, -0.34), (-0.05, -0.33), (0.05, -0.33),
    ]
)  # fmt: skip


class Params(StageParams):
    beta: Annotated[float, Field(ge=0, le=0.5)] = 5 / 48  # overlap in body heights (paper)
    wrists: bool = True  # whether wrists belong to the upper body
    canonical_poses: Annotated[int, Field(ge=1, le=127)] = 8
    min_confidence: Annotated[float, Field(ge=0, le=1)] = 0.2  # joints below are filled in
    min_joints: Annotated[int, Field(ge=2, le=18)] = 4  # with fewer the whole image is the person
    fit_poses: Annotated[int, Field(ge=1)] = 20_000  # at most so many training poses are clustered
    strips: bool = True  # strips where a row has no joints; False rejects it
    seed: int = 0


def batch_rows(params: Params) -> int:
    return 2048


def fit(tables: Iterator[pa.Table], params: Params) -> dict[str, Any]:
    """Canonical poses of the training rows: `poses` (K, 18, 2) and their `mean`, in body heights.

    Poses with at most `FIT_MISSING` joints missing are completed, centred on their mean joint,
    scaled to body height 1 and clustered; the most common pose comes first.
    """
    found = [_fit_rows(table, params) for table in tables]
    xy = np.concatenate([f[0] for f in found]) if found else np.empty((0, 18, 2))
    confident = np.concatenate([f[1] for f in found]) if found else np.empty((0, 18), bool)
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


def build(
    params: Params, device: str, fitted: dict[str, Any] | None
) -> Callable[[pa.Table], pa.Table]:
    """The stage's step over tables of `READS`; `fitted` is the result of `fit`."""
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

    return step


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
    believed = enough & (pose >= 0) & _possible(filled_xy, height)
    filled_xy[~believed] = over_image(mean, height, width)[~believed]
    boxes = part_boxes(filled_xy, params.beta, wrists=params.wrists)
    boxes[~known] = strips(height, width)[~known]
    missing = (~confident).sum(1)
    source = np.select(
        [~known, ~believed, missing == 0], ["strips", "mean", "pose"], default="canonical"
    )
    filled = np.select([~known, ~believed], [0, 18], default=missing)
    return boxes, source, filled, np.where(source == "canonical", pose, -1)


def confident_joints(
    joints: np.ndarray, height: np.ndarray, width: np.ndarray, min_confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """(N, 18, 3) joints to coordinates (N, 18, 2), 0 where not finite, and which are confident.

    A joint may lie outside its image, but one more than the image's own size away is noise.
    """
    xy = joints[..., :2].astype(np.float64)
    finite = np.isfinite(joints).all(-1)
    xy[~finite] = 0
    size = np.stack([width, height], 1)[:, None].astype(np.float64)  # (N, 1, 2)
    near = ((xy >= -size) & (xy <= 2 * size)).all(-1)
    return xy, finite & near & (np.where(finite, joints[..., 2], -1) >= min_confidence)


def fill(xy: np.ndarray, confident: np.ndarray, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fill the joints that are not confident from the pose that fits the others best.

    `xy` (N, 18, 2), `confident` (N, 18), `poses` (K, 18, 2). Each pose p is laid over the
    confident joints q by the scale s > 0 and shift t that make the sum of |s p + t - q|^2 least;
    the pose with the least sum is used. Returns the filled (N, 18, 2) and the pose's index (N,),
    -1 where no pose has a positive scale.
    """
    weight = confident[:, None, :, None].astype(np.float64)  # (N, 1, 18, 1)
    count = np.maximum(weight.sum(2), 1)  # (N, 1, 1)
    model_mean = (weight * poses).sum(2) / count  # (N, K, 2)
    joint_mean = (weight * xy[:, None]).sum(2) / count  # (N, 1, 2)
    model = weight * (poses - model_mean[:, :, None])  # (N, K, 18, 2)
    target = weight * (xy[:, None] - joint_mean[:, :, None])  # (N, 1, 18, 2)
    spread = (model**2).sum((2, 3))  # (N, K)
    product = (model * target).sum((2, 3))
    scale = np.divide(product, spread, out=np.zeros_like(product), where=spread > 1e-9)
    error = (target**2).sum((2, 3)) - scale * product  # what the best scale leaves, (N, K)
    error[scale <= 0] = np.inf
    best, rows = error.argmin(1), np.arange(len(xy))
    shift = joint_mean[:, 0] - scale[rows, best, None] * model_mean[rows, best]  # (N, 2)
    laid = scale[rows, best, None, None] * poses[best] + shift[:, None]  # (N, 18, 2)
    filled = np.where(confident[..., None], xy, laid)
    return filled, np.where(np.isfinite(error[rows, best]), best, -1)


def normalise(xy: np.ndarray) -> np.ndarray:
    """(N, 18, 2) poses, centred on their mean joint and scaled to body height 1."""
    return (xy - xy.mean(1, keepdims=True)) / body_frame(xy).height[:, None, None]


def over_image(pose: np.ndarray, height: np.ndarray, width: np.ndarray) -> np.ndarray:
    """One (18, 2) pose of body height 1 laid over each whole image: (N, 18, 2) pixels."""
    top = body_frame(pose[None]).top[0]
    x = pose[:, 0] * height[:, None] + width[:, None] / 2
    return np.stack([x, (pose[:, 1] - top) * height[:, None]], -1)


def cluster(poses: np.ndarray, k: int, seed: int) -> np.ndarray:
    """At most `k` k-means centres of (N, 18, 2) normalised poses, the most common first."""
    from scipy.cluster.vq import kmeans2

    distinct = np.unique(poses.round(6).reshape(len(poses), -1), axis=0)  # (M, 36)
    generator = np.random.default_rng(seed)
    start = distinct[generator.choice(len(distinct), min(k, len(distinct)), replace=False)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a centre that lost its members is left out
        centres, member = kmeans2(poses.reshape(len(poses), -1), start, 50, minit="matrix")
    sizes = np.bincount(member, minlength=len(centres))
    order = np.argsort(-sizes, kind="stable")[: np.count_nonzero(sizes)]
    return normalise(centres[order].reshape(-1, 18, 2))


def _fit_rows(table: pa.Table, params: Params) -> tuple[np.ndarray, np.ndarray]:
    height, width = table["height"].to_numpy(), table["width"].to_numpy()
    joints = joints_array(table["joints"])
    xy, confident = confident_joints(joints, height, width, params.min_confidence)
    filled, pose = fill(xy, confident, normalise(STANDING[None]))
    enough = (~confident).sum(1) <= FIT_MISSING
    good = enough & (pose >= 0) & _possible(filled, height)
    return xy[good], confident[good]


def _possible(xy: np.ndarray, height: np.ndarray) -> np.ndarray:
    share = body_frame(xy).height / height
    return (share >= BODY_HEIGHT[0]) & (share <= BODY_HEIGHT[1])
