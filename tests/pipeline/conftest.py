"""A tiny data set with masks, for the stages that swap regions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.commands.build import make_plan
from pipeline.datasets import market1501
from pipeline.engine import run as engine
from reid.arrays import images
from reid.project.layout import Project
from reid.shards.folder import Shards
from reid.shards.schema import IMAGE
from tests.conftest import make_project

SECTIONS = """\
masks:
  on:
    toy: {backend: given, path: masks.parquet, max_reject_rate: 0.5}
    hair: {dataset: toy, backend: given, path: hair.parquet, max_reject_rate: 0.5}
backgrounds:
  with: {same_viewpoint: false, side: 64, mask_width: 40}
  on: {toy: {max_reject_rate: 0.5}}
swaps:
  on: {toy: {per_image: 2}}
"""


def silhouette(random: np.random.Generator, height: int = 64, width: int = 32) -> np.ndarray:
    """A person's mask: head, trunk and legs."""
    mask = np.zeros((height, width), np.uint8)
    broad = random.uniform(5, 8)
    cv2.circle(mask, (width // 2, 10), 4, 1, -1)
    cv2.ellipse(mask, (width // 2, 26), (int(broad), 14), 0, 0, 360, 1, -1)
    for side in (-1, 1):
        foot = (width // 2 + side * int(random.integers(3, 8)), 60)
        cv2.line(mask, (width // 2 + side * 3, 36), foot, 1, 4)
    return mask.astype(bool)


def write_masks(path: Path, masks: dict[str, np.ndarray]) -> None:
    cells = [{"bytes": images.encode_png(mask), "path": None} for mask in masks.values()]
    table = pa.table({"image_id": list(masks), "mask": pa.array(cells, IMAGE)})
    pq.write_table(table, path)


def make_swaps_project(
    root: Path, monkeypatch: pytest.MonkeyPatch, shard_rows: int = 32
) -> Project:
    """The toy data set with masks of its persons and of their hair; works in its root."""
    project = make_project(root)
    params = project.root / "params.yaml"
    text = params.read_text().replace("shard_rows: 32", f"shard_rows: {shard_rows}")
    params.write_text(text + SECTIONS)
    random = np.random.default_rng(2)
    ids = sorted(market1501.read(project.raw("toy")).files["image_id"].to_pylist())
    masks = {name: silhouette(random) for name in ids}
    write_masks(project.root / "masks.parquet", masks)
    hair = {n: m & (np.arange(64) < random.integers(8, 12))[:, None] for n, m in masks.items()}
    write_masks(project.root / "hair.parquet", hair)
    monkeypatch.chdir(project.root)
    return Project(Path())


@pytest.fixture
def swaps_toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    project = make_swaps_project(tmp_path / "project", monkeypatch)
    build(project, "ingest", "masks", "backgrounds")
    return project


def build(project: Project, *stages: str, name: str = "toy", executor: str = "local") -> None:
    for stage in stages:
        engine.run(make_plan(stage, name, project), project, executor=executor, workers=2)


def rows_of(project: Project, stage: str, name: str = "toy") -> list[dict]:
    """All rows that a stage published."""
    shards = Shards(project.derived(stage, name))
    return pa.concat_tables([s.table() for s in shards.shards]).to_pylist()
