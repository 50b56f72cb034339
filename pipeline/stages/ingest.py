"""Ingest: a raw data set in its official layout to shards of images and labels.

The bytes of JPEG and PNG stay as they are. An image that its camera says to turn is turned, and
BMP, WebP, TIFF and 16-bit gray become PNG of 8 bits a channel, so that every reader sees the same
pixels in the row's height and width; depth is turned as its image.

Reads   0-raw/<dataset> through its reader in pipeline.datasets
Writes  1-shards/<dataset>: rows/, protocol.json, rejects.parquet, manifest.json, README.md
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field

from pipeline import datasets
from pipeline.datasets.base import Listing, Reader, Source, Split, check_target
from pipeline.datasets.image_source import image_source
from pipeline.datasets.layouts.names import repeated
from pipeline.engine import code as codes
from pipeline.engine.data_card import card
from pipeline.engine.executors.work import Work
from pipeline.engine.plan import libraries
from pipeline.engine.protocols import counts
from pipeline.engine.run import Plan, Task
from reid.arrays import images
from reid.code.fingerprint import Code
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, key_of
from reid.project.params import StageParams
from reid.project.progress import advance
from reid.shards.folder import MAX_PAGE, Shard
from reid.shards.protocol import with_digest
from reid.shards.schema import IMAGE, ORDER, ROW, SCHEMA_VERSION

NEAREST_MM = 100  # no depth sensor sees a person that is nearer as a whole
THREADS, AT_ONCE = 8, 4_096  # that wait for the file system, and files for one at a time
CHANGED = "reid.changed"  # in a shard's footer: how many of its images by `CHANGES`
CHANGES = {  # of `images.storable`
    "turned": "images turned by their EXIF orientation, and stored as PNG",
    "converted": "images of BMP, WebP, TIFF or 16-bit gray stored as PNG of 8 bits",
}


class Params(StageParams):
    reader: str  # a module of pipeline.datasets
    split: float | None = Field(None, gt=0, lt=1)  # persons that train, of labels without roles
    split_seed: int = Field(0, ge=0)
    shard_rows: int = Field(2048, ge=1)  # a shard ends at this many rows ...
    shard_megabytes: float = Field(256, gt=0)  # ... or this size of images, never inside a tracklet


def plan(dataset: str, params: Params, project: Project, former: Code | None = None) -> Plan:
    """List the raw files, sort them into shards, and say what makes each.

    Tasks also tell the keys that they had under the `former` code.
    """
    reader = datasets.reader(params.reader)
    root = project.raw(dataset)
    if not root.is_dir():
        check_target(root)
        raise ReidError(
            f"{root}: no such folder; run `reid world {dataset}` for a rendered world, or "
            f"`reid add {params.reader} --root PATH` for a downloaded data set"
        )
    listing = listed(reader, params, root)
    if listing.files.num_rows == 0:
        raise ReidError(f"{root}: no image was found for reader {params.reader}")
    source = image_source(root, vars(reader.info))
    if source["kind"] == "rendered":  # it is no copy of the data set whose counts are published
        listing.protocols = [{**rule, "published": {}} for rule in listing.protocols]
    columns = reader.columns()
    files = _with_sizes(root, listing.files)
    parameters = _told(params)
    described = {
        "stage": "ingest", "dataset": dataset, "schema_version": SCHEMA_VERSION,
        "parameters": parameters, "columns": columns.names,
        "libraries": libraries(), "source": source,
    }  # fmt: skip
    footer = {
        "reid.stage": "ingest",
        "reid.parameters": json.dumps(parameters),
        "reid.libraries": json.dumps(libraries(), sort_keys=True),
    }
    extra = [f"{field.name} {field.type}" for field in columns][len(ROW) :]
    code = codes.of_reader(params.reader, project)
    described |= {"code": code.fingerprint, "texts": codes.of_texts(project)}
    described["protocols"] = key_of(
        [listing.protocols, listing.found, listing.notes, listing.names]
    )
    tasks = []
    for name, rows in shards(files, params):
        piece = rows()
        content = [piece[c].to_pylist() for c in piece.column_names]
        content = ["ingest", SCHEMA_VERSION, params.reader, content, *extra]
        key = key_of([code.fingerprint, content])
        old_key = key_of([former.fingerprint, content]) if former else ""
        size = pc.sum(piece["size"]).as_py()  # type: ignore[attr-defined]
        tasks.append(Task(name, key, piece.num_rows, size, rows, old_key))

    told = {"protocols": listing.protocols, "found": listing.found}
    notes, numbered = listing.notes, listing.names  # not the listing: its rows are the tasks'

    def finish(paths: list[Path], rejects: list[tuple[str, str]]) -> dict[str, bytes]:
        protocol: dict[str, Any] = {**told, "built": counts(paths)}
        if all_notes := [*notes, *_changes(paths)]:
            protocol["notes"] = all_notes
        text = card("ingest", dataset, described, paths, rejects, protocol=protocol, source=source)
        files = {"protocol.json": as_json(with_digest(protocol)), "README.md": text}
        return {**files, "names.json": as_json(numbered)} if numbered else files

    work = IngestWork(root, params.reader, footer)
    rejects = [(r.image_id, r.reason) for r in listing.rejects]
    return Plan(
        "ingest", dataset, tasks, work, described, params.max_reject_rate, code, rejects, finish
    )


def listed(reader: Reader, params: Params, root: Path) -> Listing:
    """What a reader lists; with roles drawn at random where the parameters say so."""
    if params.split is None:
        return reader.read(root)
    if reader.split is None:
        raise ReidError(
            f"split: the data sets of reader {params.reader} have roles of their own; it is for "
            "reader folder"
        )
    return reader.split(root, Split(params.split, params.split_seed))


def _told(params: Params) -> dict[str, Any]:
    """The parameters that decide the rows, as the manifest and the data card have them."""
    split = {} if params.split is None else params.model_dump(include={"split", "split_seed"})
    return {"reader": params.reader, **split}


def _changes(paths: list[Path]) -> list[str]:
    """What was done to images so that every reader sees the same pixels, counted in the shards."""
    counted: Counter[str] = Counter()
    for path in paths:
        counted.update(json.loads(Shard(path).metadata.get(CHANGED, "{}")))
    return [f"{counted[change]} {words}" for change, words in CHANGES.items() if counted[change]]


def _with_sizes(root: Path, files: pa.Table) -> pa.Table:
    """Add the size and time of each row's files, so that a changed file makes another key.

    Images inside a container (`file#name`) share its size. Depth is added to its image.
    """
    both = _sizes(root, files["path"])
    both += _sizes(root, files["depth_path"])
    for name, values in zip(("size", "time"), both.T, strict=True):
        files = files.append_column(name, pa.array(values, pa.int64()))
    return files


def _sizes(root: Path, paths: pa.ChunkedArray) -> np.ndarray:
    """(rows, 2) bytes and nanoseconds of each file; 0 where there is none: a reject, when read."""
    present, paths = paths.is_valid().to_numpy(), paths.drop_null()
    status, hashes = np.zeros((len(paths), 2), np.int64), np.zeros(len(paths), np.int64)

    def ask(first: int) -> None:
        rows = slice(first, first + AT_ONCE)
        files = [path.partition("#")[0] for path in paths[rows].to_pylist()]
        known = {file: _status(f"{root}/{file}") for file in dict.fromkeys(files)}
        status[rows] = [known[file] for file in files]
        hashes[rows] = [hash(file) for file in files]

    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(ask, range(0, len(paths), AT_ONCE)):
            pass
    again = repeated(hashes.copy())
    if len(again):  # a file of several rows: its bytes in equal shares
        shared = np.isin(hashes, again)
        files = pc.replace_substring_regex(paths.filter(shared), "(?s)#.*", "")  # type: ignore[attr-defined]
        file = files.combine_chunks().dictionary_encode().indices.to_numpy()
        status[shared, 0] //= np.bincount(file)[file]
    told = np.zeros((len(present), 2), np.int64)
    told[present] = status
    return told


def _status(file: str) -> tuple[int, int]:
    with suppress(OSError):  # gone since it was listed
        status = os.stat(file)  # noqa: PTH116  (half of Path's)
        return status.st_size, status.st_mtime_ns
    return 0, 0


@dataclass(frozen=True)
class Rows:
    """The rows of one shard: taken from those of all when they are asked for, or go to a worker."""

    files: pa.Table  # all rows
    order: pa.Array  # which of them

    def __call__(self) -> pa.Table:
        return self.files.take(self.order)

    def __reduce__(self) -> tuple[Any, ...]:
        return Rows, (self(), pa.array(range(len(self.order))))


def shards(files: pa.Table, params: Params) -> list[tuple[str, Rows]]:
    """Sort rows and cut them at the limits, per part, never inside a tracklet."""
    out: list[tuple[str, Rows]] = []
    files = files.combine_chunks()
    order = pc.sort_indices(files, [(name, "ascending") for name in ("part", *ORDER)])  # type: ignore[attr-defined]
    labels = files.select(["size", "tracklet", "person", "camera"])
    for part in sorted(files["part"].unique().to_pylist()):
        count = pc.sum(pc.equal(files["part"], part)).as_py()  # type: ignore[attr-defined]
        own, order = order[:count], order[count:]
        cuts = _cuts(labels.take(own), params)
        for i, (start, stop) in enumerate(pairwise(cuts)):
            name = f"{part}-{i:05d}-of-{len(cuts) - 1:05d}.parquet"
            out.append((name, Rows(files, own[start:stop])))
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
class IngestWork(Work):
    """Reads and checks the raw files of one shard; what `images.storable` makes of each is kept."""

    root: Path
    reader: str
    footer: dict[str, str]

    def start(self) -> Callable[[pa.Table], Any]:
        reader = datasets.reader(self.reader)
        source, schema = reader.open_source(self.root), reader.columns()

        def function(piece: pa.Table) -> Any:
            rows: list[int] = []  # of `piece`, whose images are sound
            image, depth, shapes = Encoded("image"), Encoded("depth"), list[tuple[int, int]]()
            changed: Counter[str] = Counter()
            rejects: list[tuple[str, str]] = []
            listed = zip(*(piece[c].to_pylist() for c in ("path", "depth_path")), strict=True)
            for row, (path, depth_path) in enumerate(listed):
                advance()
                try:
                    read = read_images(source, path, depth_path)
                except images.BadImage as error:
                    rejects.append((piece["image_id"][row].as_py(), str(error)))
                    continue
                rows.append(row)
                image.add(read.image)
                depth.add(read.depth)
                shapes.append((read.height, read.width))
                changed.update([read.changed] if read.changed else [])
            said = {CHANGED: json.dumps(changed, sort_keys=True)} if changed else {}
            height, width = np.array(shapes, np.int32).reshape(-1, 2).T
            told = {**image.columns(), **depth.columns()}
            told |= {"height": pa.array(height), "width": pa.array(width)}
            listed = piece.take(pa.array(rows, pa.int64()))
            columns = [
                told[f.name] if f.name in told else listed[f.name].cast(f.type) for f in schema
            ]
            return pa.table(columns, schema=schema), rejects, {**self.footer, **said}

        return function


class Images(NamedTuple):
    """What the files of one row hold, checked."""

    image: bytes
    changed: str  # how `images.storable` changed it
    height: int  # pixels
    width: int
    depth: bytes | None


def read_images(source: Source, path: str, depth_path: str | None) -> Images:
    """The images of one listed row. Raises `BadImage` with the reason that the reject carries."""
    data, changed = images.storable(source(path))
    height, width = images.decode(data).shape[:2]  # decodes wholly: a truncated file is found here
    depth = None
    if depth_path is not None:
        depth, _ = images.storable(source(depth_path), depth=True)
        _check_depth(depth, height, width)
    return Images(data, changed, height, width, depth)


class Encoded:
    """The column `name` of encoded images, laid into one buffer as they come."""

    def __init__(self, name: str) -> None:
        self.name, self.data, self.sizes = name, bytearray(), list[int | None]()

    def add(self, data: bytes | None) -> None:
        """The next row's image, None where it has none."""
        if len(self.data) + len(data or b"") > MAX_PAGE:
            raise ReidError(
                f"`{self.name}`: a shard of more than 2 GiB; choose fewer shard_megabytes"
            )
        self.data += data or b""
        self.sizes.append(None if data is None else len(data))

    def columns(self) -> dict[str, pa.Array]:
        """The column, and that of its sizes; null where there is no image."""
        sizes = pa.array(self.sizes, pa.int32())
        ends = np.cumsum([0, *(size or 0 for size in self.sizes)], dtype=np.int32)
        buffers = [sizes.buffers()[0], pa.py_buffer(ends), pa.py_buffer(self.data)]
        values = pa.Array.from_buffers(pa.binary(), len(sizes), buffers)
        paths = pa.nulls(len(sizes), pa.string())
        fields = [IMAGE.field(n) for n in range(IMAGE.num_fields)]
        cells = pa.StructArray.from_arrays([values, paths], fields=fields, mask=sizes.is_null())
        return {self.name: cells, f"{self.name}_size": sizes}


def _check_depth(data: bytes, height: int, width: int) -> None:
    """Raises `BadImage` where depth is broken, not of its image's size, empty, or in metres."""
    try:
        depth_mm = images.decode_depth(data)
    except images.BadImage as error:
        raise images.BadImage(f"depth: {error}") from None
    if depth_mm.shape != (height, width):
        size = f"{depth_mm.shape[1]} x {depth_mm.shape[0]}"
        raise images.BadImage(f"depth is {size} pixels, its image {width} x {height}")
    if not depth_mm.any():
        raise images.BadImage("depth has no reading at all")
    if depth_mm.max() < NEAREST_MM:
        farthest = f"depth of at most {depth_mm.max()} mm"
        raise images.BadImage(f"{farthest}: is it in metres? It must be in millimetres")
