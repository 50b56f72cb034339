# pyarrow, whose fields pass through here, has no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""Check a built data set: is every file, row and image what its manifest and columns say?

Reads   manifest.json, protocol.json and rows/ of one folder in 1-shards or 2-derived
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from reid.arrays import images
from reid.arrays.flow import decode_flow
from reid.project.errors import ReidError
from reid.project.layout import sha256_of
from reid.shards import schema
from reid.shards.folder import Shard, compare_rows
from reid.shards.manifest import Entry, listed_of, read_manifest
from reid.shards.protocol import PROTOCOL, read_protocols

THREADS = min(8, os.cpu_count() or 1)  # decoders release the interpreter lock
BATCH_ROWS = 256
DECODERS = {"depth": images.decode_depth, "flow": decode_flow}  # of other columns than pictures


class Problem(NamedTuple):
    """One thing that is wrong; `row` counts from 0 in the file, None where the file is meant."""

    file: str
    row: int | None
    what: str

    def __str__(self) -> str:
        return f"{self.file}{'' if self.row is None else f', row {self.row:,}'}: {self.what}"


def verify(folder: Path, base: Path | None = None) -> list[Problem]:
    """All problems of a built folder, none where it is sound.

    `base` is the folder in 1-shards that a derived folder keeps the rows of; without it the rows
    must have the base schema's order where they have its columns.
    """
    try:
        manifest = listed_of(folder)
    except ReidError as error:
        return [Problem("manifest.json", None, str(error))]
    if manifest is None:
        return [Problem("manifest.json", None, f"{folder}: not built yet; run `dvc repro`")]
    problems = [*_texts(folder, "stage" in manifest)]
    listed = {entry["name"]: entry for entry in manifest["shards"]}
    present = {path.name for path in (folder / "rows").glob("*")}
    problems += [
        Problem(n, None, "in the manifest, not in rows/") for n in listed if n not in present
    ]
    problems += [Problem(n, None, "in rows/, not in the manifest") for n in present - set(listed)]
    for name in sorted(present & set(listed)):
        problems += _verify_file(folder / "rows" / name, listed[name], base)
    return sorted(problems, key=lambda p: (p.file, -1 if p.row is None else p.row, p.what))


def _texts(folder: Path, ours: bool) -> Iterator[Problem]:
    """What is wrong with protocol.json, and with the whole manifest where a stage wrote it."""
    readers = {"manifest.json": read_manifest if ours else listed_of, PROTOCOL: read_protocols}
    for name, read in readers.items():
        try:
            read(folder)
        except ReidError as error:
            yield Problem(name, None, str(error).removeprefix(f"{folder / name}: "))


def _verify_file(path: Path, entry: Entry, base: Path | None) -> Iterator[Problem]:
    name = path.name
    size = path.stat().st_size
    if size != entry["bytes"]:
        yield Problem(name, None, f"{size:,} bytes, the manifest has {entry.get('bytes')}")
    if sha256_of(path) != entry["sha256"]:
        yield Problem(name, None, "content differs from the manifest's sha256")
    try:
        shard = Shard(path)
        if shard.num_rows != entry["rows"]:
            yield Problem(
                name, None, f"{shard.num_rows} rows, the manifest has {entry.get('rows')}"
            )
        if base is None:
            yield from _order(shard)
        else:
            compare_rows(Shard(base / "rows" / name), shard)
        yield from _fields(shard)
        yield from _pictures(shard)
    except ReidError as error:
        yield Problem(name, None, str(error).removeprefix(f"{path}: "))


def _fields(shard: Shard) -> Iterator[Problem]:
    """Columns that the base schema names have its types; image columns have their sizes."""
    name = shard.path.name
    for field in shard.schema:
        known = schema.ROW.field(field.name) if field.name in schema.ROW.names else field
        if field.type != known.type:
            yield Problem(name, None, f"`{field.name}` is {field.type}, not {known.type}")
        if schema.is_bytes_column(field) and f"{field.name}_size" not in shard.columns:
            yield Problem(name, None, f"`{field.name}` has no `{field.name}_size`")
    if "image_id" not in shard.columns:
        yield Problem(name, None, "no column `image_id`")


def _order(shard: Shard) -> Iterator[Problem]:
    """Rows are sorted by the schema's order, and no image is there twice; nulls come last."""
    names = [name for name in schema.ORDER if name in shard.columns]
    if "person" not in names:
        return
    columns = [column.to_pylist() for column in shard.table(names).columns]
    keys = [tuple((v is None, v) for v in values) for values in zip(*columns, strict=True)]
    for row, (before, after) in enumerate(itertools.pairwise(keys), start=1):
        if not before < after:
            yield Problem(shard.path.name, row, f"not sorted by {', '.join(names)}")
            return


def _pictures(shard: Shard) -> Iterator[Problem]:
    """Every image is where its size says, and decodes to the height and width of its row."""
    columns = [f.name for f in shard.schema if schema.is_bytes_column(f)]
    shape = shard.table([n for n in ("height", "width") if n in shard.columns]).to_pydict()
    with ThreadPoolExecutor(THREADS) as pool:
        for column in columns:
            sizes = list(zip(*shape.values(), strict=True)) if len(shape) == 2 else []
            expected = sizes if column == "image" else []
            for first in range(0, shard.num_rows, BATCH_ROWS):
                rows = range(first, min(first + BATCH_ROWS, shard.num_rows))
                data = shard.read_many(column, rows)
                wrong = pool.map(_fault, itertools.repeat(column), data)
                for row, (fault, size) in zip(rows, wrong, strict=True):
                    if fault is None and size is not None and expected and size != expected[row]:
                        fault = f"{size} pixels, the row has {expected[row]}"
                    if fault is not None:
                        yield Problem(shard.path.name, row, f"`{column}`: {fault}")


def _fault(column: str, data: bytes | None) -> tuple[str | None, tuple[int, ...] | None]:
    """(what is wrong, (height, width)) of one encoded image; an absent one is sound."""
    if data is None:
        return None, None
    try:
        decode = DECODERS.get(column, images.decode)
        return None, decode(data).shape[:2]
    except images.BadImage as error:
        return str(error), None
