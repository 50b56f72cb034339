"""labels.csv and labels.parquet: one row of labels an image, under named columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.datasets.base import Reject
from pipeline.datasets.folder.labels import INTEGERS, REQUIRED, ROLES, Row, content
from pipeline.datasets.layouts import names
from reid.project.errors import ReidError
from reid.project.names import did_you_mean

COLUMNS = ("path", *INTEGERS, "role", "part", *ROLES, "depth_path")  # `part` is another `role`


def csv_rows(path: Path, rejects: list[Reject]) -> Iterator[Row]:
    """The rows of a CSV file; one of another length than the header is a reject."""
    reader = csv.reader(io.StringIO(content(path), newline=""), strict=True)
    header: list[str] = []
    try:
        for cells in reader:
            position = f"{path.name}:{reader.line_num}"
            if not cells:  # an empty line
                continue
            if not header:
                header = [name.strip() for name in cells]
                _check_columns(path, header)
            elif len(cells) != len(header):
                reason = f"{len(cells)} values in a row; the header names {len(header)}"
                rejects.append(Reject(position, reason))
            else:
                yield Row(position, dict(zip(header, cells, strict=True)))
    except csv.Error as error:
        raise ReidError(
            f"{path}: line {reader.line_num}: {error}; is a quote not closed?"
        ) from None
    if not header:
        raise ReidError(f"{path}: empty; its first line must name {', '.join(REQUIRED)}")


def parquet_rows(path: Path, rejects: list[Reject]) -> Iterator[Row]:
    """The rows of a Parquet file."""
    del rejects  # a Parquet row has all its columns
    try:
        with pq.ParquetFile(path) as file:
            header = file.schema_arrow.names
            _check_columns(path, header)
            batches = (batch.to_pylist() for batch in file.iter_batches())
            for number, values in enumerate(chain.from_iterable(batches), 1):
                yield Row(f"{path.name}:{number}", values)
    except (pa.ArrowException, OSError, ValueError, ArithmeticError, KeyError) as error:
        reason = names.printable(str(error).splitlines()[0] if str(error) else "damaged")
        raise ReidError(f"{path}: cannot be read as Parquet: {reason}") from None


def _check_columns(path: Path, header: list[str]) -> None:
    """Known columns, each once, the required ones among them, and roles in one way."""
    known = f"it may have {', '.join(COLUMNS)}"
    for name in header:
        if name not in COLUMNS:
            hint = "; separate columns by commas" if ";" in name or "\t" in name else ""
            shown = names.printable(name[:60])
            raise ReidError(
                f"{path}: no column `{shown}`{hint}{did_you_mean(name, COLUMNS)} ({known})"
            )
        if header.count(name) > 1:
            raise ReidError(f"{path}: column `{name}` stands there twice")
    missing = [name for name in REQUIRED if name not in header]
    if missing:
        raise ReidError(f"{path}: no column {', '.join(missing)} ({known})")
    ways = [way for way in (("role",), ("part",), ROLES) if set(way) & set(header)]
    if len(ways) > 1:
        columns = ", ".join(name for way in ways for name in way if name in header)
        raise ReidError(f"{path}: columns {columns} give roles in two ways; keep one")
