"""One's own images: a table of labels beside them, or names that hold the labels.

    labels.csv      path,person,camera,role
                    cam1/0004.jpg,17,1,train
    labels.parquet  the same columns; optional ones are tracklet, frame, viewpoint, depth_path, and
                    boolean train, query, gallery in place of role where an image has several
    reid.yaml       pattern: '.*/p(?P<person>[0-9]+)_c(?P<camera>[0-9]+)\\.jpg'
                    roles: {train: train, test: [query, gallery]}   # of the folders so named
                    published: {train: 1200}                        # counts to compare with

One of the three; where `split` of the ingest's parameters draws the roles, none is needed for names
person/camera_frame.jpg. The pattern matches whole paths below the folder and may also have the
groups tracklet, frame, viewpoint and role. As elsewhere, person -1 is junk and 0 a distractor, and
both may be in the gallery alone: number people from 1. An image without a role is left out.

Persons and cameras may be names: they get numbers from 1 on in natural order, which names.json
beside the shards keeps. The images of a tracklet without frame numbers are numbered in the natural
order of their names. A path meets a file whose name is canonically equal in Unicode.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.datasets.base import Info, Listing, Reader, Reject, Split, single_query
from pipeline.datasets.folder import split as splitting
from pipeline.datasets.folder.files import Files
from pipeline.datasets.folder.labels import (
    DISTRACTOR,
    JUNK,
    NAMED,
    ROLES,
    Row,
    Unfit,
    image_id_of,
    name_of,
    natural,
    numbers_of_names,
    parse,
    path_of,
)
from pipeline.datasets.folder.pattern import Config, named_rows, read_config
from pipeline.datasets.folder.tables import csv_rows, parquet_rows
from pipeline.datasets.folder.writer import write
from pipeline.datasets.layouts import names
from reid.project.errors import ReidError

SOURCES = ("labels.csv", "labels.parquet", "reid.yaml")

INFO = Info(
    title="A folder of one's own",
    layout="labels.csv or labels.parquet (path, person, camera, role: train, query or gallery), or "
    "reid.yaml (pattern with groups person and camera, roles of folders), beside the images",
    published={},  # reid.yaml may hold them
    licence="the images' own",
    where="your own disk",
    citation="none",
    kind="own images",
)


def read(root: Path) -> Listing:
    """List the images by their labels; nothing is decoded.

    A row that is not as it should be is a reject with its reason. A `ReidError` where `root` holds
    no labels, or labels that cannot be read, or no train, query or gallery image.
    """
    return _read(root, None)


def split(root: Path, how: Split) -> Listing:
    """The same, where the labels give no roles: `how` says how they are drawn."""
    return _read(root, how)


def _read(root: Path, how: Split | None) -> Listing:
    source = _source(root, how is not None)
    config = Config(splitting.PATTERN, {}, {})
    if source == "reid.yaml":
        config = read_config(root / source)
    rejects: list[Reject] = []
    # Read twice, the names of labels first: a row is held only as what is listed of it.
    numbers, again = _survey(_rows(root, source, config, how, []))
    packed, on_disk = names.Packed(), Files(root)
    first: dict[str, str] = {}  # where an image_id stands that may come again
    for row in _rows(root, source, config, how, rejects):
        values = {**row.values, **_numbered(row.values, numbers)}
        try:
            listed = parse(values)
            _check_new(listed, row.position, first)
            listed["path"] = on_disk.check(listed["path"])
            if listed["depth_path"] is not None:
                listed["depth_path"] = on_disk.check(listed["depth_path"], "depth: ")
        except Unfit as error:
            rejects.append(Reject(_shown(row), str(error)))
            continue
        if hash(listed["image_id"]) in again:
            first[listed["image_id"]] = row.position
        packed.add(listed)
    notes = [_said(column, by_name) for column, by_name in numbers.items() if by_name]
    files, unordered = _with_frames(packed.table(), rejects)
    notes += [unordered] if unordered else []
    if how:
        splitting.check_any(root, source, files, rejects)
        files = splitting.draw(files, how)
        notes.append(splitting.described(how))
    _check_roles(root / source, files, rejects)
    counts = names.count_roles(files, ROLES)
    counts |= names.count_nobody(files, JUNK, DISTRACTOR)
    title = splitting.described(how) if how else "roles as labelled"
    protocols = _protocols(title, config.published, counts, files)
    if len(protocols) > 1:
        notes.append(f"all images are of one camera: train with `protocol: {protocols[1]['name']}`")
    named = {f"{column}s": by_name for column, by_name in numbers.items() if by_name}
    return Listing(files, counts, rejects, protocols, notes, named)


def _rows(
    root: Path, source: str, config: Config, how: Split | None, rejects: list[Reject]
) -> Iterator[Row]:
    """What `source` gives of each image; without roles where these are drawn."""
    if source in ("labels.csv", "labels.parquet"):
        rows = (csv_rows if source == "labels.csv" else parquet_rows)(root / source, rejects)
    else:
        rows = named_rows(root, config, rejects, _matched(source))
    return (splitting.without_roles(root / source, row) for row in rows) if how else rows


def _survey(rows: Iterable[Row]) -> tuple[dict[str, dict[str, int]], set[int]]:
    """Numbers for the names of persons and cameras, where labels are names, and the hashes of
    image_ids that more than one row has."""
    labels: dict[str, set[str]] = {column: set() for column in NAMED}
    hashes = array("q")  # 8 bytes a row
    for row in rows:
        for column, found in labels.items():
            found.add(name_of(row.values.get(column)))
        with suppress(Unfit):
            hashes.append(hash(image_id_of(path_of(row.values))))
    numbers = {column: numbers_of_names(found, column) for column, found in labels.items()}
    return numbers, set(names.repeated(np.asarray(hashes)).tolist())


def _numbered(values: Mapping[str, Any], numbers: Mapping[str, dict[str, int]]) -> dict[str, int]:
    """The numbers of a row's labels that are names."""
    known = {
        column: by_name.get(name_of(values.get(column)))
        for column, by_name in numbers.items()
        if by_name
    }
    return {column: number for column, number in known.items() if number is not None}


def _said(column: str, numbers: dict[str, int]) -> str:
    first = names.printable(next(iter(numbers)))
    return f"{len(numbers)} {column}s by name, numbered from 1 ({first}); names.json has them all"


def _with_frames(files: pa.Table, rejects: list[Reject]) -> tuple[pa.Table, str]:
    """Frames for tracklets without any, in the natural order of names, and what to say of them.

    An image without a frame, where others of its tracklet have one, has no position: a reject.
    """
    bare = files["frame"].is_null().to_numpy()
    if not (bare & files["tracklet"].is_valid().to_numpy()).any():
        return files, ""
    labels = [files[name].fill_null(-1).to_numpy() for name in ("tracklet", "camera", "person")]
    order, (tracklet, *_) = np.lexsort(labels), labels
    frame, unordered = files["frame"].fill_null(0).to_numpy().copy(), 0
    kept = np.ones(len(frame), bool)
    for start, stop in pairwise(names.runs(*(label[order] for label in labels))):
        rows = order[start:stop]
        if tracklet[rows[0]] == -1 or not bare[rows].any():
            continue
        if bare[rows].all():
            unordered += 1
            image_ids = files["image_id"].take(rows).to_pylist()
            ranked = sorted(range(len(rows)), key=lambda row: natural(image_ids[row]))
            frame[rows[ranked]] = np.arange(1, len(rows) + 1)
            bare[rows] = False
        else:
            kept[rows[bare[rows]]] = False
    for lost in files.select(["path", "tracklet"]).filter(~kept).to_pylist():
        reason = f"no frame, where others of tracklet {lost['tracklet']} have one"
        rejects.append(Reject(lost["path"], reason))
    field = files.schema.get_field_index("frame")
    frames = pa.array(frame, files.schema.field(field).type, mask=bare)
    files = files.set_column(field, files.schema.field(field), frames)
    said = (
        f"{unordered} tracklets without frame numbers: their images are numbered in the order of "
        "their names (1, 2, ..., 10)"
    )
    return files if kept.all() else files.filter(kept), said if unordered else ""


def _matched(source: str) -> str:
    return f"the pattern of {source}" if source else f"names such as {splitting.NAMES}"


def _source(root: Path, split: bool) -> str:
    """The file that gives the labels; '' where names do, which only a `split` allows."""
    if not names.is_folder(root):
        raise ReidError(f"{root}: no such folder")
    try:
        present = [name for name in SOURCES if (root / name).is_file()]
    except OSError:  # no right to look, or a name that is too long
        present = []
    if not present:
        if split:
            return ""
        raise ReidError(
            f"{root}: holds none of {', '.join(SOURCES)}; one must give the labels, or with "
            f"--split the names, {splitting.NAMES}"
        )
    if len(present) > 1:
        raise ReidError(f"{root}: holds {' and '.join(present)}; keep the one that gives labels")
    return present[0]


def _check_new(listed: dict[str, Any], position: str, first: dict[str, str]) -> None:
    earlier = first.get(listed["image_id"])
    if earlier is not None:
        hint = (
            "" if earlier == position else "; columns train, query and gallery give several roles"
        )
        raise Unfit(f"listed before, at {earlier}, with or without another ending{hint}")


def _shown(row: Row) -> str:
    path = row.values.get("path")
    return names.printable(path) if isinstance(path, str) and path else row.position


def _check_roles(source: Path, files: pa.Table, rejects: list[Reject]) -> None:
    """Nothing can be trained without train images, or evaluated without queries and a gallery."""
    absent = [role for role in ROLES if not pc.any(files[role]).as_py()]  # type: ignore[attr-defined]
    if not absent:
        return
    good, bad = files.num_rows, len(rejects)
    example = f"; first reject: {rejects[0].image_id}: {rejects[0].reason}" if rejects else ""
    if source.name == "reid.yaml":
        how = "give roles by folder, as `roles: {one: train, two: [query, gallery]}`"
    else:
        how = "give roles in a column `role`, or in boolean columns train, query, gallery"
    raise ReidError(f"{source}: no {' and no '.join(absent)} image among {good} good rows and "
                    f"{bad} rejects; {how}{example}")  # fmt: skip


def _protocols(
    roles: str, published: dict[str, int], counts: dict[str, int], files: pa.Table
) -> list[dict[str, Any]]:
    """Market-1501's, which most later data sets share; of one camera one that needs no other.

    The first protocol leaves out a query's own camera, so that of one camera nothing would be left.
    """
    title = f"{roles}, single query"
    protocols = [single_query("folder", title, published, counts, [JUNK], [DISTRACTOR])]
    tested = pc.or_(files["query"], files["gallery"])  # type: ignore[attr-defined]
    if len(files["camera"].filter(tested).unique()) == 1:
        title = f"{roles}, each query with all of the gallery"
        every = single_query("all_pairs", title, published, counts, [JUNK], [DISTRACTOR])
        protocols.append({**every, "rule": {**every["rule"], "exclude": "none"}})
    return protocols


READER = Reader(info=INFO, read=read, write=write, split=split)
