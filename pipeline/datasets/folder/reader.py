"""One's own images: a table of labels beside them, or names that hold the labels.

    labels.csv      path,person,camera,role
                    cam1/0004.jpg,17,1,train
    labels.parquet  the same columns; optional ones are tracklet, frame, viewpoint, depth_path, and
                    boolean train, query, gallery in place of role where an image has several
    reid.yaml       pattern: '.*/p(?P<person>[0-9]+)_c(?P<camera>[0-9]+)\\.jpg'
                    roles: {train: train, test: [query, gallery]}   # of the folders so named
                    published: {train: 1200}                        # counts to compare with

One of the three. The pattern matches whole paths below the folder and may also have the groups
tracklet, frame, viewpoint and role. As elsewhere, person -1 is junk and 0 a distractor, and both
may be in the gallery alone: number people from 1. An image without a role is left out.

Persons and cameras may be names: they get numbers from 1 on in natural order, which names.json
beside the shards keeps. The images of a tracklet without frame numbers are numbered in the natural
order of their names. A path meets a file whose name is canonically equal in Unicode.
"""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.datasets.base import Info, Listing, Reader, Reject, single_query
from pipeline.datasets.folder.labels import (
    DISTRACTOR,
    JUNK,
    NAMED,
    ROLES,
    Row,
    Unfit,
    name_of,
    natural,
    numbers_of_names,
    parse,
)
from pipeline.datasets.folder.pattern import named_rows, read_config
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
)


def read(root: Path) -> Listing:
    """List the images by their labels; nothing is decoded.

    A row that is not as it should be is a reject with its reason. A `ReidError` where `root` holds
    no labels, or labels that cannot be read, or no train, query or gallery image.
    """
    source = _source(root)
    published: dict[str, int] = {}
    rejects: list[Reject] = []
    if source == "reid.yaml":
        config = read_config(root / source)
        published = config.published
        rows = named_rows(root, config, rejects)
    else:
        rows = (csv_rows if source == "labels.csv" else parquet_rows)(root / source, rejects)
    rows = list(rows)
    numbers = {column: numbers_of_names(rows, column) for column in NAMED}
    good: list[dict[str, Any]] = []
    files, first = Files(root), {}
    for row in rows:
        values = {**row.values, **_numbered(row.values, numbers)}
        try:
            listed = parse(values)
            _check_new(listed, row.position, first)
            listed["path"] = files.check(listed["path"])
            if listed["depth_path"] is not None:
                listed["depth_path"] = files.check(listed["depth_path"], "depth: ")
        except Unfit as error:
            rejects.append(Reject(_shown(row), str(error)))
            continue
        first[listed["image_id"]] = row.position
        good.append(listed)
    notes = [_said(column, by_name) for column, by_name in numbers.items() if by_name]
    good, unordered = _with_frames(good, rejects)
    notes += [unordered] if unordered else []
    columns = names.columns_of(good)
    _check_roles(root / source, columns, rejects)
    counts = names.count_roles(columns, ROLES)
    counts |= names.count_nobody(columns, JUNK, DISTRACTOR)
    protocols = _protocols(published, counts, columns)
    if len(protocols) > 1:
        notes.append(f"all images are of one camera: train with `protocol: {protocols[1]['name']}`")
    named = {f"{column}s": by_name for column, by_name in numbers.items() if by_name}
    return Listing(names.listed(columns), counts, rejects, protocols, notes, named)


def _numbered(values: Mapping[str, Any], numbers: Mapping[str, dict[str, int]]) -> dict[str, int]:
    """The numbers of a row's labels that are names."""
    known = {column: numbers[column].get(name_of(values.get(column))) for column in NAMED}
    return {column: number for column, number in known.items() if number is not None}


def _said(column: str, numbers: dict[str, int]) -> str:
    first = names.printable(next(iter(numbers)))
    return f"{len(numbers)} {column}s by name, numbered from 1 ({first}); names.json has them all"


def _with_frames(
    listed: list[dict[str, Any]], rejects: list[Reject]
) -> tuple[list[dict[str, Any]], str]:
    """Frames for tracklets without any, in the natural order of names, and what to say of them.

    An image without a frame, where others of its tracklet have one, has no position: a reject.
    """
    tracklets: dict[tuple[int, ...], list[dict[str, Any]]] = {}
    for row in listed:
        if row["tracklet"] is not None:
            key = (row["person"], row["camera"], row["tracklet"])
            tracklets.setdefault(key, []).append(row)
    unordered, lost = 0, set()
    for rows in tracklets.values():
        bare = [row for row in rows if row["frame"] is None]
        if len(bare) == len(rows):
            unordered += 1
            bare.sort(key=lambda row: natural(row["image_id"]))
            for number, row in enumerate(bare, 1):
                row["frame"] = number
        elif bare:
            lost |= {row["image_id"] for row in bare}
    for row in listed:
        if row["image_id"] in lost:
            reason = f"no frame, where others of tracklet {row['tracklet']} have one"
            rejects.append(Reject(row["path"], reason))
    said = (
        f"{unordered} tracklets without frame numbers: their images are numbered in the order of "
        "their names (1, 2, ..., 10)"
    )
    kept = [row for row in listed if row["image_id"] not in lost]
    return kept, said if unordered else ""


def _source(root: Path) -> str:
    try:
        present = [name for name in SOURCES if (root / name).is_file()]
    except OSError:  # no right to look, or a name that is too long
        present = []
    if not present:
        raise ReidError(f"{root}: holds none of {', '.join(SOURCES)}; one must give the labels")
    if len(present) > 1:
        raise ReidError(f"{root}: holds {' and '.join(present)}; keep the one that gives labels")
    return present[0]


class Files:
    """Tells files below a root from all else; each folder is resolved once."""

    def __init__(self, root: Path) -> None:
        self.real = os.path.realpath(root).rstrip("/")
        self.folders: dict[str, bool] = {}  # whether a folder lies inside
        self.composed: dict[str, dict[str, str]] = {}  # by folder: names by their composed form

    def check(self, path: str, label: str = "") -> str:
        """The path of a file as the disk spells it: canonically equal in Unicode.

        Raises `Unfit` where `path` is no file, or one that lies outside the root.
        """
        if not path.isascii() and not os.path.lexists(f"{self.real}/{path}"):
            path = self._spelt(path)
        self._check(path, label)
        return path

    def _spelt(self, path: str) -> str:
        """A path with each name as it is on disk, where one of its composed form is there."""
        spelt = ""
        for name in path.split("/"):
            if spelt not in self.composed:
                try:
                    present = sorted(os.listdir(f"{self.real}/{spelt}"))  # noqa: PTH208
                except OSError:
                    present = []
                self.composed[spelt] = {unicodedata.normalize("NFC", n): n for n in present}
            name = self.composed[spelt].get(unicodedata.normalize("NFC", name), name)
            spelt = f"{spelt}/{name}" if spelt else name
        return spelt

    def _check(self, path: str, label: str) -> None:
        full, folder = f"{self.real}/{path}", path.rpartition("/")[0]
        try:
            if folder not in self.folders:
                self.folders[folder] = self._inside(f"{self.real}/{folder}")
            inside = self.folders[folder]
            if inside and stat.S_ISLNK(os.lstat(full).st_mode):
                inside = self._inside(full)
            mode = Path(full).stat().st_mode if inside else 0
        except (FileNotFoundError, NotADirectoryError):
            hint = "; write / between folders" if "\\" in path else ""
            raise Unfit(f"{label}no such file{hint}") from None
        except OSError as error:
            raise Unfit(f"{label}cannot be looked at: {error.strerror}") from None
        if not inside:
            raise Unfit(f"{label}a link that leads out of the data set's folder")
        if not stat.S_ISREG(mode):
            raise Unfit(f"{label}{'a folder' if stat.S_ISDIR(mode) else 'neither file nor folder'}")

    def _inside(self, full: str) -> bool:
        return f"{os.path.realpath(full)}/".startswith(f"{self.real}/")


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


def _check_roles(source: Path, columns: dict[str, list[Any]], rejects: list[Reject]) -> None:
    """Nothing can be trained without train images, or evaluated without queries and a gallery."""
    absent = [role for role in ROLES if not any(columns[role])]
    if not absent:
        return
    good, bad = len(columns["path"]), len(rejects)
    example = f"; first reject: {rejects[0].image_id}: {rejects[0].reason}" if rejects else ""
    if source.name == "reid.yaml":
        how = "give roles by folder, as `roles: {one: train, two: [query, gallery]}`"
    else:
        how = "give roles in a column `role`, or in boolean columns train, query, gallery"
    raise ReidError(f"{source}: no {' and no '.join(absent)} image among {good} good rows and "
                    f"{bad} rejects; {how}{example}")  # fmt: skip


def _protocols(
    published: dict[str, int], counts: dict[str, int], columns: Mapping[str, Sequence[Any]]
) -> list[dict[str, Any]]:
    """Market-1501's, which most later data sets share; of one camera one that needs no other.

    The first protocol leaves out a query's own camera, so that of one camera nothing would be left.
    """
    title = "roles as labelled, single query"
    protocols = [single_query("folder", title, published, counts, [JUNK], [DISTRACTOR])]
    tested = [q or g for q, g in zip(columns["query"], columns["gallery"], strict=True)]
    if len({c for c, test in zip(columns["camera"], tested, strict=True) if test}) == 1:
        title = "roles as labelled, each query with all of the gallery"
        every = single_query("all_pairs", title, published, counts, [JUNK], [DISTRACTOR])
        protocols.append({**every, "rule": {**every["rule"], "exclude": "none"}})
    return protocols


READER = Reader(info=INFO, read=read, write=write)
