"""Built masks against true ones: each number worked by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.accuracy.masks import LEAST_PIXELS, measured
from pipeline.world.truth import Truth, write_truth
from reid.arrays.images import encode_png
from reid.project.errors import ReidError
from reid.shards.schema import IMAGE

SIZE = (40, 20)
BOX = (4, 4, 14, 34)  # x1, y1, x2, y2: 300 pixels


def block(x1: int, y1: int, x2: int, y2: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    mask = np.zeros(size, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def write_built(folder: Path, masks: dict[str, np.ndarray | None]) -> Path:
    cells = [None if m is None else {"bytes": encode_png(m), "path": None} for m in masks.values()]
    (folder / "rows").mkdir(parents=True)
    table = pa.table({"image_id": list(masks), "mask": pa.array(cells, IMAGE)})
    pq.write_table(table, folder / "rows/all-00000-of-00001.parquet")
    return folder


def true(name: str, mask: np.ndarray, box=BOX) -> tuple[str, Truth, None]:
    return name, Truth(encode_png(mask), b"", b"", box=np.array(box, np.float32)), None


def test_masks_by_hand(tmp_path: Path):
    truth = [
        true("same", block(*BOX)),
        true("half", block(*BOX)),
        true("other", block(*BOX)),
        true("missing", block(*BOX)),
        true("legs hidden", block(4, 4, 14, 24)),  # two thirds of the person's box
        true("nobody", np.zeros(SIZE, bool)),
        true("false", np.zeros(SIZE, bool)),
        true("sliver", block(0, 0, LEAST_PIXELS - 1, 1, (40, LEAST_PIXELS))),
        true("not of the build", block(*BOX)),
    ]
    write_truth(tmp_path / "truth", truth)
    built = write_built(tmp_path / "built", {
        "same": block(*BOX), "half": block(4, 4, 14, 19), "other": block(16, 4, 20, 34),
        "missing": None, "legs hidden": block(4, 4, 14, 34), "nobody": None,
        "false": block(0, 0, 2, 2), "sliver": None,
    })  # fmt: skip
    result = measured(built, tmp_path / "truth")
    partly = round(2 / 3, 4)
    assert result.numbers == {
        "images": 5, "missing": 1, "iou": round((1 + 0.5 + 0 + 2 / 3) / 4, 4),
        "iou_all": round((1 + 0.5 + 0 + 2 / 3) / 5, 4),
        "iou_median": round((0.5 + 2 / 3) / 2, 4), "wrong": 0.25,
        "images_whole": 4, "missing_whole": 1, "iou_whole": 0.5, "iou_all_whole": 0.375,
        "iou_median_whole": 0.5, "wrong_whole": round(1 / 3, 4),
        "images_partly": 1, "missing_partly": 0, "iou_partly": partly, "iou_all_partly": partly,
        "iou_median_partly": partly, "wrong_partly": 0.0,
        "empty": 2, "false": 1,
    }  # fmt: skip
    assert result.each == {
        "same": 1, "half": 0.5, "other": 0, "legs hidden": pytest.approx(2 / 3),
    }  # fmt: skip


def test_numbers_of_no_image_are_none(tmp_path: Path):
    write_truth(tmp_path / "truth", [true("a", block(*BOX))])
    result = measured(write_built(tmp_path / "built", {"a": None}), tmp_path / "truth").numbers
    assert (result["iou"], result["iou_all"], result["wrong"]) == (None, 0, None)
    assert (result["images_partly"], result["iou_all_partly"]) == (0, None)


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        pytest.param([], r"no rows/\*\.parquet", id="no truth"),
        pytest.param([true("b", block(*BOX))], "knows nothing of a, an image", id="of others"),
        pytest.param([true("a", np.zeros(SIZE, bool))], "has no mask of 64 pixels", id="nobody"),
        pytest.param(
            [true("a", block(*BOX, size=(50, 30)))],
            "a: a mask of 20 x 40 pixels, the ground truth has 30 x 50", id="another size",
        ),
        pytest.param([("a", Truth(b"no PNG", b"", b""), None)], "a: neither JPEG nor PNG",
                     id="damaged"),
    ],
)  # fmt: skip
def test_what_is_no_truth_of_these_images(tmp_path: Path, truth, message):
    if truth:
        write_truth(tmp_path / "truth", truth)
    built = write_built(tmp_path / "built", {"a": block(*BOX)})
    with pytest.raises(ReidError, match=message):
        measured(built, tmp_path / "truth")
