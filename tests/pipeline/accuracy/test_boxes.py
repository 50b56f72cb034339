"""Average precision of boxes: by hand, and as pycocotools has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.accuracy.boxes import SLIVER_PIXELS, Frame, average_precision, precision_of_crops
from pipeline.world.truth import PERSON
from reid.project.layout import as_json

A, B, FAR = (0, 0, 10, 10), (20, 0, 30, 10), (50, 50, 60, 60)


def frame(found=(), people=(), ignored=()) -> Frame:
    boxes, scores = [box for box, _ in found], [score for _, score in found]
    return Frame(boxes, scores, people, ignored or [False] * len(people))


@pytest.mark.parametrize(
    ("frames", "expected"),
    [
        pytest.param([frame([(A, 0.9), (B, 0.8)], [A, B])], 1, id="all"),
        pytest.param([frame([], [A])], 0, id="nothing found"),
        pytest.param([frame([(A, 0.9)], [])], None, id="nobody to find"),
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


def random_frames(seed: int) -> list[Frame]:
    random = np.random.default_rng(seed)
    frames = []
    for _ in range(12):
        corner = random.integers(0, 60, (random.integers(0, 5), 2))
        people = np.hstack([corner, corner + random.integers(8, 30, corner.shape)]).astype(float)
        found = [box + random.normal(0, 1.5, 4) for box in people if random.random() < 0.8]
        shifts = np.tile(random.normal(0, 5, (len(people), 2)), 2)
        found += [box for box in people + shifts if random.random() < 0.5]
        scores = random.permutation(1000)[: len(found)] / 1000
        ignored = random.random(len(people)) < 0.3
        frames.append(Frame(found, scores.tolist(), people.tolist(), ignored.tolist()))
    return frames


@pytest.mark.filterwarnings("ignore")  # pycocotools' own
@pytest.mark.parametrize("seed", range(6))
def test_as_pycocotools_has_it(seed: int, capsys):
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")

    def size(box) -> dict:
        x1, y1, x2, y2 = (float(v) for v in box)
        area = (x2 - x1) * (y2 - y1)
        return {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": area, "category_id": 1}

    frames = random_frames(seed)
    people = [
        (n, box, ignored)
        for n, f in enumerate(frames)
        for box, ignored in zip(f.people, f.ignored, strict=True)
    ]
    truth = coco.COCO()
    truth.dataset = {
        "info": {}, "images": [{"id": n} for n in range(len(frames))], "categories": [{"id": 1}],
        "annotations": [
            # COCO ignores people by their area: those here are made to lie outside the range
            {**size(box), "id": k + 1, "image_id": n, "iscrowd": 0, "area": -1 if ignored else 1}
            for k, (n, box, ignored) in enumerate(people)
        ],
    }  # fmt: skip
    truth.createIndex()
    found = truth.loadRes([
        {**size(box), "image_id": n, "score": score}
        for n, f in enumerate(frames) for box, score in zip(f.found, f.scores, strict=True)
    ])  # fmt: skip
    run = evaluation.COCOeval(truth, found, "bbox")
    run.params.areaRng, run.params.areaRngLbl = [[0, 1e10]], ["all"]
    run.params.iouThrs = np.array([0.5])
    run.evaluate()
    run.accumulate()
    capsys.readouterr()
    expected = run.eval["precision"][0, :, 0, 0, -1].mean()
    assert 0.2 < expected < 0.95
    assert average_precision(frames) == pytest.approx(expected, abs=1e-9)


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
    (built / "manifest.json").write_bytes(as_json({"parameters": {"others": others}}))
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
