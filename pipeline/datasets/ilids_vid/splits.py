"""train_test_splits_ilidsvid.mat: the ten official splits of iLIDS-VID, read, checked and written.

ls_set   (10, 300) numbers; each row holds each of 1 to 300 once: positions in the sorted list
         of the persons' folders. One half of a row is to train, the other to test.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from pipeline.datasets.layouts import matlab, names
from pipeline.datasets.layouts.two_camera_splits import SPLITS
from reid.project.errors import ReidError

FOLDER = "train-test people splits"
FILE = "train_test_splits_ilidsvid.mat"
VARIABLE = "ls_set"
LARGEST = 1_000_000  # bytes; the official file has fewer than 30,000


def find(*folders: Path) -> Path | None:
    """Where the file lies: in one of the folders, or in its own folder there."""
    candidates = [path for folder in folders for path in (folder / FOLDER / FILE, folder / FILE)]
    return next((path for path in candidates if os.path.lexists(path)), None)


def load(path: Path, persons: int) -> list[np.ndarray]:
    """The splits, each (persons,) positions from 1. Raises `ReidError`."""
    table = _variable(path, persons)
    rows = []
    for number, row in enumerate(table, 1):
        wrong = [v for v in row.tolist() if not (1 <= v <= persons and v == int(v))]
        if not wrong:
            values, times = np.unique(row, return_counts=True)
            wrong = [f"{v:g} twice" for v in values[times > 1]]
        if wrong:
            first = wrong[0] if isinstance(wrong[0], str) else f"{wrong[0]:g}"
            raise ReidError(
                f"{path}: row {number} of `{VARIABLE}` must hold each of 1 to {persons} once; it "
                f"has {first}"
            )
        rows.append(row.astype(int))
    return rows


def _variable(path: Path, persons: int) -> np.ndarray:
    data = names.read_labels(path, most=LARGEST)
    value = matlab.variable(path, data, VARIABLE, "iLIDS-VID", "file of splits")
    values = matlab.numbers(path, VARIABLE, value)
    if values.shape != (SPLITS, persons):
        raise ReidError(
            f"{path}: `{VARIABLE}` is {matlab.form(values)}, for {persons} folders of persons; "
            f"expected {SPLITS} x {persons}: its numbers are positions in their whole list"
        )
    return values


def save(path: Path, rows: list[np.ndarray]) -> None:
    """Write splits, each (persons,) positions from 1; equal splits give equal bytes."""
    names.write_file(path, matlab.saved({VARIABLE: np.array(rows, np.float64)}))
