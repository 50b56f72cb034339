"""Joints that the user or a rendered world already has, matched to images by name.

Read are, by what the path is:
    .parquet, folder with them    image_id and a `joints` column of the shards' type, or image_id
                                  and 54, 51 or 75 columns of numbers, by name: see `columns`
    .csv                          image_id and such columns under a header
    folder with *_keypoints.json  OpenPose, one file an image (its COCO 18 or BODY_25)
    .json list                    AlphaPose or COCO results: image_id, keypoints (51), score
    .json with annotations        COCO keypoints; visibility 0, 1, 2 is confidence 0, 0.5, 1

54 numbers are OpenPose's order, 51 COCO's. An empty cell or a null is a missing joint, with
confidence 0; what is no number, NaN or infinite makes its image a reject. Of COCO's annotations
those of people count, see `pipeline.backends.coco_annotations`. Of several people in an image the
one with the highest score is taken, or where there is none the one with the largest sum of
confidences.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.backends import coco_annotations
from pipeline.backends.coco import to_openpose
from pipeline.backends.given import (
    BadLabel,
    Names,
    files_below,
    good_and_bad,
    label_key,
    no_labels,
    read_csv,
    read_json,
    read_parquet,
)
from pipeline.backends.joints.columns import in_order
from reid.arrays.poses import JOINTS, joints_array
from reid.project.errors import ReidError

OPENPOSE_ENDING = "_keypoints.json"


class Person(NamedTuple):
    name: str  # of the image, as the file writes it
    joints: np.ndarray  # (18, 3) float32
    score: float


class Labels(Names):
    """Joints by image name; `find` gives those of an image."""

    def __init__(self, people: Iterable[Person | BadLabel], where: Path):
        good, bad = good_and_bad(people)
        best: dict[str, Person] = {}
        for person in good:
            key = label_key(person.name)
            if key not in best or person.score > best[key].score:
                best[key] = person
        if not best:
            raise no_labels(where, "joints", bad)
        super().__init__(best, where, bad)
        self.joints = {key: best[key].joints for key in sorted(best)}

    def find(self, image_id: str) -> np.ndarray | None:
        """The (18, 3) joints of an image, None where no label is its own.

        Raises `BadImage` where its label cannot be used.
        """
        key = self.key_of(image_id)
        if key not in self.joints:
            self.check(key)
            return None
        return self.joints[key]

    def digest(self) -> str:
        """A hash of the names and joints, whatever file they come from."""
        digest = hashlib.sha256()
        for key, joints in self.joints.items():
            digest.update(key.encode() + b"\0" + joints.astype("<f4").tobytes())
        self.add_bad(digest)
        return digest.hexdigest()


def load(path: Path) -> Labels:
    """Read the labels at `path`; raises `ReidError` with the file and what is wrong in it."""
    if path.is_dir():
        if tables := files_below(path, ".parquet"):
            return Labels(_from_tables(path, (read_parquet(t, "joints") for t in tables)), path)
        if files := files_below(path, OPENPOSE_ENDING):
            return Labels((p for file in files for p in _from_openpose(file, path)), path)
        raise ReidError(f"{path}: neither *.parquet nor *{OPENPOSE_ENDING} files in it")
    if not path.is_file():
        raise ReidError(f"{path}: no such file or folder of joints (joints.path)")
    ending = path.suffix.lower()
    if ending == ".parquet":
        return Labels(_from_tables(path, [read_parquet(path, "joints")]), path)
    if ending == ".csv":
        return Labels(_from_tables(path, [read_csv(path)]), path)
    if ending == ".json":
        return Labels(_from_json(path), path)
    raise ReidError(f"{path}: joints are read from .parquet, .csv, .json or a folder of these")


def _from_tables(path: Path, tables: Iterable[pa.Table | None]) -> Iterator[Person | BadLabel]:
    seen: set[str] = set()
    for table in tables:
        if table is None:
            continue
        if "image_id" not in table.column_names:
            raise ReidError(f"{path}: no column image_id (it has {', '.join(table.column_names)})")
        rows = _rows(table, path)
        for name, joints in zip(table["image_id"].to_pylist(), rows, strict=True):
            if name in seen:
                raise ReidError(f"{path}: two rows of image_id {name}")
            seen.add(name)
            if not joints.mask.all():  # a null row is an image without joints
                yield _person(name, joints)


def _rows(table: pa.Table, path: Path) -> np.ma.MaskedArray:
    """(N, 51, 54 or 75) float32, masked where null; NaN where a cell is no number."""
    try:
        if "joints" in table.column_names:
            return _listed(table["joints"].combine_chunks())
        others = [name for name in table.column_names if name != "image_id"]
        twice = [name for name in others if others.count(name) > 1]
        if twice:
            raise ReidError(f"{path}: column `{twice[0]}` stands there twice")
        columns = {name: _numbers(table[name]) for name in others}
    except (pa.ArrowException, ValueError) as error:
        raise ReidError(f"{path}: joints must be numbers: {error}") from None
    if not columns:
        raise ReidError(f"{path}: no joints beside image_id")
    ordered = [columns[name] for name in in_order(others, path)]
    nulls = np.stack([column.is_null().to_numpy() for column in ordered], 1)
    return np.ma.array(np.stack([column.to_numpy() for column in ordered], 1), mask=nulls)


def _listed(column: pa.Array) -> np.ma.MaskedArray:
    """A column of the shards' type; a null row is masked as a whole."""
    values = joints_array(column).reshape(len(column), -1)
    nulls = np.ones(values.shape, bool)
    inner = column.cast(JOINTS).flatten().flatten()  # null rows are left out by flatten
    nulls[np.asarray(column.is_valid())] = np.asarray(inner.is_null()).reshape(-1, values.shape[1])
    return np.ma.array(values, mask=nulls)


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as float32; NaN where a text is no number."""
    if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
        return column.cast(pa.float32())
    return pa.chunked_array([[_number(text) for text in column.to_pylist()]], pa.float32())


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return math.nan


def _from_openpose(path: Path, root: Path) -> Iterator[Person | BadLabel]:
    name = path.relative_to(root).as_posix()[: -len(OPENPOSE_ENDING)]
    loaded = read_json(path)
    people = loaded.get("people") if isinstance(loaded, dict) else None
    if not isinstance(people, list):
        raise ReidError(f"{path}: no list `people`; this is not OpenPose's output")
    for person in people:
        yield _person(name, person.get("pose_keypoints_2d", []) if isinstance(person, dict) else [])


def _from_json(path: Path) -> list[Person | BadLabel]:
    def result(name: str, entry: dict[str, Any]) -> list[Person | BadLabel]:
        return [_person(name, entry["keypoints"], entry.get("score"))]

    return coco_annotations.people(
        path, read_json(path), _annotated, result,
        "neither a list of {image_id, keypoints} nor COCO annotations with images",
    )  # fmt: skip


def _annotated(name: str, image: Any, entry: dict[str, Any]) -> Iterator[Person | BadLabel]:
    del image
    numbers = _masked(entry.get("keypoints", []))
    if numbers.any():  # images without labelled joints carry zeros
        numbers[2::3] /= 2
        yield _person(name, numbers)


def _masked(numbers: Any) -> np.ma.MaskedArray:
    """Numbers as JSON has them, flat float32; a null is masked."""
    if isinstance(numbers, np.ma.MaskedArray):
        return numbers
    values = np.asarray(numbers, object).ravel()
    nulls = np.array([value is None for value in values], bool)
    return np.ma.array(np.where(nulls, 0, values).astype(np.float32), mask=nulls)


def _person(name: str, numbers: Any, score: Any = None) -> Person | BadLabel:
    try:
        joints = to_openpose(_masked(numbers))
        score = float(joints[:, 2].sum() if score is None else score)
        if not math.isfinite(score):
            raise ValueError(f"its score is {score}")
        return Person(name, joints, score)
    except (ValueError, TypeError) as error:
        return BadLabel(name, str(error))
