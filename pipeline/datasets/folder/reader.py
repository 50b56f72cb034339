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
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

from pipeline.datasets.base import LISTED, Info, Listing, Reader, Reject, single_query
from pipeline.datasets.folder.labels import DISTRACTOR, JUNK, ROLES, Row, Unfit, parse
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
    columns: dict[str, list[Any]] = {field.name: [] for field in LISTED}
    files, first = Files(root), {}
    for row in rows:
        try:
            listed = parse(row.values)
            _check_new(listed, row.place, first)
            files.check(listed["path"])
            if listed["depth_path"] is not None:
                files.check(listed["depth_path"], "depth: ")
        except Unfit as error:
            rejects.append(Reject(_shown(row), str(error)))
            continue
        first[listed["image_id"]] = row.place
        for name, value in listed.items():
            columns[name].append(value)
    _check_roles(root / source, columns, rejects)
    found = names.count_roles(columns, ROLES, JUNK, DISTRACTOR)
    return Listing(names.listed(columns), found, rejects, _protocols(published, found))


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

    def check(self, path: str, label: str = "") -> None:
        """Raises `Unfit` where `path` is no file, or one that lies outside the root."""
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


def _check_new(listed: dict[str, Any], place: str, first: dict[str, str]) -> None:
    earlier = first.get(listed["image_id"])
    if earlier is not None:
        hint = "" if earlier == place else "; columns train, query and gallery give several roles"
        raise Unfit(f"listed before, at {earlier}, with or without another ending{hint}")


def _shown(row: Row) -> str:
    path = row.values.get("path")
    return names.printable(path) if isinstance(path, str) and path else row.place


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


def _protocols(published: dict[str, int], found: dict[str, int]) -> list[dict[str, Any]]:
    """Market-1501's rule, which most later data sets share."""
    title = "roles as labelled, single query"
    return [single_query("folder", title, published, found, [JUNK], [DISTRACTOR])]


READER = Reader(INFO, read, write)
