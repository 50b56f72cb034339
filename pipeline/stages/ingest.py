"""Ingest: a raw data set in its official layout to shards of images and labels.

Reads   0-raw/<dataset> through its reader in pipeline.datasets
Writes  1-shards/<dataset>: rows/, protocol.json, rejects.parquet, manifest.json, README.md
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline import datasets
from pipeline.datasets.base import Listing, Source
from pipeline.datasets.image_source import image_source
from pipeline.engine.data_card import card
from pipeline.engine.plan import libraries
from pipeline.engine.protocols import counts
from pipeline.engine.run import Plan, Task
from reid.arrays import images
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, key_of
from reid.project.params import StageParams
from reid.shards.schema import ORDER, ROW, SCHEMA_VERSION

VERSION = 1


class Params(StageParams):
    reader: str  # a module of pipeline.datasets
    shard_rows: int = Field(2048, ge=1)  # a shard ends at this many rows ...
    shard_megabytes: float = Field(256, gt=0)  # ... or this size of images, never inside a tracklet


def plan(dataset: str, params: Params, project: Project) -> Plan:
    """List the raw files, sort them into shards, and say what makes each."""
    reader = datasets.reader(params.reader)
    root = project.raw(dataset)
    if not root.is_dir():
        raise ReidError(
            f"{root}: no such folder; run `reid world {dataset}` for a rendered world, or "
            f"`reid add {params.reader} --root PATH` for a downloaded data set"
        )
    listing: Listing = reader.read(root)
    if listing.files.num_rows == 0:
        raise ReidError(f"{root}: no image was found for reader {params.reader}")
    source = image_source(root, vars(reader.INFO))
    if source["kind"] == "rendered":  # it is no copy of the data set whose counts are published
        listing.protocols = [{**rule, "published": {}} for rule in listing.protocols]
    columns = columns_of(reader)
    files = _with_sizes(root, listing.files)
    described = {
        "stage": "ingest", "dataset": dataset, "schema_version": SCHEMA_VERSION,
        "stage_version": VERSION, "parameters": {"reader": params.reader}, "columns": columns.names,
        "libraries": libraries(), "source": source,
    }  # fmt: skip
    footer = {
        "reid.stage": "ingest",
        "reid.stage_version": str(VERSION),
        "reid.parameters": json.dumps({"reader": params.reader}),
        "reid.libraries": json.dumps(libraries(), sort_keys=True),
    }
    extra = [f"{field.name} {field.type}" for field in columns][len(ROW) :]
    tasks = []
    for name, piece in shards(files, params):
        content = [piece[c].to_pylist() for c in piece.column_names]
        key = key_of(["ingest", SCHEMA_VERSION, VERSION, params.reader, content, *extra])
        size = pc.sum(piece["size"]).as_py()  # type: ignore[attr-defined]
        tasks.append(Task(name, key, piece.num_rows, size, piece))

    def finish(paths: list[Path], rejects: list[tuple[str, str]]) -> dict[str, bytes]:
        built = counts(paths)
        protocol = {"protocols": listing.protocols, "found": listing.found, "built": built}
        text = card("ingest", dataset, described, paths, rejects, protocol=protocol, source=source)
        return {"protocol.json": as_json(protocol), "README.md": text}

    work = IngestWork(root, params.reader, footer)
    rejects = [(r.image_id, r.reason) for r in listing.rejects]
    return Plan("ingest", dataset, tasks, work, described, params.max_reject_rate, rejects, finish)


def columns_of(reader: ModuleType) -> pa.Schema:
    """The columns of a data set's shards: a row's, and those that it alone has."""
    return pa.schema([*ROW, *getattr(reader, "EXTRA", ())])


def _with_sizes(root: Path, files: pa.Table) -> pa.Table:
    """Add the size and time of each row's files, so that a changed file makes another key.

    Images inside a container (`file#name`) share its size. Depth is added to its image.
    """
    both = np.zeros((files.num_rows, 2), np.int64)
    for column in ("path", "depth_path"):
        both += np.array(_sizes(root, files[column].to_pylist()), np.int64).reshape(-1, 2)
    for name, values in zip(("size", "time"), both.T, strict=True):
        files = files.append_column(name, pa.array(values, pa.int64()))
    return files


def _sizes(root: Path, paths: list[str | None]) -> list[tuple[int, int]]:
    """(bytes, nanoseconds) of each file; 0 where there is none: a reject, when it is read."""
    places = [path and path.split("#")[0] for path in paths]
    shared = Counter(places)
    sizes = []
    for place in places:
        try:
            found = os.stat(f"{root}/{place}") if place else None  # noqa: PTH116  (half of Path's)
        except OSError:  # gone since it was listed
            found = None
        sizes.append((found.st_size // shared[place], found.st_mtime_ns) if found else (0, 0))
    return sizes


def shards(files: pa.Table, params: Params) -> list[tuple[str, pa.Table]]:
    """Sort rows and cut them at the limits, per part, never inside a tracklet."""
    out: list[tuple[str, pa.Table]] = []
    for part in sorted(set(files["part"].to_pylist())):
        rows = files.filter(pc.equal(files["part"], part))  # type: ignore[attr-defined]
        rows = rows.sort_by([(name, "ascending") for name in ORDER])
        cuts = _cuts(rows, params)
        for i, (start, stop) in enumerate(pairwise(cuts)):
            name = f"{part}-{i:05d}-of-{len(cuts) - 1:05d}.parquet"
            out.append((name, rows.slice(start, stop - start).combine_chunks()))
    return out


def _cuts(rows: pa.Table, params: Params) -> list[int]:
    """Where shards begin, and the end."""
    size = rows["size"].to_numpy()
    tracklet = rows["tracklet"].fill_null(-1).to_numpy()
    person, camera = rows["person"].to_numpy(), rows["camera"].to_numpy()
    changed = (np.diff(person) != 0) | (np.diff(camera) != 0) | (np.diff(tracklet) != 0)
    may_cut = np.concatenate([[True], changed | (tracklet[1:] == -1)])
    limit = params.shard_megabytes * 1e6
    cuts, start, total, last = [0], 0, 0, 0  # last: the latest row where a cut is allowed
    sums = np.concatenate([[0], np.cumsum(size)])
    for i in range(1, len(size)):
        if may_cut[i]:
            last = i
        total = sums[i + 1] - sums[start]
        if (i + 1 - start > params.shard_rows or total > limit) and last > start:
            cuts.append(last)
            start = last
    return [*cuts, len(size)]


@dataclass(frozen=True)
class IngestWork:
    """Reads the raw files of one shard, checks each, and keeps their bytes as they are."""

    root: Path
    reader: str
    footer: dict[str, str]

    def start(self) -> Callable[[pa.Table], Any]:
        module = datasets.reader(self.reader)
        opener: Callable[[Path], Source] = getattr(module, "open_source", from_files)
        source, schema = opener(self.root), columns_of(module)

        def function(piece: pa.Table) -> Any:
            columns: dict[str, list[Any]] = {name: [] for name in schema.names}
            rejects: list[tuple[str, str]] = []
            for listed in piece.to_pylist():
                try:
                    row = read_row(source, listed)
                except images.BadImage as error:
                    rejects.append((listed["image_id"], str(error)))
                    continue
                for name in schema.names:
                    columns[name].append(row[name])
            return pa.table(columns, schema=schema), rejects, self.footer

        return function


def from_files(root: Path) -> Source:
    """Images that are files below the raw root."""
    prefix = f"{root}/"

    def read(path: str) -> bytes:  # os.read: half the cost of a file object, 15 us an image
        try:
            file = os.open(prefix + path, os.O_RDONLY)
            try:
                return os.read(file, os.fstat(file).st_size)
            finally:
                os.close(file)
        except OSError as error:
            raise images.BadImage(f"cannot be read: {error.strerror}") from None

    return read


def read_row(source: Source, listed: dict[str, Any]) -> dict[str, Any]:
    """One checked row. Raises `BadImage` with the reason that the reject carries."""
    data = source(listed["path"])
    height, width = images.decode(data).shape[:2]  # decodes wholly: a truncated file is found here
    row = {**listed, "image": {"bytes": data, "path": None}, "image_size": len(data)}
    row |= {"height": height, "width": width, "depth": None, "depth_size": None}
    if listed["depth_path"] is not None:
        depth = source(listed["depth_path"])
        _check_depth(depth, height, width)
        row |= {"depth": {"bytes": depth, "path": None}, "depth_size": len(depth)}
    return row


def _check_depth(data: bytes, height: int, width: int) -> None:
    """Raises `BadImage` where depth is broken, not of its image's size, or without any reading."""
    try:
        depth_mm = images.decode_depth(data)
    except images.BadImage as error:
        raise images.BadImage(f"depth: {error}") from None
    if depth_mm.shape != (height, width):
        found = f"{depth_mm.shape[1]} x {depth_mm.shape[0]}"
        raise images.BadImage(f"depth is {found} pixels, its image {width} x {height}")
    if not depth_mm.any():
        raise images.BadImage("depth has no reading at all")
