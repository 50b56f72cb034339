"""Boxes of people that the user or a rendered world already has, matched to frames by name.

Read are, by what the path is:
    .parquet, folder with them  image_id and `box` (x1, y1, x2, y2 pixels) or columns x1, y1, x2,
                                y2, and if there `score` and `person`; or a list `people` of such
                                structs, as a world's truth has it
    .csv                        a header, image_id, x1, y1, x2, y2 and if there score and person
    .json with annotations      COCO: bbox (x, y, width, height) of people, see
                                `pipeline.backends.coco_annotations`
    .json list                  COCO results: image_id (a name), bbox, score
    folder with *.txt           YOLO, one file a frame: class, middle x and y, width and height as
                                shares of the frame, and if there score; class 0 is a person

A frame may have several rows, one for each of its people. A row without a box says that there is
nobody; `person` says whose box it is, 0 that it is a stranger's. A box that is none, such as one
of width 0, is passed over where its frame has others; else the frame is rejected.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.backends import coco_annotations
from pipeline.backends.crops.person_box import PersonBox
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
from reid.project.errors import ReidError

CORNERS = ["x1", "y1", "x2", "y2"]
YOLO_PERSON = 0
YOLO_NUMBERS = (5, 6)  # of a line: without and with a score


class Label(NamedTuple):
    """One person's box; `share` where its corners are shares of the frame, not pixels."""

    name: str  # of the frame, as the file writes it
    corners: tuple[float, float, float, float]
    score: float = 1.0
    person: int | None = None
    share: bool = False

    def on(self, height: int, width: int) -> PersonBox:
        x1, y1, x2, y2 = self.corners
        x, y = (width, height) if self.share else (1, 1)
        return PersonBox((x1 * x, y1 * y, x2 * x, y2 * y), self.score, self.person)


class Labels(Names):
    """Boxes by frame name; `find` gives those of a frame, in the order of the file."""

    def __init__(self, entries: Iterable[tuple[str, Label | None] | BadLabel], where: Path):
        good, bad = good_and_bad(entries)
        by_key: dict[str, list[Label]] = {}
        for name, label in good:
            by_key.setdefault(label_key(name), []).extend([label] if label else [])
        if not any(by_key.values()):
            raise no_labels(where, "boxes of people", bad)
        super().__init__(by_key, where, bad)
        self.boxes = dict(sorted(by_key.items()))

    def find(self, image_id: str, height: int, width: int) -> list[PersonBox] | None:
        """The people of a frame in its pixels; None where the labels do not know the frame.

        Raises `BadImage` where none of its boxes can be used.
        """
        key = self.key_of(image_id)
        boxes = self.boxes.get(key)
        if not boxes:
            self.check(key)
        return None if boxes is None else [label.on(height, width) for label in boxes]

    def digest(self) -> str:
        """A hash of the names and boxes, whatever file they come from."""
        known = [[key, [label[1:] for label in labels]] for key, labels in self.boxes.items()]
        digest = hashlib.sha256(json.dumps(known).encode())
        self.add_bad(digest)
        return digest.hexdigest()


def load(path: Path) -> Labels:
    """Read the labels at `path`; raises `ReidError` with the file and what is wrong in it."""
    if path.is_dir():
        if tables := files_below(path, ".parquet"):
            return Labels((e for t in tables for e in _from_parquet(t)), path)
        if files := [f for f in files_below(path, ".txt") if f.name != "classes.txt"]:
            return Labels((e for f in files for e in _from_yolo(f, path)), path)
        raise ReidError(f"{path}: neither *.parquet nor *.txt files in it")
    if not path.is_file():
        raise ReidError(f"{path}: no such file or folder of boxes (crops.path)")
    ending = path.suffix.lower()
    if ending == ".parquet":
        return Labels(_from_parquet(path), path)
    if ending == ".csv":
        return Labels(_from_table(path, read_csv(path)), path)
    if ending == ".json":
        return Labels(_from_json(path), path)
    raise ReidError(f"{path}: boxes are read from .parquet, .csv, .json or a folder of .parquet "
                    "or .txt")  # fmt: skip


Entries = Iterator[tuple[str, Label | None] | BadLabel]


def _from_parquet(path: Path) -> Entries:
    table = read_parquet(path, "people", "box", *CORNERS, "score", "person")
    if table is None:
        return  # in a folder a file may be about something else
    if "people" not in table.column_names:
        yield from _from_table(path, table)
        return
    for row in table.select(["image_id", "people"]).to_pylist():
        yield row["image_id"], None
        try:
            for one in row["people"] or []:
                yield from _entry({"image_id": row["image_id"], **one})
        except TypeError:
            raise ReidError(f"{path}: `people` must hold structs with a box") from None


def _from_table(path: Path, table: pa.Table) -> Entries:
    names = table.column_names
    if "image_id" not in names or not ("box" in names or set(CORNERS) <= set(names)):
        raise ReidError(f"{path}: needs image_id, and box or {', '.join(CORNERS)} (it has "
                        f"{', '.join(names)})")  # fmt: skip
    for row in table.to_pylist():
        yield from _entry(row)


def _entry(row: dict[str, Any]) -> Entries:
    corners = row["box"] if "box" in row else [row.get(name) for name in CORNERS]
    if corners is None or all(value is None for value in corners):
        yield row["image_id"], None
        return
    score, person = row.get("score"), row.get("person")
    yield _label(row["image_id"], corners, score, person)


def _label(
    name: str, corners: Sequence[Any], score: Any, person: Any = None, *, share: bool = False
) -> tuple[str, Label] | BadLabel:
    try:
        x1, y1, x2, y2 = (float(value) for value in corners)
        whose = None if person is None else int(person)
        label = Label(name, (x1, y1, x2, y2), 1.0 if score is None else float(score), whose, share)
    except (TypeError, ValueError) as error:
        return BadLabel(name, f"a box is four numbers: {error}")
    if not np.isfinite([x1, y1, x2, y2, label.score]).all() or x2 <= x1 or y2 <= y1:
        reason = "is none; corners are numbers, x1 below x2, y1 below y2"
        return BadLabel(name, f"box {[x1, y1, x2, y2]} {reason}")
    return name, label


def _from_yolo(path: Path, root: Path) -> Entries:
    name = path.relative_to(root).as_posix()[: -len(".txt")]
    yield name, None
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (ValueError, OSError) as error:
        yield BadLabel(name, f"not YOLO's text: {error}")
        return
    for number, line in enumerate(lines, 1):
        try:
            yield from _from_line(name, [float(word) for word in line.split()])
        except ValueError as error:
            wanted = "not YOLO's class, x, y, width, height and maybe score"
            yield BadLabel(name, f"line {number}: {wanted}: {error}")


def _from_line(name: str, values: list[float]) -> Entries:
    if values and len(values) not in YOLO_NUMBERS:
        raise ValueError(f"{len(values)} numbers")
    if not values or values[0] != YOLO_PERSON:
        return
    x, y, width, height = values[1:5]
    if max(abs(value) for value in values[1:5]) > 2:
        raise ValueError("in pixels, not in shares of the frame")
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    yield _label(name, corners, values[5] if len(values) > 5 else None, share=True)


def _from_json(path: Path) -> Entries:
    loaded = read_json(path)
    people = coco_annotations.people(
        path, loaded, lambda name, _, entry: [_box(name, entry)],
        lambda name, entry: [_box(name, entry)],
        "neither COCO annotations with images nor a list of {image_id, bbox}",
    )  # fmt: skip
    if isinstance(loaded, dict):
        for image in loaded["images"]:
            yield str(image["file_name"]), None
    yield from people


def _box(name: str, entry: dict[str, Any]) -> tuple[str, Label] | BadLabel:
    x, y, width, height = (float(value) for value in entry["bbox"])
    return _label(name, (x, y, x + width, y + height), entry.get("score"))
