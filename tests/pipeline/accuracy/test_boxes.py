"""Average precision of boxes, by hand, and of crops that are built."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.accuracy.boxes import SLIVER_PIXELS, Frame, average_precision, precision_of_crops
from pipeline.world.truth import PERSON
from tests.manifests import write_manifest

A, B, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)


def frame(result=(), people=(), ignored=()) -> Frame:
    boxes, scores = [box for box, _ in result], [score for _, score in result]
    return Frame(boxes, scores, people, ignored or [False] * len(people))


pytest.importorskip("pycocotools")


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([frame([(A, 0.9), (B, 0.8)], [A, B])], 1, id="all"),
        pytest.param([frame([], [A])], 0, id="nothing found"),
        pytest.param([frame([(A, 0.9)], [])], None, id="nobody to find"),
        pytest.param([], None, id="no frames"),
        pytest.param([frame([(A, 0.9)], [A], [True])], None, id="slivers alone"),
        # recalls 0 to 0.5 have precision 1, which is 51 of 101
        pytest.param([frame([(A, 0.9)], [A, B])], 51 / 101, id="half of them"),
        # the second find has precision 2/3, the first 1
        pytest.param(
            [frame([(A, 0.9), (FAR, 0.8), (B, 0.7)], [A, B])], (51 + 50 * 2 / 3) / 101,
            id="a false find between",
        ),
        pytest.param([frame([(A, 0.9), (A, 0.8)], [A])], 1, id="twice: the second is last"),
        pytest.param([frame([(A, 0.8), (FAR, 0.9)], [A])], 0.5, id="the false find is surer"),
        pytest.param(
            [frame([(A, 0.8)], [A]), frame([(A, 0.9)], [])], 0.5, id="sure in another frame"
        ),
        pytest.param(
            [frame([(B, 0.9), (A, 0.8)], [A, B], [False, True])], 1, id="a sliver does not count"
        ),
        pytest.param([frame([(A, 0.8)], [A, B], [False, True])], 1, id="nor when it is missed"),
        pytest.param(
            [frame([(B, 0.9), (B, 0.8), (A, 0.7)], [A, B], [False, True])], 0.5,
            id="found twice it is wrong once",
        ),
        pytest.param([frame([((0, 0, 10, 5), 0.9)], [A])], 1, id="an IoU of one half is enough"),
    ],
)  # fmt: skip
def test_average_precision_by_hand(frames, expected):
    assert average_precision(frames) == (None if expected is None else pytest.approx(expected))


# --- of crops that are built ---------------------------------------------------------------------


def one(person: int, box, pixels: int = 100) -> dict:
    return {"person": person, "box": box, "pixels": pixels}


def write(folder: Path, others: str) -> tuple[Path, Path]:
    """Crops of three frames, one of them rejected, and their truth."""
    built, truth = folder / "built", folder / "truth"
    rows = [
        {"image_id": "f1", "source_image_id": "f1", "box": A, "score": 0.9},
        {"image_id": "f2", "source_image_id": "f2", "box": B, "score": 0.8},  # of another
        {"image_id": "f4", "source_image_id": "f4", "box": None, "score": None},  # a whole frame
    ]
    if others == "junk":
        rows.append({"image_id": "f2~1", "source_image_id": "f2", "box": A, "score": 0.7})
    (built / "rows").mkdir(parents=True)
    box = pa.list_(pa.float32(), 4)
    kinds = [("image_id", pa.string()), ("source_image_id", pa.string()), ("box", box),
             ("score", pa.float32())]  # fmt: skip
    pq.write_table(pa.Table.from_pylist(rows, pa.schema(kinds)), built / "rows/all-0.parquet")
    rejects = {"image_id": ["f3"], "reason": ["nobody"]}
    pq.write_table(pa.table(rejects), built / "rejects.parquet")
    write_manifest(built, parameters={"others": others})
    people = {
        "f1": [one(1, A), one(0, None)],  # the other is hidden
        "f2": [one(2, A), one(0, B), one(0, FAR, SLIVER_PIXELS - 1)],
        "f3": [one(3, A)],
        "f4": [one(4, None)],
        "not of the build": [one(5, A)],
    }
    (truth / "rows").mkdir(parents=True)
    column = pa.array(list(people.values()), pa.list_(PERSON))
    pq.write_table(pa.table({"image_id": list(people), "people": column}), truth / "rows/0.parquet")
    return built, truth


def test_of_everyone_where_the_build_has_rows_of_others(tmp_path: Path):
    # A and B in f1 and f2 are found, A in f3 is not: 3 of 4 without a false find
    assert precision_of_crops(*write(tmp_path, "junk")) == {
        "ap50": round(76 / 101, 4), "ap50_of": "everyone", "ap50_people": 4, "ap50_slivers": 1,
    }  # fmt: skip


def test_of_the_labelled_where_others_are_left_out(tmp_path: Path):
    # 1 of 3, then a box of somebody else
    assert precision_of_crops(*write(tmp_path, "left_out")) == {
        "ap50": round(34 / 101, 4), "ap50_of": "labelled", "ap50_people": 3, "ap50_slivers": 0,
    }  # fmt: skip
