"""The ground truth of a rendered world as measures of accuracy read it, and what they give back.

Reads   0-raw/<world>.truth/rows/*.parquet
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reid.arrays.images import BadImage
from reid.project.errors import ReidError
from reid.shards.folder import Shards

NONE = "not the ground truth of a rendered world"
ROWS_AT_ONCE = 256  # of the ground truth in memory


class Measured(NamedTuple):
    """How near a build comes to the ground truth."""

    numbers: dict[str, Any]
    each: dict[str, float]  # by image_id what pictures are chosen by


def rows(truth: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    """Rows of a world's ground truth in the order of its files, a few at a time."""
    paths = sorted((truth / "rows").glob("*.parquet"))
    if not paths:
        raise ReidError(f"{truth}: {NONE}: no rows/*.parquet")
    for path in paths:
        yield from _rows_of(path, columns)


def _rows_of(path: Path, columns: Sequence[str]) -> Iterator[Mapping[str, Any]]:
    try:
        with pq.ParquetFile(path) as file:
            missing = sorted(set(columns) - set(file.schema_arrow.names))
            if missing:
                names = ", ".join(missing)
                raise ReidError(f"{path}: {NONE}: no column {names}")
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(columns)):
                yield from batch.to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise ReidError(f"{path}: {NONE}: {error}") from None


def rows_of_build(
    built: Shards, truth: Path, columns: Sequence[str]
) -> Iterator[tuple[int, Mapping[str, Any]]]:
    """The number of each row of a build, and the ground truth of its image in `columns`.

    `image_id` is among the columns. Images that the build does not have are left out; an image
    of the build that the ground truth does not know is an error.
    """
    names = built.scalars(["image_id"])["image_id"].to_pylist()
    number = {name: index for index, name in enumerate(names)}
    for row in rows(truth, columns):
        index = number.pop(row["image_id"], None)
        if index is not None:
            yield index, row
    for name in number:
        raise ReidError(f"{truth}: knows nothing of {name}, an image of {built.folder}")


def decoded(
    decode: Callable[[bytes], np.ndarray], data: bytes, folder: Path, image_id: str
) -> np.ndarray:
    """What `decode` makes of the bytes, or an error that says whose they are."""
    try:
        return decode(data)
    except BadImage as error:
        raise ReidError(f"{folder}: {image_id}: {error}") from None


def mean(values: Sequence[float] | np.ndarray) -> float | None:
    """The mean to four digits, None of nothing."""
    return round(float(np.mean(values)), 4) if len(values) else None
