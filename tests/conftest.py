"""Tiny projects for the tests: raw folders in official layouts, made here, seconds to build."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from reid.arrays import images
from reid.arrays.poses import JOINT_NAMES
from reid.project.layout import Project

# Neither a busy machine nor the examples of the day decide: no deadline, the same examples always.
settings.register_profile(
    "calm", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("calm")

PARAMS = """\
run: {executor: local, workers: 2}
world: {with: {}, on: {}}
ingest:
  with: {shard_rows: 32}
  on: {toy: {reader: market1501}}
joints:
  on: {toy: {backend: given, path: joints.csv}}
parts:
  with: {canonical_poses: 3}
  on: {toy: {}}
attention_driven:
  with: {seed: 0}
  scale:
    toy:
      height: 64
      width: 32
      part_height: 32
      part_width: 32
      width_scale: 0.25
      epochs: 2
      batch: 16
  on:
    toy-baseline: {dataset: toy, model: baseline}
    toy-inter: {dataset: toy, model: inter}
"""


def toy_samples(persons: int = 8, cameras: int = 3, shots: int = 3) -> Iterator[Sample]:
    """Persons as coarse colour patterns with noise: odd ones to train, even ones to test."""
    random = np.random.default_rng(0)
    for person in range(1, persons + 1):
        pattern = random.integers(30, 225, (4, 2, 3), dtype=np.uint8)
        for camera in range(1, cameras + 1):
            for shot in range(shots):
                clean = images.resize(pattern, 64, 32).astype(int)
                noisy = clean + random.integers(-25, 26, clean.shape)
                role = "train" if person % 2 else "query" if shot == 0 else "gallery"
                image = np.clip(noisy, 0, 255).astype(np.uint8)
                yield Sample(image, person, camera, role, frame=5 * shot, tracklet=1)


def standing_joints(height: int, width: int) -> np.ndarray:
    """(18, 3) joints of somebody standing upright in an image, all seen."""
    y = dict.fromkeys(JOINT_NAMES, 0.12)
    y |= {"neck": 0.2, "right_shoulder": 0.2, "left_shoulder": 0.2, "nose": 0.1}
    for side in ("right_", "left_"):
        y |= {side + "elbow": 0.35, side + "wrist": 0.5, side + "hip": 0.5}
        y |= {side + "knee": 0.7, side + "ankle": 0.92}
    x = [0.5 + 0.15 * (n.startswith("left") - n.startswith("right")) for n in JOINT_NAMES]
    rows = [(x[i] * width, y[n] * height, 1.0) for i, n in enumerate(JOINT_NAMES)]
    return np.array(rows, np.float32)


def make_project(root: Path, **samples: int) -> Project:
    """A project with a raw Market-1501 folder `toy` and given joints."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "params.yaml").write_text(PARAMS)
    ids = list(market1501.write(root / "data/0-raw/toy", toy_samples(**samples)))
    random = np.random.default_rng(1)
    lines = ["image_id," + ",".join(f"{a}{i}" for i in range(18) for a in "xyc")]
    for image_id in ids:
        joints = standing_joints(64, 32)
        joints[:, :2] += random.normal(0, 1, (18, 2))
        lines.append(",".join([image_id, *(f"{v:.2f}" for v in joints.ravel())]))
    (root / "joints.csv").write_text("\n".join(lines) + "\n")
    return Project(root)


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A fresh tiny project; the working folder is its root."""
    made = make_project(tmp_path / "project")
    monkeypatch.chdir(made.root)
    return Project(Path())


def reid(*arguments: str, cwd: Path | None = None, patch: str = "", timeout: int = 1200):
    """Run the `reid` command in a process of its own, optionally after a line of Python."""
    begin, end = (
        "import sys; sys.argv[0] = 'reid'",
        "from pipeline.commands.main import main; main()",
    )
    code = f"{begin}\n{patch}\n{end}"
    environment = {**os.environ, "COLUMNS": "200", "NO_COLOR": "1"}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=timeout
    )


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its bytes."""
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in files}
