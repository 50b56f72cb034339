"""What the backend `given` of every stage keeps: labels of one's own meet images by name.

A table has one row an image, `a` and `b` hold different labels. What is particular to a backend's
formats is tested beside the backend.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from pipeline.backends.crops import given as crops_given
from pipeline.backends.flow import given as flow_given
from pipeline.backends.joints import given as joints_given
from pipeline.backends.masks import given as masks_given
from pipeline.stages import crops, flow, joints, masks
from reid.arrays.flow import encode_flow
from reid.arrays.images import encode_png
from reid.arrays.poses import joints_column
from reid.project.errors import ReidError

HEIGHT, WIDTH = 6, 4


class Backend(NamedTuple):
    """One stage's backend `given`."""

    params: Any
    load: Callable[[Path], Any]
    what: str  # as errors call its labels
    other_path: dict[str, str]  # a backend of the stage that takes no path
    column: Callable[[list[int]], pa.Table]  # labels that differ where the numbers do
    wrong: tuple[pa.Table, str]  # a table of another content, and what is said of it
    size: tuple[int, ...] = ()  # of the image, where the labels ask for it
    rows_an_image: str = "one"


def joints_of(numbers: list[int]) -> pa.Table:
    values = np.zeros((len(numbers), 18, 3), np.float32)
    values[:, :, 0] = np.array(numbers)[:, None]
    return pa.table({"joints": joints_column(values, np.zeros(len(numbers), bool))})


def masks_of(numbers: list[int]) -> pa.Table:
    pictures = [np.arange(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH) > n for n in numbers]
    return pa.table({"mask": pa.array(map(encode_png, pictures), pa.binary())})


def boxes_of(numbers: list[int]) -> pa.Table:
    return pa.table({"box": pa.array([[0, 0, 2 + n, 3] for n in numbers], pa.list_(pa.float32()))})


def flow_of(numbers: list[int]) -> pa.Table:
    known = np.ones((HEIGHT, WIDTH), bool)
    fields = [encode_flow(np.full((HEIGHT, WIDTH, 2), n), known) for n in numbers]
    return pa.table({"flow": pa.array(fields, pa.binary())})


BACKENDS = {
    "joints": Backend(
        joints.Params, joints_given.load, "joints", {"backend": "mmpose"}, joints_of,
        (pa.table({"x": [1]}), "1 numbers"),
    ),
    "masks": Backend(
        masks.Params, masks_given.load, "masks", {"backend": "torchvision"}, masks_of,
        (pa.table({"mask": [1.5]}), "`mask` must hold PNG bytes, not double"),
    ),
    "crops": Backend(
        crops.Params, crops_given.load, "boxes", {"backend": "depth"}, boxes_of,
        (pa.table({"x1": [1]}), "needs image_id, and box or x1, y1, x2, y2"),
        size=(HEIGHT, WIDTH), rows_an_image="several",
    ),
    "flow": Backend(
        flow.Params, flow_given.load, "flow", {"backend": "dis"}, flow_of,
        (pa.table({"flow": [1.5]}), "`flow` must hold PNG bytes, not double"),
    ),
}  # fmt: skip


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return BACKENDS[request.param]


def write(path: Path, names: list[str], columns: pa.Table) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(columns.add_column(0, "image_id", pa.array(names)), path)
    return path


def test_labels_meet_images_by_name(backend: Backend, tmp_path: Path):
    names = ["train/a", "./train/b.jpg", "train\\c.PNG"]
    labels = backend.load(write(tmp_path / "t.parquet", names, backend.column([0, 1, 2])))
    each = [labels.find(f"train/{name}", *backend.size) for name in "abc"]
    assert len({pickle.dumps(label) for label in each}) == 3
    assert labels.find("train/d", *backend.size) is None


def test_labels_of_no_image_are_named_in_order(backend: Backend, tmp_path: Path):
    path = write(tmp_path / "t.parquet", ["b", "a", "c"], backend.column([0, 1, 2]))
    assert backend.load(path).unmatched(["a", "z"]) == ["b", "c"]
    assert backend.load(path).unmatched(["a", "b", "c", "z"]) == []


def test_a_label_that_two_images_claim_is_an_error(backend: Backend, tmp_path: Path):
    labels = backend.load(write(tmp_path / "t.parquet", ["0001.png"], backend.column([0])))
    labels.find("cam_a/0001", *backend.size)
    with pytest.raises(ReidError, match=r"0001 fits both cam_a/0001 and cam_b/0001"):
        labels.find("cam_b/0001", *backend.size)


def test_a_folder_of_tables_may_hold_others(backend: Backend, tmp_path: Path):
    write(tmp_path / "rows/1.parquet", ["a"], backend.column([0]))
    write(tmp_path / "rows/2.parquet", ["b"], backend.column([1]))
    pq.write_table(pa.table({"other": [1]}), tmp_path / "persons.parquet")
    assert backend.load(tmp_path).unmatched([]) == ["a", "b"]


def test_the_digest_is_of_names_and_labels_not_of_the_file(backend: Backend, tmp_path: Path):
    digests = [
        backend.load(write(tmp_path / "t.parquet", names, backend.column(numbers))).digest()
        for names, numbers in (
            (["a", "b"], [0, 1]), (["b", "a"], [1, 0]), (["a", "b"], [1, 0]), (["a", "c"], [0, 1]),
        )
    ]  # fmt: skip
    assert digests[0] == digests[1]
    assert len(set(digests)) == 3


def test_two_rows_of_one_image(backend: Backend, tmp_path: Path):
    path = write(tmp_path / "t.parquet", ["a", "a"], backend.column([0, 1]))
    if backend.rows_an_image == "several":
        assert len(backend.load(path).find("a", *backend.size)) == 2
        return
    with pytest.raises(ReidError, match="two rows of image_id a"):
        backend.load(path)


def test_a_path_without_labels_is_one_error(backend: Backend, tmp_path: Path):
    folder, other, torn = tmp_path / "folder", tmp_path / "t.xml", tmp_path / "t.parquet"
    folder.mkdir()
    (folder / "notes.md").write_text("no labels")
    other.write_text("<a/>")
    torn.write_text("PAR1")
    for path, message in (
        (tmp_path / "missing", f"no such file or folder of {backend.what}"),
        (folder, r"(neither|no) \*\.parquet"),
        (other, f"{backend.what} (is|are) read from"),
        (torn, "not readable as Parquet"),
        (write(tmp_path / "wrong.parquet", ["a"], backend.wrong[0]), backend.wrong[1]),
    ):
        with pytest.raises(ReidError, match=message) as caught:
            backend.load(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert "\n" not in str(caught.value)


def test_a_path_goes_with_given_and_given_with_a_path(backend: Backend):
    assert backend.params(backend="given", path="labels").path == "labels"
    for values in ({"backend": "given"}, {**backend.other_path, "path": "labels"}):
        with pytest.raises(ValidationError, match="`path` goes with backend `given`"):
            backend.params(**values)
