"""Boxes of people that the user or a rendered world already has, matched to frames by name.

Read are, by what the path is:
    .parquet, folder with them  image_id and `box` (x1, y1, x2, y2 pixels) or columns x1, y1, x2,
                                y2, and if there `score` and `person`; or a list `people` of such
                                structs, as a world's truth has it
    .csv                        a header, image_id, x1, y1, x2, y2 and if there score and person
    .json with annotations      COCO: bbox (x, y, width, height) of the category called person if
                                there is one, else of all; crowds are left out
    .json list                  COCO results: image_id (a name), bbox, score; category_id 1 is a
                                person, as is an entry without
    folder with *.txt           YOLO, one file a frame: class, middle x and y, width and height as
                                shares of the frame, and if there score; class 0 is a person

A frame may have several rows, one for each of its people. A row without a box says that there is
nobody; `person` says whose box it is, 0 that it is a stranger's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.csv

from pipeline.backends.crops.person_box import PersonBox
from pipeline.backends.given import Names, label_key, read_json, read_parquet
from reid.project.errors import ReidError

CORNERS = ["x1", "y1", "x2", "y2"]
PERSON, PERSON_ID = "person", 1  # COCO's category
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

    def __init__(self, entries: Iterable[tuple[str, Label | None]], where: Path):
        found: dict[str, list[Label]] = {}
        for name, label in entries:
            boxes = found.setdefault(label_key(name), [])
            if label is not None:
                boxes.append(_checked(label, where))
        if not any(found.values()):
            raise ReidError(f"{where}: no boxes of people in it")
        super().__init__(found, where)
        self.boxes = {key: found[key] for key in sorted(found)}

    def find(self, image_id: str, height: int, width: int) -> list[PersonBox] | None:
        """The people of a frame in its pixels; None where the labels do not know the frame."""
        key = self.key_of(image_id)
        return [label.on(height, width) for label in self.boxes[key]] if key else None

    def digest(self) -> str:
        """A hash of the names and boxes, whatever file they come from."""
        known = [[key, [label[1:] for label in labels]] for key, labels in self.boxes.items()]
        return hashlib.sha256(json.dumps(known).encode()).hexdigest()


def _checked(label: Label, where: Path) -> Label:
    x1, y1, x2, y2 = label.corners
    if not np.isfinite([*label.corners, label.score]).all() or x2 <= x1 or y2 <= y1:
        raise ReidError(f"{where}: {label.name}: box {list(label.corners)} is none; corners are "
                        "numbers, x1 below x2, y1 below y2")  # fmt: skip
    return label


def load(path: Path) -> Labels:
    """Read the labels at `path`; raises `ReidError` with the file and what is wrong in it."""
    if path.is_dir():
        if tables := sorted(path.rglob("*.parquet")):
            return Labels((e for t in tables for e in _from_parquet(t)), path)
        if files := sorted(f for f in path.rglob("*.txt") if f.name != "classes.txt"):
            return Labels((e for f in files for e in _from_yolo(f, path)), path)
        raise ReidError(f"{path}: neither *.parquet nor *.txt files in it")
    if not path.is_file():
        raise ReidError(f"{path}: no such file or folder of boxes (crops.path)")
    ending = path.suffix.lower()
    if ending == ".parquet":
        return Labels(_from_parquet(path), path)
    if ending == ".csv":
        return Labels(_from_table(path, _read_csv(path)), path)
    if ending == ".json":
        return Labels(_from_json(path), path)
    raise ReidError(f"{path}: boxes are read from .parquet, .csv, .json or a folder of .parquet "
                    "or .txt")  # fmt: skip


Entries = Iterator[tuple[str, Label | None]]


def _read_csv(path: Path) -> pa.Table:
    options = pyarrow.csv.ConvertOptions(column_types={"image_id": pa.string()})
    try:
        return pyarrow.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, OSError) as error:
        raise ReidError(f"{path}: not readable as CSV: {error}") from None


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
                yield from _entry(path, {"image_id": row["image_id"], **one})
        except TypeError:
            raise ReidError(f"{path}: `people` must hold structs with a box") from None


def _from_table(path: Path, table: pa.Table) -> Entries:
    names = table.column_names
    if "image_id" not in names or not ("box" in names or set(CORNERS) <= set(names)):
        raise ReidError(f"{path}: needs image_id, and box or {', '.join(CORNERS)} (it has "
                        f"{', '.join(names)})")  # fmt: skip
    for row in table.to_pylist():
        yield from _entry(path, row)


def _entry(path: Path, row: dict[str, Any]) -> Entries:
    corners = row["box"] if "box" in row else [row.get(name) for name in CORNERS]
    if corners is None or all(value is None for value in corners):
        yield row["image_id"], None
        return
    score, person = row.get("score"), row.get("person")
    yield row["image_id"], _label(path, row["image_id"], corners, score, person)


def _label(
    path: Path, name: str, corners: Sequence[Any], score: Any, person: Any = None,
    *, share: bool = False,
) -> Label:  # fmt: skip
    try:
        x1, y1, x2, y2 = (float(value) for value in corners)
        whose = None if person is None else int(person)
        return Label(name, (x1, y1, x2, y2), 1.0 if score is None else float(score), whose, share)
    except (TypeError, ValueError) as error:
        raise ReidError(f"{path}: {name}: a box is four numbers: {error}") from None


def _from_yolo(path: Path, root: Path) -> Entries:
    name = path.relative_to(root).as_posix().removesuffix(".txt")
    yield name, None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, 1):
            values = [float(word) for word in line.split()]
            if values and len(values) not in YOLO_NUMBERS:
                raise ValueError(f"{len(values)} numbers")
            if values and values[0] == YOLO_PERSON:
                yield name, _from_middle(path, f"line {number}", values[1:])
    except (ValueError, OSError) as error:
        raise ReidError(f"{path}: not YOLO's class, x, y, width, height and maybe score: "
                        f"{error}") from None  # fmt: skip


def _from_middle(path: Path, line: str, values: list[float]) -> Label:
    x, y, width, height = values[:4]
    if max(abs(value) for value in values[:4]) > 2:
        raise ValueError(f"{line} is in pixels, not in shares of the frame")
    corners = (x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    return _label(path, line, corners, values[4] if len(values) > 4 else None, share=True)


def _from_json(path: Path) -> Entries:
    found = read_json(path)
    try:
        yield from (
            _from_results(path, found) if isinstance(found, list) else _from_coco(path, found)
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ReidError(
            f"{path}: neither COCO annotations with images nor a list of {{image_id, bbox}} "
            f"({error!r})"
        ) from None


def _from_results(path: Path, entries: list[dict[str, Any]]) -> Entries:
    for entry in entries:
        if entry.get("category_id", PERSON_ID) == PERSON_ID:
            name = str(entry["image_id"])
            yield name, _label(path, name, _corners(entry["bbox"]), entry.get("score"))


def _from_coco(path: Path, found: dict[str, Any]) -> Entries:
    names = {image["id"]: str(image["file_name"]) for image in found["images"]}
    people = {c["id"] for c in found.get("categories", []) if c.get("name") == PERSON}
    for name in names.values():
        yield name, None
    for entry in found["annotations"]:
        if entry.get("iscrowd") or (people and entry["category_id"] not in people):
            continue
        name = names[entry["image_id"]]
        yield name, _label(path, name, _corners(entry["bbox"]), entry.get("score"))


def _corners(bbox: Any) -> tuple[float, float, float, float]:
    x, y, width, height = (float(value) for value in bbox)
    return x, y, x + width, y + height
