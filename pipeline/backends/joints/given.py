"""Joints that the user or a rendered world already has, matched to images by name.

Read are, by what the path is:
    .parquet, folder with them    image_id and a `joints` column of the shards' type, or image_id
                                  and 54, 51 or 75 columns of numbers x0, y0, c0, x1, ...
    .csv                          a header, then image_id and 54, 51 or 75 numbers; empty = missing
    folder with *_keypoints.json  OpenPose, one file an image (its COCO 18 or BODY_25)
    .json list                    AlphaPose or COCO results: image_id, keypoints (51), score
    .json with annotations        COCO keypoints; visibility 0, 1, 2 is confidence 0, 0.5, 1

54 numbers are OpenPose's order, 51 COCO's. Of several people in an image the one with the highest
score is taken, or where there is none the one with the largest sum of confidences.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.backends.coco import to_openpose
from pipeline.backends.given import Names, label_key, read_json, read_parquet
from reid.arrays.poses import joints_array
from reid.project.errors import ReidError

OPENPOSE_ENDING = "_keypoints.json"


class Person(NamedTuple):
    name: str  # of the image, as the file writes it
    joints: np.ndarray  # (18, 3) float32
    score: float


class Labels(Names):
    """Joints by image name; `find` gives those of an image."""

    def __init__(self, people: Iterable[Person], where: Path):
        best: dict[str, Person] = {}
        for person in people:
            key = label_key(person.name)
            if key not in best or person.score > best[key].score:
                best[key] = person
        if not best:
            raise ReidError(f"{where}: no joints in it")
        super().__init__(best, where)
        self.joints = {key: best[key].joints for key in sorted(best)}

    def find(self, image_id: str) -> np.ndarray | None:
        """The (18, 3) joints of an image, None where no label is its own."""
        key = self.key_of(image_id)
        return self.joints[key] if key else None

    def digest(self) -> str:
        """A hash of the names and joints, whatever file they come from."""
        digest = hashlib.sha256()
        for key, joints in self.joints.items():
            digest.update(key.encode() + b"\0" + joints.astype("<f4").tobytes())
        return digest.hexdigest()


def load(path: Path) -> Labels:
    """Read the labels at `path`; raises `ReidError` with the file and what is wrong in it."""
    if path.is_dir():
        if tables := sorted(path.rglob("*.parquet")):
            return Labels(_from_tables(path, (read_parquet(t, "joints") for t in tables)), path)
        if files := sorted(path.rglob("*" + OPENPOSE_ENDING)):
            return Labels((p for file in files for p in _from_openpose(file, path)), path)
        raise ReidError(f"{path}: neither *.parquet nor *{OPENPOSE_ENDING} files in it")
    if not path.is_file():
        raise ReidError(f"{path}: no such file or folder of joints (joints.path)")
    ending = path.suffix.lower()
    if ending == ".parquet":
        return Labels(_from_tables(path, [read_parquet(path, "joints")]), path)
    if ending == ".csv":
        return Labels(_from_tables(path, [_read_csv(path)]), path)
    if ending == ".json":
        return Labels(_from_json(path), path)
    raise ReidError(f"{path}: joints are read from .parquet, .csv, .json or a folder of these")


def _read_csv(path: Path) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(column_types={"image_id": pa.string()})
    try:
        return pyarrow.csv.read_csv(path, convert_options=options)
    except pa.ArrowException as error:
        raise ReidError(f"{path}: not readable as CSV: {error}") from None


def _from_tables(path: Path, tables: Iterable[pa.Table | None]) -> Iterator[Person]:
    seen: set[str] = set()
    for table in tables:
        if table is None:
            continue
        if "image_id" not in table.column_names:
            raise ReidError(f"{path}: no column image_id (it has {', '.join(table.column_names)})")
        for name, joints in zip(table["image_id"].to_pylist(), _rows(table, path), strict=True):
            if name in seen:
                raise ReidError(f"{path}: two rows of image_id {name}")
            seen.add(name)
            if not np.isnan(joints).all():  # a null row is an image without joints
                yield _person(name, joints, path)


def _rows(table: pa.Table, path: Path) -> np.ndarray:
    """(N, 51, 54 or 75) float32, NaN where null."""
    try:
        if "joints" in table.column_names:
            return joints_array(table["joints"]).reshape(table.num_rows, -1)
        columns = [table[n].cast(pa.float32()) for n in table.column_names if n != "image_id"]
    except (pa.ArrowException, ValueError) as error:
        raise ReidError(f"{path}: joints must be numbers: {error}") from None
    if not columns:
        raise ReidError(f"{path}: no joints beside image_id")
    return np.stack([c.to_numpy() for c in columns], 1)


def _from_openpose(path: Path, root: Path) -> Iterator[Person]:
    name = path.relative_to(root).as_posix().removesuffix(OPENPOSE_ENDING)
    found = read_json(path)
    people = found.get("people") if isinstance(found, dict) else None
    if not isinstance(people, list):
        raise ReidError(f"{path}: no list `people`; this is not OpenPose's output")
    for person in people:
        numbers = person.get("pose_keypoints_2d", []) if isinstance(person, dict) else []
        yield _person(name, numbers, path)


def _from_json(path: Path) -> Iterator[Person]:
    found = read_json(path)
    try:
        if isinstance(found, list):
            for entry in found:
                score = entry.get("score")
                yield _person(str(entry["image_id"]), entry["keypoints"], path, score)
        else:
            names = {image["id"]: image["file_name"] for image in found["images"]}
            for entry in found["annotations"]:
                numbers = np.array(entry.get("keypoints", []), np.float32)
                if numbers.any():  # images without labelled joints carry zeros
                    numbers[2::3] /= 2
                    yield _person(names[entry["image_id"]], numbers, path)
    except (KeyError, TypeError, AttributeError) as error:
        raise ReidError(
            f"{path}: neither a list of {{image_id, keypoints}} nor COCO annotations with images "
            f"(missing {error})"
        ) from None


def _person(name: str, numbers: Any, path: Path, score: float | None = None) -> Person:
    try:
        joints = to_openpose(np.asarray(numbers, np.float32))
    except (ValueError, TypeError) as error:
        raise ReidError(f"{path}: {name}: {error}") from None
    return Person(name, joints, float(joints[:, 2].sum()) if score is None else float(score))
