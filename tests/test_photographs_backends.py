"""Real photographs through each network stage with each backend that is installed.

Two pictures that ultralytics ships. Weights are the world's where a backend has some, else random:
what is asked is that nothing breaks, that each row gets its values or a reason, and that these are
of the image's size. What the world's networks make of them stands in the README.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest

import reid
from pipeline.cli import make_plan
from pipeline.core import engine, images
from pipeline.core.project import Project, manifest_of
from pipeline.datasets import market1501, mars
from pipeline.datasets.base import Sample

BOXES = {  # people in the pictures, x1, y1, x2, y2
    "bus.jpg": [(48, 395, 248, 905), (221, 405, 346, 862), (668, 390, 810, 880)],
    "zidane.jpg": [(120, 195, 1120, 715), (740, 42, 1150, 715)],
}
MOVED_PX = 3, 2  # what the second frame of a person is cut out further right and below
PARAMS = """\
ingest:
  on:
    people: {reader: mars}
    pictures: {reader: market1501}
"""
NETWORKS = [  # stage, backend, library, weights, further parameters
    ("masks", "torchvision", "torchvision", "world", ""),
    ("masks", "torchvision", "torchvision", "random", "shortest_side: 64"),
    ("masks", "ultralytics", "ultralytics", "random", ""),
    ("masks", "detectron2", "detectron2", "random", ""),
    ("joints", "mmpose", "mmpose", "world", ""),
    ("joints", "ultralytics", "ultralytics", "random", ""),
    ("joints", "torchvision", "torchvision", "random", "height: 64, width: 64"),
    ("crops", "ultralytics", "ultralytics", "world", "longest_side: 256"),
    ("flow", "ptlflow", "ptlflow", "random", "scale: 2"),
    ("flow", "dis", "cv2", "", ""),
    ("flow", "lucas_kanade", "cv2", "", ""),
]


def pictures() -> dict[str, np.ndarray]:
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or spec.origin is None:
        pytest.skip("ultralytics is not installed")
    folder = Path(spec.origin).parent / "assets"
    return {name: images.decode((folder / name).read_bytes()) for name in BOXES}


@pytest.fixture
def photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """`people`: five persons in two frames each. `pictures`: whole, as frames."""
    monkeypatch.chdir(tmp_path)
    people, whole, moved = [], [], np.array([*MOVED_PX, *MOVED_PX])
    for name, picture in pictures().items():
        small = images.resize(picture, picture.shape[0] // 3, picture.shape[1] // 3)
        whole.append(Sample(small, len(whole) + 1, 1, "train", frame=1, tracklet=1))
        for box in BOXES[name]:
            person = len(people) // 2 + 1
            limit = np.array([picture.shape[1], picture.shape[0]] * 2) - 1
            for frame in (0, 1):
                x1, y1, x2, y2 = np.minimum(np.array(box) + frame * moved, limit).tolist()
                cut = picture[y1:y2, x1:x2]
                role = "query" if person == 1 else "train"
                people.append(Sample(cut, person, 1, role, frame=1 + frame, tracklet=1))
    assert len([*mars.write(Path("data/0-raw/people"), iter(people))]) == 10
    assert len([*market1501.write(Path("data/0-raw/pictures"), iter(whole))]) == 2
    Path("params.yaml").write_text(PARAMS)
    project = Project(Path())
    for dataset in ("people", "pictures"):
        engine.run(make_plan("ingest", dataset, project), project, executor="local")
    return project


@pytest.mark.parametrize(("stage", "backend", "library", "weights", "further"), NETWORKS)
def test_a_backend_takes_photographs(
    photographs: Project, stage: str, backend: str, library: str, weights: str, further: str
):
    if importlib.util.find_spec(library) is None:
        pytest.skip(f"{library} is not installed")
    dataset = "pictures" if stage == "crops" else "people"
    values = [f"dataset: {dataset}", f"backend: {backend}", "max_reject_rate: 1", further]
    values += [f"weights: {weights}"] if weights else []
    text = f"{PARAMS}{stage}: {{on: {{{dataset}: {{{', '.join(v for v in values if v)}}}}}}}\n"
    Path("params.yaml").write_text(text)
    found = engine.run(make_plan(stage, dataset, photographs), photographs, executor="local")
    manifest = manifest_of(found.folder, "")
    if stage == "crops":
        rows = reid.open("data", f"crops/{dataset}", ["image"])
        assert len(rows) + found.rejects >= len(BOXES)
        return
    column = {"masks": "mask", "joints": "joints", "flow": "flow"}[stage]
    data = reid.open("data", dataset, ["image", column])
    assert len(data) == found.rows == 10
    made = 0
    for batch in data.batches(4):
        for row in batch:
            made += row[column] is not None
            if row[column] is not None and stage != "joints":
                assert row[column].shape[:2] == row["image"].shape[:2]
    assert made + manifest["rejects"] == 10
    if backend == "dis":
        flow = [row["flow"] for b in data.batches(4) for row in b if row["flow"] is not None]
        seen = np.array([np.median(f, axis=(0, 1)) for f in flow])
        assert np.abs(np.median(seen, 0) + MOVED_PX).max() < 1, "the window moved, all else stood"
