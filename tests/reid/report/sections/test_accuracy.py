"""The page's sections on accuracy: goals of what is current, and pictures of built and true."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.accuracy.measure import measure
from pipeline.world.truth import Truth, write_truth
from reid.arrays import images
from reid.arrays.flow import encode_flow
from reid.arrays.images import encode_png
from reid.arrays.poses import JOINTS, joints_column
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.report.blocks import Section, Shot
from reid.report.sections import accuracy
from reid.shards import schema
from reid.shards.folder import with_sizes, write_shard
from reid.shards.schema import IMAGE
from tests.conftest import standing_joints
from tests.manifests import write_manifest

SIZE = (64, 32)
NAMES = [f"i{n}" for n in range(7)]
BODY = np.zeros(SIZE, bool)
BODY[8:60, 8:24] = True


def cell(data: bytes | None) -> dict[str, Any] | None:
    return None if data is None else {"bytes": data, "path": None}


def write(project: Project, folder: Path, rows: list[dict], kinds: pa.Schema, **more: Any) -> None:
    """A built folder with its manifest."""
    (folder / "rows").mkdir(parents=True)
    path = folder / "rows/all-00000-of-00001.parquet"
    write_shard(path, with_sizes(pa.Table.from_pylist(rows, kinds)), {})
    write_manifest(folder, **more)


def derived(project: Project, stage: str, kinds: dict[str, pa.DataType], cells: dict) -> None:
    columns = pa.schema([("image_id", pa.string()), *kinds.items()])
    rows = [{"image_id": name, **cells[name]} for name in NAMES]
    folder = project.derived(stage, "toy")
    write(project, folder, rows, columns, parameters={"backend": "given", "others": "left_out"})


def base_row(name: str) -> dict[str, Any]:
    return {
        "image_id": name, "image": cell(encode_png(np.full((*SIZE, 3), 90, np.uint8))),
        "person": 1, "train": True, "query": False, "gallery": False, "camera": 1,
        "height": SIZE[0], "width": SIZE[1],
    }  # fmt: skip


def truths() -> list[tuple[str, Truth, str | None]]:
    """Of each image: the body's mask, joints, the box, and a motion of 2 pixels to the right."""
    flow = encode_flow(np.full((*SIZE, 2), (2.0, 0.0)), np.ones(SIZE, bool))
    box = np.array([8, 8, 24, 60], np.float32)
    people = [{"person": 1, "box": box.tolist(), "pixels": int(BODY.sum())}]
    of = {
        "joints": standing_joints(*SIZE), "box": box, "people": people,
        "flow": flow, "parts": b"", "depth": b"",
    }  # fmt: skip
    return [
        (name, Truth(mask=encode_png(BODY), **of), following)
        for name, following in zip(NAMES, [*NAMES[1:], "none"], strict=True)
    ]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Every stage built over one world; the n-th image is n pixels off."""
    made = Project(tmp_path)
    write(made, made.shards("toy"), [base_row(name) for name in NAMES], schema.ROW)
    write_truth(made.raw("toy.truth"), truths())
    numbered = dict(enumerate(NAMES))
    masks = {name: {"mask": cell(encode_png(np.roll(BODY, n, 1)))} for n, name in numbered.items()}
    masks["i6"] = {"mask": None}
    derived(made, "masks", {"mask": IMAGE}, masks)
    poses = {name: standing_joints(*SIZE) + np.array([n, 0, 0]) for n, name in numbered.items()}
    derived(made, "joints", {"joints": JOINTS}, {
        name: {"joints": joints_column(pose[None])[0].as_py()} for name, pose in poses.items()
    })  # fmt: skip
    derived(
        made, "crops",
        {"source_image_id": pa.string(), "person": pa.int32(), "score": pa.float32(),
         "box": pa.list_(pa.float32(), 4)},
        {name: {"source_image_id": name, "person": 1, "score": 1, "box": [8 + n, 8, 24 + n, 60]}
         for n, name in numbered.items()},
    )  # fmt: skip
    known = np.ones(SIZE, bool)
    derived(made, "flow", {"flow": IMAGE}, {
        name: {"flow": cell(encode_flow(np.full((*SIZE, 2), (2.0 - n, 0.0)), known))}
        for n, name in numbered.items()
    })  # fmt: skip
    return made


def lines(section: Section) -> list[dict[str, str]]:
    found: Any = next(block for block in section.blocks if block.kind == "table")
    head = [c.text for c in found.columns]
    return [dict(zip(head, [c.text for c in row], strict=True)) for row in found.rows]


def sheet(section: Section) -> Any:
    (found,) = [block for block in section.blocks if block.kind == "sheet"]
    return found


def picture(shot: Shot) -> np.ndarray:
    assert shot.source is not None
    return images.decode(base64.b64decode(shot.source.split(",")[1])).astype(int)


def near(image: np.ndarray, colour) -> np.ndarray:
    """(H, W) where a picture has about this colour; JPEG moves it a little."""
    return np.abs(image - np.array(colour)).max(2) < 70


def test_a_line_for_each_build_with_its_goal(project: Project):
    for stage in ("masks", "joints", "crops", "flow"):
        measure(project, stage, "toy")
    goals, *each = accuracy.builds(project)
    found = {line["stage"]: line for line in lines(goals)}
    assert [section.title for section in each] == ["Crops toy", "Flow toy", "Joints toy",
                                                   "Masks toy"]  # fmt: skip
    ious = [(16 - n) / (16 + n) for n in range(6)]  # the mask of i6 is missing
    assert found["masks"] == {
        "stage": "masks", "build": "toy", "backend": "given", "model": "–", "data set": "toy",
        "measure": "mean IoU of the masks that were found", "value": f"{np.mean(ious):.3f}",
        "goal": "≥ 0.900", "judged": "✗ not reached",
    }  # fmt: skip
    right = sum(n / 52 <= 0.1 for n in range(7)) / 7  # of 52 pixels of height
    assert (found["joints"]["value"], found["joints"]["goal"]) == (f"{right:.3f}", "≥ 0.950")
    assert found["crops"]["measure"] == "AP50 of the boxes (of the labelled person)"
    assert found["flow"]["value"] == "2.500"  # frames 0 to 5 are followed by their own next
    assert found["flow"]["goal"].startswith("≤ ")


def test_a_build_that_has_changed_is_left_out(project: Project):
    assert accuracy.builds(project) == []
    measure(project, "masks", "toy")
    measure(project, "joints", "toy")
    path = project.derived("masks", "toy") / "manifest.json"
    path.write_text(re.sub(r'"sha256": "\w+', f'"sha256": "{"0" * 64}', path.read_text()))
    assert [section.title for section in accuracy.builds(project)] == ["Goals", "Joints toy"]
    (project.derived("joints", "toy") / "manifest.json").unlink()
    assert accuracy.builds(project) == []


def test_a_damaged_file_is_told(project: Project):
    measure(project, "masks", "toy")
    (project.reports / "accuracy/masks-toy.json").write_text('{"stage": "masks"}')
    with pytest.raises(ReidError, match=r"masks-toy.json: cannot be read \(KeyError\('build'\)\)"):
        accuracy.builds(project)


def test_masks_from_the_worst_to_the_best_above_the_true_ones(project: Project):
    measure(project, "masks", "toy")
    found = sheet(accuracy.builds(project)[1])
    assert found.headings == ["worst", "worst", "middle", "middle", "best", "best"]
    built, true = found.rows
    assert (built.title, true.title) == ("built", "true")
    names = ["i5", "i4", "i3", "i2", "i1", "i0"]  # i6 has no mask
    assert [shot.alt.split(":")[0] for shot in true.shots] == names
    assert [shot.label for shot in built.shots[::5]] == [f"IoU {11 / 21:.3f}", "IoU 1.000"]
    assert (picture(built.shots[-1]) == picture(true.shots[-1])).all()
    kept = near(picture(built.shots[0]), (90, 90, 90))  # inside the mask the image is as it was
    columns = np.flatnonzero(kept[80:100].all(0)) / picture(built.shots[0]).shape[1] * SIZE[1]
    assert 12 <= columns.min() < 15  # 5 to the right, with the outline's rim
    assert 27 < columns.max() <= 30


def test_joints_and_their_error(project: Project):
    measure(project, "joints", "toy")
    built, true = sheet(accuracy.builds(project)[1]).rows
    assert built.shots[0].label == f"{100 * 6 / 52:.1f} % of the height"
    assert (picture(built.shots[-1]) == picture(true.shots[-1])).all()
    assert (picture(built.shots[0]) != picture(true.shots[0])).any()


def test_boxes_in_their_colours(project: Project):
    measure(project, "crops", "toy")
    found = sheet(accuracy.builds(project)[1])
    (row,) = found.rows
    assert list(found.legend) == ["built", "true", "others in the frame, true"]
    shown = picture(row.shots[0])
    scale = shown.shape[1] / SIZE[1]
    for colour, left in ((accuracy.BUILT, 14), (accuracy.TRUE, 8)):
        columns = np.flatnonzero(near(shown, colour)[60:120].sum(0) > 30) / scale
        assert left - 0.5 < columns.min() < left + 1.5


def test_flow_has_one_maximum_for_built_and_true(project: Project):
    measure(project, "flow", "toy")
    frames, built, true = sheet(accuracy.builds(project)[1]).rows
    assert (frames.title, true.note) == ("frame", "full at 2 px")
    assert built.shots[0].label == "5.00 px"
    assert near(picture(true.shots[0]), (255, 0, 0)).mean() > 0.9  # to the right
    assert near(picture(built.shots[0]), (0, 200, 255)).mean() > 0.9  # 3 to the left, too
    assert (picture(built.shots[-1]) == picture(true.shots[-1])).all()


def test_numbers_stay_where_the_truth_is_gone(project: Project):
    measure(project, "masks", "toy")
    for path in (project.raw("toy.truth") / "rows").iterdir():
        path.unlink()
    goals, section = accuracy.builds(project)
    assert [block.kind for block in section.blocks] == ["table"]
    assert len(lines(goals)) == 1


def test_a_truth_that_is_none_is_told(project: Project):
    measure(project, "masks", "toy")
    (path,) = (project.raw("toy.truth") / "rows").iterdir()
    pq.write_table(pa.table({"id": ["i0"]}), path)
    with pytest.raises(ReidError, match="not the truth of a rendered world"):
        accuracy.builds(project)
