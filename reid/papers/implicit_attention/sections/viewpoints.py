"""Viewpoints that are clusters of poses: the poses in a plane, and the pose in each middle."""

from __future__ import annotations

import numpy as np

from reid.arrays import draw
from reid.arrays.pose_clusters import complete, nearest, normalise
from reid.papers.implicit_attention.sections.swaps import backgrounds, fit_of
from reid.report import plots
from reid.report.blocks import Figure, Row, Section, Sheet, Shot, jpeg, svg
from reid.report.sections.pictures import evenly
from reid.results.built import Build, BuiltData
from reid.shards.folder import Shard

SHOWN = 600  # poses
POSE_PX = 176  # height of a drawn pose's picture


def clusters(built: BuiltData) -> Section | None:
    """For each build of `backgrounds` that found its viewpoints by itself."""
    blocks: list[Figure | Sheet] = []
    for name, build in backgrounds(built).items():
        middles = np.array(fit_of(build).get("poses", []))  # (K, 18, 2)
        if len(middles) and built.has("joints"):
            blocks += [_plane(built, name, build, middles), _middles(name, middles)]
    return Section("Viewpoints by poses", blocks) if blocks else None


def _plane(built: BuiltData, name: str, build: Build, middles: np.ndarray) -> Figure:
    poses = normalised(built, build)
    member = nearest(poses, middles)
    poses, shown = poses[evenly(len(poses), SHOWN)], member[evenly(len(poses), SHOWN)]
    laid, share = principal(poses.reshape(len(poses), -1))
    groups = {f"viewpoint {k}": laid[shown == k] for k in range(len(middles)) if (shown == k).any()}
    counts = "; ".join(f"viewpoint {k}: {(member == k).sum():,}" for k in range(len(middles)))
    caption = (
        f"{name.capitalize()}: {len(poses):,} of {len(member):,} normalised training poses on "
        f"their first two principal components, which hold {share:.0%} of the variance, coloured "
        f"by cluster. {counts}."
    )
    return Figure(svg(plots.points(groups)), f"Poses in a plane, by cluster. {counts}.", caption)


def principal(points: np.ndarray) -> tuple[np.ndarray, float]:
    """(N, D) points on their first two principal components, (N, 2); the share of the variance.

    Each axis points to where its largest weight is positive, so that a picture is not mirrored.
    """
    centred = points.astype(np.float64) - points.mean(0)
    variance, axes = np.linalg.eigh(centred.T @ centred)  # (D,) ascending, (D, D) in columns
    first = axes[:, :-3:-1]  # (D, 2)
    first = first * np.sign(first[np.abs(first).argmax(0), [0, 1]])
    return centred @ first, float(variance[-2:].sum() / (variance.sum() or 1.0))


def normalised(built: BuiltData, build: Build) -> np.ndarray:
    """The poses (N, 18, 2) that the build clustered: of training rows with joints and a region."""
    rows = Shard(build.folder / "fit.parquet").table(["position"])["position"].to_numpy()
    found = built.data.values("joints", rows)
    joints = np.array([np.zeros((18, 3)) if j is None else j for j in found]).reshape(-1, 18, 3)
    height, width = (built.data.labels(side)[rows] for side in ("height", "width"))
    limits = (build.parameters["min_confidence"], build.parameters["min_joints"])
    xy, known = complete(joints, height, width, *limits)
    return normalise(xy[known])


def _middles(name: str, middles: np.ndarray) -> Sheet:
    """Each cluster's mean pose, drawn."""
    shots = []
    for k, pose in enumerate(middles):
        scaled = pose * 0.8 * POSE_PX + (POSE_PX / 4, POSE_PX / 2)
        joints = np.concatenate([scaled, np.ones((len(pose), 1))], 1)
        paper = np.full((POSE_PX, POSE_PX // 2, 3), draw.PAPER, np.uint8)
        shots.append(Shot(jpeg(draw.joints(paper, joints)), f"Mean pose of {k}", f"viewpoint {k}"))
    return Sheet([Row("mean poses", shots)], f"{name.capitalize()}: the mean pose of each cluster.")
