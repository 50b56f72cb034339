"""Built joints against true ones: each number worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.accuracy.joints import GROUPS, measured
from pipeline.world.truth import Truth, write_truth
from reid.arrays.poses import JOINT, JOINT_NAMES, MIRROR, joints_column
from reid.project.errors import ReidError
from tests.conftest import standing_joints

HEIGHT = 100  # of the person's box, pixels
BOX = (0, -20, 50, 80)
POSE = standing_joints(100, 50)  # all seen; left and right are 15 pixels apart


def write_built(folder: Path, joints: dict[str, np.ndarray | None]) -> Path:
    array = np.stack([np.zeros((18, 3), np.float32) if j is None else j for j in joints.values()])
    column = joints_column(array, np.array([j is None for j in joints.values()]))
    (folder / "rows").mkdir(parents=True)
    table = pa.table({"image_id": list(joints), "joints": column})
    pq.write_table(table, folder / "rows/all-00000-of-00001.parquet")
    return folder


def true(name: str, joints: np.ndarray | None, box=BOX) -> tuple[str, Truth, None]:
    of = None if joints is None else np.array(box, np.float32)
    return name, Truth(b"", b"", b"", joints=joints, box=of), None


def moved(name: str, pixels: float, of: np.ndarray = POSE) -> np.ndarray:
    """The pose with one joint so many pixels lower."""
    out = of.copy()
    out[JOINT[name], 1] += pixels
    return out


def rated(confidence: float, *names: str) -> np.ndarray:
    out = POSE.copy()
    out[[JOINT[name] for name in names], 2] = confidence
    return out


def test_every_joint_is_of_one_group_and_its_mirror_of_the_same():
    named = [name for names in GROUPS.values() for name in names]
    assert sorted(named) == sorted(JOINT_NAMES)
    group = {JOINT[name]: word for word, names in GROUPS.items() for name in names}
    assert all(group[i] == group[int(MIRROR[i])] for i in range(18))
    assert MIRROR[MIRROR].tolist() == list(range(18))
    assert MIRROR[JOINT["left_ear"]] == JOINT["right_ear"]
    assert MIRROR[JOINT["nose"]] == JOINT["nose"]


def test_joints_by_hand(tmp_path: Path):
    hidden = rated(0.5, "left_wrist", "left_knee")  # 16 seen
    outside = rated(0, "left_ankle", "right_ankle")  # 16 seen
    write_truth(tmp_path / "truth", [
        true("near", POSE), true("far", POSE), true("hidden", hidden), true("outside", outside),
        true("missing", POSE), true("junk", None), true("false", None),
        true("out of sight", rated(0, *JOINT_NAMES)), true("not of the build", POSE),
    ])  # fmt: skip
    not_found = POSE.copy()
    not_found[JOINT["nose"]] = 0  # as libraries mark a joint that they did not find
    built = write_built(tmp_path / "built", {
        "near": moved("right_wrist", 10), "far": moved("right_wrist", 20),
        "hidden": moved("left_knee", 30), "outside": moved("left_ankle", 99, not_found),
        "missing": None, "junk": None, "false": POSE, "out of sight": POSE,
    })  # fmt: skip
    result = measured(built, tmp_path / "truth")
    seen = 18 + 18 + 16 + 16
    assert result.numbers == {
        "images": 5, "missing": 1,
        "pck": round((seen - 2) / seen, 4), "pck_all": round((seen - 2) / (seen + 18), 4),
        "pck_hidden": 0.5, "pck_head": 0.95, "pck_shoulders": 1, "pck_elbows": 1,
        "pck_wrists": round(6 / 7, 4), "pck_hips": 1, "pck_knees": 1, "pck_ankles": 1,
        "error": round((0.1 + 0.2) / (seen - 1), 4), "swapped": 0, "nobody": 2, "false": 1,
    }  # fmt: skip
    assert result.each == {
        "near": pytest.approx(0.1 / 18), "far": pytest.approx(0.2 / 18), "hidden": 0, "outside": 0,
    }  # fmt: skip


def test_left_and_right_exchanged_are_swapped(tmp_path: Path):
    names = ["right", "exchanged", "all on one side"]
    middle = POSE.copy()
    middle[:, 0] = 25  # as far from the one as from the other
    write_truth(tmp_path / "truth", [true(name, POSE) for name in names])
    built = write_built(
        tmp_path / "built", dict(zip(names, [POSE, POSE[MIRROR], middle], strict=True))
    )
    result = measured(built, tmp_path / "truth").numbers
    assert result["swapped"] == round(1 / 3, 4)
    assert result["pck_hips"] == round(4 / 6, 4)  # 15 pixels off; the middle is 7.5


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        pytest.param([true("b", POSE)], "knows nothing of a, an image", id="of others"),
        pytest.param([true("a", None)], "has no joints in any image", id="nobody"),
    ],
)
def test_what_is_no_truth_of_these_images(tmp_path: Path, truth, message):
    write_truth(tmp_path / "truth", truth)
    with pytest.raises(ReidError, match=message):
        measured(write_built(tmp_path / "built", {"a": POSE}), tmp_path / "truth")
