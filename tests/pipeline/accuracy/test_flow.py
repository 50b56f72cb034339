"""End-point errors against a rendered world's truth, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pipeline.accuracy.flow import Errors, measured
from pipeline.world.truth import Truth, write_truth
from reid.arrays.flow import encode_flow
from reid.arrays.images import encode_png
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.shards.schema import IMAGE
from tests.pipeline.video import run_flow, write_video

SIZE = (20, 16)
NAMES = [f"0001C1T0001F{n:03d}" for n in range(4)]
MASK = np.zeros(SIZE, bool)
MASK[:, 4:8] = True  # a quarter
KNOWN = np.ones(SIZE, bool)
KNOWN[:10, :8] = False  # half of the person, and of what is left of it


def png(u: float, v: float, valid: np.ndarray | None = None) -> bytes:
    return encode_flow(np.full((*SIZE, 2), (u, v)), np.ones(SIZE, bool) if valid is None else valid)


def built(tmp_path: Path, flows: dict[str, bytes | None]) -> Project:
    project = write_video(tmp_path, [{(1, 1, 1): [np.zeros((*SIZE, 3), np.uint8)] * 4}])
    cells = [None if data is None else {"bytes": data, "path": None} for data in flows.values()]
    table = pa.table({"image_id": list(flows), "flow": pa.array(cells, IMAGE)})
    pq.write_table(table, tmp_path / "given.parquet")
    path = str(tmp_path / "given.parquet")
    run_flow(project, backend="given", path=path, max_reject_rate=1)
    return project


def true(name: str, data: bytes | None, following: str | None) -> tuple[str, Truth, str | None]:
    return name, Truth(encode_png(MASK), b"", b"", flow=data), following


def test_errors_by_hand(tmp_path: Path):
    unknown = np.ones(SIZE, bool)
    unknown[:, :4] = False
    project = built(tmp_path, {
        NAMES[0]: png(1, 0), NAMES[1]: png(2, 2, unknown), NAMES[3]: png(0, 0),
    })  # fmt: skip
    truth = [
        true(NAMES[0], png(1, 4, KNOWN), NAMES[1]),  # an error of 4 pixels
        true(NAMES[1], png(2, 2), NAMES[2]),  # none, but for the quarter that is unknown: sqrt 8
        true(NAMES[2], png(7, 7), NAMES[3]),  # rejected: no flow given
        true(NAMES[3], None, None),
        true("elsewhere", png(9, 9), NAMES[0]),
    ]
    write_truth(tmp_path / "truth", truth)
    result = measured(project.derived("flow", "toy"), tmp_path / "truth").numbers
    known, all_of_it, quarter = 240, 320, 80  # pixels: of the first frame, of the second
    pixels = known + all_of_it
    still = (np.hypot(1, 4) * known + np.hypot(2, 2) * all_of_it) / pixels
    assert result == {
        "frames": 3, "missing": 1,
        "epe": pytest.approx((4 * known + np.hypot(2, 2) * quarter) / pixels, abs=1e-4),
        "median": pytest.approx(np.hypot(2, 2), abs=1 / 64),
        "far": pytest.approx(known / pixels, abs=1e-4),
        "known": pytest.approx((pixels - quarter) / pixels, abs=1e-4),
        "epe_person": pytest.approx(4 * 40 / 120, abs=1e-4),
        "median_person": pytest.approx(0, abs=1e-2),
        "far_person": pytest.approx(40 / 120, abs=1e-4),
        "epe_elsewhere": pytest.approx((4 * 200 + np.hypot(2, 2) * 80) / 440, abs=1e-4),
        "median_elsewhere": pytest.approx(np.hypot(2, 2), abs=1 / 64),
        "far_elsewhere": pytest.approx(200 / 440, abs=1e-4),
        "epe_still": pytest.approx(still, abs=1e-4),
        "epe_still_person": pytest.approx(
            (np.hypot(1, 4) * 40 + np.hypot(2, 2) * 80) / 120, abs=1e-4
        ),
    }  # fmt: skip


def test_a_true_flow_to_another_frame_than_the_next_is_not_compared(tmp_path: Path):
    project = built(tmp_path, {name: png(1, 0) for name in NAMES})
    write_truth(tmp_path / "truth", [true(NAMES[0], png(5, 5), NAMES[2]),
                                     true(NAMES[1], png(1, 0), NAMES[2])])  # fmt: skip
    result = measured(project.derived("flow", "toy"), tmp_path / "truth").numbers
    assert (result["frames"], result["epe"], result["known"]) == (1, 0, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda p: None, r"no rows/\*\.parquet", id="nothing"),
        pytest.param(
            lambda p: write_truth(p, [true(NAMES[0], None, None)]), "has no flow from any frame",
            id="still images",
        ),
        pytest.param(
            lambda p: write_truth(p, [true(NAMES[0], encode_flow(np.zeros((8, 4, 2)),
                                      np.ones((8, 4), bool)), NAMES[1])]),
            "flow of 16 x 20 pixels, the ground truth has 4 x 8", id="of another size",
        ),
        pytest.param(
            lambda p: [(p / "rows").mkdir(parents=True),
                       pq.write_table(pa.table({"image_id": ["a"]}), p / "rows/0.parquet")],
            "0.parquet: not the ground truth of a rendered world", id="another table",
        ),
    ],
)  # fmt: skip
def test_what_is_no_truth_of_these_frames(tmp_path: Path, make, message):
    project = built(tmp_path, {name: png(1, 0) for name in NAMES})
    make(tmp_path / "truth")
    with pytest.raises(ReidError, match=message):
        measured(project.derived("flow", "toy"), tmp_path / "truth")


@given(
    st.lists(arrays(np.float32, 5, elements=st.floats(0, 120, width=16)), min_size=1, max_size=4)
)
def test_sums_and_medians_over_parts(parts):
    errors, whole = Errors(), np.concatenate(parts)
    for part in parts:
        errors.add(part)
    result = errors.summary()
    assert result["epe"] == pytest.approx(whole.mean(dtype=float), abs=1e-4)
    assert result["far"] == pytest.approx((whole > 3).mean(), abs=1e-4)
    lower = np.quantile(whole, 0.5, method="inverted_cdf")
    assert result["median"] == pytest.approx(lower, abs=1 / 128 + 1e-4)


def test_no_pixels_have_no_error():
    assert Errors().summary("_person") == {
        "epe_person": None,
        "median_person": None,
        "far_person": None,
    }
