"""A tiny data set of tracklets, as ingested: shards, manifest and params.yaml, made here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pipeline.engine import plan as stage
from pipeline.engine import run as engine
from pipeline.stages import flow
from pipeline.stages.flow import Params
from reid.arrays import images
from reid.project.layout import Project
from reid.shards import schema
from reid.shards.folder import Shards, with_sizes, write_shard
from tests.manifests import write_manifest

Key = tuple[int, int, int]  # person, camera, tracklet


def texture(height: int, width: int, seed: int = 0) -> np.ndarray:
    """(H, W, 3) uint8 with detail of 3 to 24 pixels."""
    random = np.random.default_rng(seed)
    total = np.zeros((height, width, 3), np.float32)
    for size in (3, 6, 12, 24):
        coarse = random.random((height // size + 3, width // size + 3, 3)).astype(np.float32)
        large = cv2.resize(coarse, None, fx=size, fy=size, interpolation=cv2.INTER_CUBIC)
        total += size * large[:height, :width]
    low, high = total.min(), total.max()
    return np.rint((total - low) / (high - low) * 255).astype(np.uint8)


def shifted(
    height: int, width: int, u: int, v: int, frames: int, seed: int = 0
) -> list[np.ndarray]:
    """Frames of a texture that moves by (u, v) whole pixels a frame, right and down."""
    reach = max(abs(u), abs(v)) * frames
    whole = texture(height + 2 * reach, width + 2 * reach, seed)
    tops = [(reach - v * n, reach - u * n) for n in range(frames)]
    return [whole[y : y + height, x : x + width].copy() for y, x in tops]


def write_video(
    root: Path, shards: Sequence[Mapping[Key | None, Sequence[np.ndarray | bytes | None]]]
) -> Project:
    """A project whose data set `toy` has these tracklets, shard by shard; key None: still images.

    A frame is an image, or the bytes that stand for one, or nothing.
    """
    project = Project(root)
    rows = project.shards("toy") / "rows"
    rows.mkdir(parents=True)
    for number, tracklets in enumerate(shards):
        path = rows / f"all-{number:05d}-of-{len(shards):05d}.parquet"
        made = [_row(key, n, f) for key, fs in tracklets.items() for n, f in enumerate(fs)]
        table = pa.Table.from_pylist(made, schema.ROW)
        write_shard(path, with_sizes(table), {})
    write_manifest(project.shards("toy"), stage="ingest", columns=schema.ROW.names)
    (root / "params.yaml").write_text("flow: {on: {toy: {}}}\n")
    return project


def _row(key: Key | None, number: int, frame: np.ndarray | bytes | None) -> dict[str, Any]:
    person, camera, tracklet = key or (1, 1, None)
    data = images.encode_png(frame) if isinstance(frame, np.ndarray) else frame
    height, width = frame.shape[:2] if isinstance(frame, np.ndarray) else (32, 16)
    return {
        "image_id": f"{person:04d}C{camera}T{tracklet or 0:04d}F{number:03d}",
        "image": None if data is None else {"bytes": data, "path": None},
        "person": person, "camera": camera, "tracklet": tracklet, "height": height, "width": width,
        "frame": None if key is None else number, "train": True, "query": False, "gallery": False,
    }  # fmt: skip


def run_flow(
    project: Project, name: str = "toy", executor: str = "local", **params: Any
) -> engine.Finished:
    """Build the stage over `toy` with `params`, by default OpenCV's DIS."""
    chosen = Params.model_validate({"dataset": "toy", "backend": "dis", **params})
    plan = stage.plan(flow.STAGE, name, chosen, project, "cpu")
    return engine.run(plan, project, executor=executor, workers=2)


def rows_of(project: Project, name: str = "toy") -> dict[str, dict[str, Any]]:
    """The published rows by image_id, in their order."""
    shards = Shards(project.derived("flow", name)).shards
    rows = pa.concat_tables([shard.table() for shard in shards]).to_pylist()
    return {row["image_id"]: row for row in rows}
