"""Real photographs: people cut from a picture that ultralytics ships, as a small Market folder.

Joints of two of them were typed by hand; the third has none, and gets strips.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import reid
from pipeline.commands.build import make_plan
from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from pipeline.engine import run as engine
from reid.arrays import images
from reid.project.layout import Project
from reid.report import page as report

PARAMS = """\
ingest: {on: {bus: {reader: market1501}}}
joints: {on: {bus: {backend: given, path: joints.csv, max_reject_rate: 0.5}}}
parts: {on: {bus: {canonical_poses: 2}}}
attention_driven: {on: {}}
"""
BOXES = {1: (48, 395, 248, 905), 2: (221, 405, 346, 862), 3: (668, 390, 810, 880)}  # in the picture
ROLES = {1: "train", 2: "query", 3: "gallery"}
TYPED = {  # in an image of 384 x 768 pixels, OpenPose's order
    1: [
        (178, 80), (165, 145), (75, 150), (60, 260), (200, 240), (240, 155), (270, 260),
        (150, 300), (90, 450), (75, 570), (50, 690), (215, 450), (235, 570), (275, 700),
        (160, 62), (195, 62), (118, 75), (208, 75),
    ],
    2: [
        (220, 75), (225, 150), (110, 165), (80, 340), (155, 450), (330, 160), (360, 240),
        (120, 190), (120, 470), (110, 580), (150, 700), (250, 470), (340, 520), (205, 660),
        (195, 62), (245, 62), (150, 75), (265, 70),
    ],
}  # fmt: skip


def people(picture: np.ndarray) -> Iterator[Sample]:
    for person, (x1, y1, x2, y2) in BOXES.items():
        yield Sample(picture[y1:y2, x1:x2], person, person, ROLES[person], tracklet=1)


@pytest.fixture
def bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    spec = importlib.util.find_spec("ultralytics")
    if spec is None or spec.origin is None:
        pytest.skip("ultralytics is not installed")
    picture = images.decode((Path(spec.origin).parent / "assets/bus.jpg").read_bytes())
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS)
    lines = ["image_id," + ",".join(f"{a}{i}" for i in range(18) for a in "xyc")]
    for sample, image_id in zip(
        people(picture), market1501.write(Path("data/0-raw/bus"), people(picture)), strict=True
    ):
        height, width = sample.image.shape[:2]
        typed = np.array(TYPED.get(sample.person, []), float).reshape(-1, 2)
        numbers = [f"{x * width / 384:.1f},{y * height / 768:.1f},1" for x, y in typed]
        if numbers:
            lines.append(",".join([image_id, *numbers]))
    Path("joints.csv").write_text("\n".join(lines) + "\n")
    return Project(Path())


def test_photographs_go_through_ingest_parts_and_the_report(bus: Project):
    for stage in ("ingest", "joints", "parts"):
        engine.run(make_plan(stage, "bus", bus), bus, executor="local")
    data = reid.open("data", "bus", ["image", "parts", "parts_source", "joints"])
    rows = {row["person"]: row for batch in data.batches(8) for row in batch}
    assert {p: rows[p]["parts_source"] for p in rows} == {1: "pose", 2: "pose", 3: "strips"}
    assert rows[3]["joints"] is None
    for person in (1, 2):
        height, width = rows[person]["image"].shape[:2]
        whole, head, upper, leg, lower = rows[person]["parts"]
        assert head[1] == whole[1], "the whole body begins where the head does"
        assert lower[3] == whole[3]
        assert head[3] < 0.33 * height < upper[3] < 0.8 * height, "the head is at the top"
        assert leg[1] < 0.68 * height < lower[3], "the upper leg begins at the hips"
        assert whole[0] < 0.3 * width < 0.7 * width < whole[2]
    page = report.write(bus).read_text()
    assert page.count("data:image/") >= 2
    assert "no joints given" in page
