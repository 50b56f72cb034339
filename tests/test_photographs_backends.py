"""Real photographs through each network stage with each backend that is installed.

Weights are the world's where a backend has some, else random: what is asked is that nothing breaks,
that each row gets its values or a reason, and that these are of the image's size. What the world's
networks make of photographs is drawn by `python -m tests.photographs`.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import reid
from reid.project.layout import Project
from reid.shards.manifest import manifest_of
from tests import photographs

NETWORKS = [  # stage, backend, library, further parameters
    ("masks", "torchvision", "torchvision", "weights: world, shortest_side: 128"),
    ("masks", "torchvision", "torchvision", "weights: random, shortest_side: 64"),
    ("masks", "ultralytics", "ultralytics", "weights: random"),
    ("masks", "detectron2", "detectron2", "weights: random"),
    ("joints", "mmpose", "mmpose", "weights: world"),
    ("joints", "ultralytics", "ultralytics", "weights: random"),
    ("joints", "torchvision", "torchvision", "weights: random, height: 64, width: 64"),
    ("crops", "ultralytics", "ultralytics", "weights: world, longest_side: 256"),
    ("flow", "ptlflow", "ptlflow", "weights: world"),
    ("flow", "ptlflow", "ptlflow", "weights: random"),
    ("flow", "dis", "cv2", ""),
    ("flow", "lucas_kanade", "cv2", ""),
]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    if not photographs.pictures():
        pytest.skip("ultralytics is not installed")
    monkeypatch.chdir(tmp_path)
    return photographs.build()


@pytest.mark.parametrize(("stage", "backend", "library", "further"), NETWORKS)
def test_a_backend_takes_photographs(
    project: Project, stage: str, backend: str, library: str, further: str
):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    dataset = "pictures" if stage == "crops" else "people"
    values = [f"dataset: {dataset}", f"backend: {backend}", *([further] if further else [])]
    if stage == "crops":
        finished = photographs.run(project, stage, ", ".join([*values, "nobody: whole_frame"]))
        rows = reid.open("data", "crops/pictures", ["image"])
        assert len(rows) == finished.rows == len(photographs.BOXES)
        return
    finished = photographs.run(project, stage, ", ".join(values))
    column = {"masks": "mask", "joints": "joints", "flow": "flow"}[stage]
    data = reid.open("data", dataset, ["image", column])
    rows = [row for batch in data.batches(4) for row in batch]
    made = [row for row in rows if row[column] is not None]
    assert len(rows) == finished.rows == 10
    assert len(made) + manifest_of(finished.folder, "")["rejects"] == 10
    for row in made if stage != "joints" else []:
        assert row[column].shape[:2] == row["image"].shape[:2]
    if backend == "dis":
        shift = np.array([np.median(row["flow"], axis=(0, 1)) for row in made])
        assert np.abs(np.median(shift, 0) + photographs.MOVED_PX).max() < 1, "all else stood still"
