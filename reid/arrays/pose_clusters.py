"""Poses as arrays: completed from a standard one, normalised, and clustered.

Joints are (N, 18, 2) or (N, 18, 3) in `JOINT_NAMES` order, pixels, y downward, confidence last.
"""

from __future__ import annotations

import warnings

import numpy as np

from reid.arrays.poses import body_frame

BODY_HEIGHT = (
    1 / 8,
    8,
)  # a body's height over its image's; a body outside these limits is no person's

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


def possible(xy: np.ndarray, height: np.ndarray) -> np.ndarray:
    """(N,) bool: whether (N, 18, 2) joints give a body that fits images of `height` (N,) pixels."""
    share = body_frame(xy).height / height
    return (share >= BODY_HEIGHT[0]) & (share <= BODY_HEIGHT[1])


def complete(
    joints: np.ndarray,
    height: np.ndarray,
    width: np.ndarray,
    min_confidence: float,
    min_joints: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Complete (N, 18, 3) joints from the standing pose: (N, 18, 2), and which rows to believe.

    `height` and `width` (N,) are the images'. Rows of NaN, with fewer than `min_joints`
    confident joints, or with an impossible body are not to be believed.
    """
    xy, confident = confident_joints(joints, height, width, min_confidence)
    filled, pose = fill(xy, confident, normalise(STANDING[None]))
    enough = confident.sum(1) >= min_joints
    return filled, enough & (pose >= 0) & possible(filled, height)


def nearest(poses: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """(N,) which of (K, 18, 2) centres each of (N, 18, 2) normalised poses is nearest to."""
    flat, middle = poses.reshape(len(poses), -1), centres.reshape(len(centres), -1)
    return ((flat[:, None] - middle) ** 2).sum(-1).argmin(1)
