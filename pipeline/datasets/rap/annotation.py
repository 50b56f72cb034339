"""RAP_annotation.mat, the labels of RAP v2: read, checked field by field, and written.

    RAP_annotation.name             (N, 1) cell of file names
                  .data             (N, 152) labels of each image, see `labels.py`
                  .person_identity  (M, 1), M up to N: person, or -1 without one
                  .partition_reid   train_index, query_index, gallery_index: images from 1

Fields are known by their names. Those for recognising attributes are left alone, and not written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.datasets.layouts import matlab, names
from reid.project.errors import ReidError

FOLDERS = ("RAP_annotation", "RAP_dataset")
MAT = "RAP_annotation/RAP_annotation.mat"
VARIABLE = "RAP_annotation"
LISTS = {"train": "train_index", "query": "query_index", "gallery": "gallery_index"}  # by role
COLUMNS = 152  # of `data`
CAMERAS = 31  # numbers go up to this; 23 are used
NOBODY = -1  # the person of a distractor


@dataclass(frozen=True)
class Annotation:
    """The labels of N images, of which the first M have a person or -1."""

    name: list[str | None]  # (N,); None where a cell holds no text
    data: np.ndarray  # (N, 152) float64, unchecked
    person: np.ndarray  # (M,) float64, unchecked
    lists: dict[str, np.ndarray]  # by role: (L,) float64, images from 1, unchecked


def load(path: Path) -> Annotation:
    """The labels in a .mat file. Raises `ReidError` where a field is missing or of another form."""
    record = _variable(path)
    _check_fields(path, record)
    name = [_text(cell) for cell in np.ravel(record["name"])]
    data = _numbers(path, record, "data")
    if not name or data.shape != (len(name), COLUMNS):
        raise ReidError(
            f"{path}: `data` is {matlab.form(data)} for {len(name):,} names; expected {COLUMNS} "
            "labels for each name"
        )
    person = np.ravel(_numbers(path, record, "person_identity"))
    if len(person) > len(name):
        raise ReidError(
            f"{path}: `person_identity` has {len(person):,} entries for {len(name):,} names"
        )
    partition = _record(path, "partition_reid", record["partition_reid"])
    _check_fields(path, partition, [*LISTS.values()], "partition_reid.")
    lists = {
        role: np.ravel(_numbers(path, partition, name, "partition_reid."))
        for role, name in LISTS.items()
    }
    return Annotation(name, data, person, lists)


def _variable(path: Path) -> np.void:
    data = names.read_labels(path)
    return _record(path, VARIABLE, matlab.variable(path, data, VARIABLE, "RAP", "annotation"))


def _record(path: Path, name: str, value: Any) -> np.void:
    """The one struct of an array of structs."""
    if not isinstance(value, np.ndarray) or value.dtype.names is None or value.size != 1:
        raise ReidError(f"{path}: `{name}` is {matlab.form(value)}; expected one struct")
    return value.ravel()[0]


def _fields(record: np.void) -> Sequence[str]:
    return record.dtype.names or ()


def _check_fields(
    path: Path,
    record: np.void,
    wanted: Sequence[str] = ("name", "data", "person_identity", "partition_reid"),
    prefix: str = "",
) -> None:
    missing = [f"{prefix}{name}" for name in wanted if name not in _fields(record)]
    if missing:
        first = {"person_identity", "partition_reid"} <= set(missing)
        why = "this looks like RAP v1, which names no persons; re-identification needs RAP v2"
        has = f"it has {', '.join(map(names.printable, _fields(record))) or 'none'}"
        raise ReidError(f"{path}: no field {', '.join(missing)}; {why if first else has}")


def _numbers(path: Path, record: np.void, name: str, prefix: str = "") -> np.ndarray:
    """A field as float64. Raises `ReidError` where it holds something else than numbers."""
    return matlab.numbers(path, f"{prefix}{name}", record[name]).astype(np.float64)


def _text(cell: Any) -> str | None:
    """The text in a cell, None where there is none."""
    while isinstance(cell, np.ndarray) and cell.size == 1:
        cell = cell.ravel()[0]
    return str(cell) if isinstance(cell, str) else None


def save(path: Path, annotation: Annotation, write_file: Callable[[Path, bytes], None]) -> None:
    """Write the labels; equal labels give equal bytes."""
    lists = {LISTS[role]: _column(images) for role, images in annotation.lists.items()}
    fields: Mapping[str, Any] = {
        "name": _cells(annotation.name),
        "data": annotation.data,
        "person_identity": _column(annotation.person),
        "partition_reid": lists,
    }
    write_file(path, matlab.saved({VARIABLE: fields}, packed=True))


def _cells(texts: Sequence[str | None]) -> np.ndarray:
    cells = np.empty((len(texts), 1), object)
    cells[:, 0] = texts
    return cells


def _column(values: Any) -> np.ndarray:
    return np.asarray(values, np.float64).reshape(-1, 1)
