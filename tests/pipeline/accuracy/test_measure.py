"""Measures of any stage: what is written, the goals, the images to look at, and what is current."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.accuracy import measure as accuracy_of
from pipeline.accuracy.measure import goal_of, measure
from pipeline.world.truth import Truth, write_truth
from reid.arrays.flow import encode_flow
from reid.arrays.images import encode_png
from reid.project import layout
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.report.sections import accuracy as section
from reid.results.accuracy import current, digest_of
from reid.shards.schema import IMAGE
from tests.benchmarks.accuracy import rows_accuracy
from tests.manifests import write_manifest
from tests.pipeline.accuracy.test_masks import BOX, block, true, write_built
from tests.pipeline.video import run_flow, shifted, write_video

LOWER = (4, 19, 14, 34)  # half of BOX


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Masks of eight images; the n-th is that of the person but for n columns."""
    made = Project(tmp_path)
    write_truth(made.raw("toy.truth"), [true(f"i{n}", block(*BOX)) for n in range(8)])
    folder = made.derived("masks", "small")
    write_built(folder, {f"i{n}": block(4 + n, 4, 14, 34) for n in range(8)})
    parameters = {"backend": "ultralytics", "model": "yolo11n-seg"}
    write_manifest(folder, weights="abc", parameters=parameters)
    return made


def test_what_is_written(project: Project):
    result = measure(project, "masks", "small")
    path = project.reports / "accuracy/masks-small.json"
    assert json.loads(path.read_text()) == result
    manifest = json.loads((project.derived("masks", "small") / "manifest.json").read_text())
    assert {k: v for k, v in result.items() if k not in ("numbers", "shown")} == {
        "stage": "masks", "build": "small", "dataset": "toy", "backend": "ultralytics",
        "model": "yolo11n-seg", "weights": "abc", "shards": digest_of(manifest),
        "goal": {"name": "iou", "value": 0.65, "limit": 0.9, "most": False, "reached": False},
    }  # fmt: skip
    assert result["numbers"]["iou"] == 0.65
    assert result["shown"] == {
        "worst": [{"image_id": "i7", "measure": 0.3}, {"image_id": "i6", "measure": 0.4}],
        "middle": [{"image_id": "i4", "measure": 0.6}, {"image_id": "i3", "measure": 0.7}],
        "best": [{"image_id": "i1", "measure": 0.9}, {"image_id": "i0", "measure": 1.0}],
    }


@pytest.mark.parametrize(
    ("each", "shown"),
    [
        ({"a": 0.5}, [["a"], [], []]),
        ({"a": 0.5, "b": 0.1}, [["a", "b"], [], []]),
        ({"a": 0.5, "b": 0.1, "c": 0.9}, [["c", "a"], [], ["b"]]),
        ({name: n / 10 for n, name in enumerate("edcba")}, [["a", "b"], ["c"], ["d", "e"]]),
        ({}, [[], [], []]),
    ],
)
def test_each_image_is_shown_once_the_largest_errors_first(each, shown):
    result = accuracy_of._shown("flow", each)
    assert [[one["image_id"] for one in result[w]] for w in ("worst", "middle", "best")] == shown


@pytest.mark.parametrize(
    ("stage", "numbers", "limit", "reached"),
    [
        ("masks", {"iou": 0.9}, 0.9, True),
        ("joints", {"pck": 0.9499}, 0.95, False),
        ("crops", {"ap50": 0.98}, 0.97, True),
        ("flow", {"epe": 0.5, "dis_epe": 1.0}, 0.5, True),
        ("flow", {"epe": 0.51, "dis_epe": 1.0}, 0.5, False),
    ],
)
def test_goals(stage: str, numbers: dict, limit: float, reached: bool):
    goal = goal_of(stage, numbers)
    assert goal is not None
    assert (goal["limit"], goal["reached"]) == (limit, reached)


@pytest.mark.parametrize(
    ("stage", "numbers"),
    [("masks", {"iou": None}), ("flow", {"epe": 0.4}), ("flow", {"epe": 0.4, "dis_epe": None})],
)
def test_without_a_number_to_compare_there_is_no_goal(stage: str, numbers: dict):
    assert goal_of(stage, numbers) is None


def test_what_was_built_anew_since_is_left_out(project: Project):
    assert current(project) == []
    result = measure(project, "masks", "small")
    assert current(project) == [result]
    folder = project.derived("masks", "small")
    write_manifest(folder, parameters={"backend": "given"})  # the same shards
    assert current(project) == [result]
    pq.write_table(pa.table({"image_id": ["i0"]}), folder / "rows/all-00000-of-00001.parquet")
    write_manifest(folder)
    assert current(project) == []
    (folder / "manifest.json").unlink()
    assert current(project) == []
    (project.reports / "accuracy/masks-small.json").write_text("{}")
    with pytest.raises(ReidError, match=r"masks-small.json: cannot be read"):
        current(project)


@pytest.mark.parametrize(
    ("path", "itself"),
    [
        pytest.param("data/0-raw/toy.truth", True, id="the truth"),
        pytest.param("data/0-raw/../0-raw/toy.truth/rows", True, id="in it"),
        pytest.param("own/masks", False, id="somebody's own"),
    ],
)
def test_the_truth_against_itself_reaches_no_goal(project: Project, path: str, itself: bool):
    folder = project.derived("masks", "small")
    write_manifest(folder, parameters={"backend": "given", "path": path})
    result = measure(project, "masks", "small")
    assert result.get("truth_itself", False) is itself
    assert (result["goal"] is None) is itself
    line = section._goal(result)
    assert (line["judged"] == "the truth against itself: no accuracy") is itself
    assert (line["value"] == "0.650") is not itself
    assert len(rows_accuracy(project)) == (0 if itself else 1)


def test_rows_for_the_benchmark(project: Project):
    measure(project, "masks", "small")
    assert rows_accuracy(project) == [
        {
            "name": "accuracy of masks small by ultralytics, iou", "value": 0.65, "limit": 0.9,
            "ratio": 0.7222, "goal": ">= 1", "holds": False,
        }
    ]  # fmt: skip


def test_what_cannot_be_measured(project: Project):
    known = r"no accuracy of `jet` \(there is one of masks, joints, crops, flow\)"
    with pytest.raises(ReidError, match=known):
        measure(project, "jet", "small")
    with pytest.raises(ReidError, match="not built yet; run `reid masks large`"):
        measure(project, "masks", "large")


def video(root: Path) -> Project:
    """A texture that moves by 3 pixels to the right, and its truth."""
    project = write_video(root, [{(1, 1, 1): shifted(64, 48, 3, 0, 4)}])
    names = [f"0001C1T0001F{n:03d}" for n in range(4)]
    known, mask = np.ones((64, 48), bool), encode_png(np.ones((64, 48), bool))
    moves = encode_flow(np.full((64, 48, 2), (3.0, 0.0)), known)
    truth = [
        (name, Truth(mask, b"", b"", flow=None if name == names[-1] else moves), following)
        for name, following in zip(names, [*names[1:], None], strict=True)
    ]
    write_truth(project.raw("toy.truth"), truth)
    wrong = encode_flow(np.full((64, 48, 2), (3.0, 2.0)), known)  # by 2 pixels
    cells = [{"bytes": wrong, "path": None}] * 4
    table = pa.table({"image_id": names, "flow": pa.array(cells, IMAGE)})
    pq.write_table(table, root / "given.parquet")
    return project


def test_flow_is_compared_with_dis_on_the_same_pixels(tmp_path: Path):
    project = video(tmp_path)
    run_flow(project, backend="dis")
    by_dis = measure(project, "flow", "toy")
    assert by_dis["goal"] is None
    assert "dis_epe" not in by_dis["numbers"]
    run_flow(project, "wrong", backend="given", path=str(tmp_path / "given.parquet"))
    result = measure(project, "flow", "wrong")
    assert result["numbers"]["epe"] == 2
    assert result["numbers"]["dis_epe"] == pytest.approx(by_dis["numbers"]["epe"], abs=0.01)
    assert result["numbers"]["dis_epe"] < 1
    assert result["goal"]["limit"] == pytest.approx(result["numbers"]["dis_epe"] / 2)
    assert not result["goal"]["reached"]
    assert result["shown"]["worst"][0]["measure"] == 2


@pytest.mark.parametrize("killed_at", ["fsync", "replace"])
def test_a_kill_leaves_nothing_in_the_folder_that_the_report_depends_on(
    project: Project, monkeypatch: pytest.MonkeyPatch, killed_at: str
):
    """DVC counts every file there, so that dvc.lock would differ after it."""

    def kill(*_: Any) -> None:
        raise SystemExit(killed_at)

    target = (layout.os, "fsync") if killed_at == "fsync" else (Path, "replace")
    with monkeypatch.context() as patched:
        patched.setattr(*target, kill)
        with pytest.raises(SystemExit, match=killed_at):
            measure(project, "masks", "small")
    assert list((project.reports / "accuracy").iterdir()) == []
    assert [path.suffix for path in project.publishing.iterdir()] == [".tmp"]
    measure(project, "masks", "small")
    assert [path.name for path in (project.reports / "accuracy").iterdir()] == ["masks-small.json"]
