"""Helpers for data sets whose labels are in folder and file names. Names are not to be trusted:
they may be links to nothing, no files at all, or no text."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.datasets.base import LISTED, Reject, Sample
from reid.project.errors import ReidError

PACKED = 8_192  # rows that are Python's own objects at a time
CLUTTER = {"thumbs.db", "ehthumbs.db", "desktop.ini", ".ds_store", ".directory", "@eadir"}


def is_clutter(name: str) -> bool:
    """Whether a desktop left this file behind (thumbnails, folder settings, resource forks)."""
    return name.lower() in CLUTTER or name.startswith("._")


def printable(name: str) -> str:
    """A name as one line of valid text; what is not printable is escaped."""
    if name.isprintable():
        return name
    text = os.fsencode(name).decode("utf-8", "backslashreplace")
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text
    )


def locate(root: Path, inner: str, folders: Collection[str], title: str) -> Path:
    """The folder that holds `folders`: `root` itself, or `inner` below it.

    Raises `ReidError` where one of the folders is missing, and where two of them are one folder.
    """
    expected = f"expected {', '.join(f'{name}/' for name in folders)}"
    what = f"{'an' if title[0] in 'aeiAEI' else 'a'} {title} download ({expected})"
    if not is_folder(root):
        raise ReidError(f"{root}: no such folder; this is not {what}")
    home = root
    if not any(is_folder(root / name) for name in folders) and is_folder(root / inner):
        home = root / inner
    missing = [name for name in folders if not is_folder(home / name)]
    if missing:
        names = ", ".join(missing)
        raise ReidError(f"{home}: no folder {names}; this is not {what}")
    real = {name: os.path.realpath(home / name) for name in folders}
    for name, target in real.items():  # a link from test to train would go unseen, and leak
        twins = [other for other in real if other > name and real[other] == target]
        if twins:
            raise ReidError(f"{home}: {name} and {twins[0]} are links to one and the same folder")
    return home


def is_folder(path: Path) -> bool:
    """Whether there is such a folder, and one may look."""
    try:
        return path.is_dir()
    except OSError:  # no right to look, or a name that is too long
        return False


def is_file(path: Path) -> bool:
    """Whether there is such a file, and one may look."""
    try:
        return path.is_file()
    except OSError:
        return False


def files_in(folder: Path, label: str) -> tuple[list[str], list[Reject]]:
    """Sorted names of the files in `folder`; all else but clutter is rejected with its reason.

    Folders are not descended into. `label` is the folder's path in the rejects' ids. Raises
    `ReidError` where the folder cannot be read.
    """
    return entries_in(folder, label, _why_no_file)


def entries_in(
    folder: Path, label: str, why_not: Callable[[os.DirEntry[str]], str]
) -> tuple[list[str], list[Reject]]:
    """Sorted names of what lies in `folder` and `why_not` says "" of; likewise."""
    names: list[str] = []
    rejects: list[Reject] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if is_clutter(entry.name):
                    continue
                try:
                    reason = why_not(entry)
                except OSError as error:  # such as a link to itself
                    reason = f"cannot be looked at: {error.strerror}"
                if reason:
                    rejects.append(Reject(f"{label}/{printable(entry.name)}", reason))
                else:
                    names.append(entry.name)
    except OSError as error:
        raise ReidError(
            f"{folder}: cannot be read ({error.strerror}); check the folder's access rights"
        ) from None
    return sorted(names), sorted(rejects)


def read_folders(
    home: Path,
    below: str,
    folders: Mapping[str, str],
    parse: Callable[[str, str], tuple[int, int, str]],
    has_form: Callable[[str], Any],
) -> tuple[dict[str, list[Any]], list[Reject]]:
    """Listed columns and rejects of JPEG images that lie in one folder a role.

    `folders` by role; `parse(name, role)` gives person, camera and why the name is rejected, empty
    where it is not. A rejected name that differs from another file's in case or ending alone is
    called a duplicate of it, if that one `has_form`. Paths begin with `below`.
    """
    rows: list[dict[str, Any]] = []
    rejects: list[Reject] = []
    for role, folder in folders.items():
        files, odd = files_in(home / folder, folder)
        rejects += odd
        known = set(files)
        for name in files:
            person, camera, reason = parse(name, role)
            if reason:
                twin = f"{name.rpartition('.')[0].lower()}.jpg"
                if twin != name and twin in known and has_form(twin):
                    reason = f"duplicate of {twin}"
                rejects.append(Reject(f"{folder}/{printable(name)}", reason))
                continue
            rows.append({
                "path": f"{below}{folder}/{name}", "part": "train" if role == "train" else "test",
                "image_id": f"{folder}/{name[:-4]}", "person": person, "camera": camera,
                **{other: other == role for other in folders},
            })  # fmt: skip
    return columns_of(rows), rejects


def count_roles(columns: Mapping[str, Any], roles: Collection[str]) -> dict[str, int]:
    """Images and identities by role, of listed columns; junk and distractors are no identities."""
    counts: dict[str, int] = {}
    for role, people in persons_of(columns, roles).items():
        counts[role] = len(people)
        counts[f"{role}_identities"] = len(np.unique(people[people > 0]))
    return counts


def count_nobody(columns: Mapping[str, Any], junk: int, distractor: int) -> dict[str, int]:
    """The gallery's images of persons that are none."""
    people = persons_of(columns, ["gallery"])["gallery"]
    of = {"gallery_distractors": distractor, "gallery_junk": junk}
    return {name: int(np.count_nonzero(people == nobody)) for name, nobody in of.items()}


def persons_of(columns: Mapping[str, Any], roles: Collection[str]) -> dict[str, np.ndarray]:
    """The person of each image of a role, by role; of columns that are lists or Arrow's."""
    person = np.asarray(columns["person"], np.int64)
    return {role: person[np.asarray(columns[role], bool)] for role in roles}


def check_not_swapped(home: Path, people: Mapping[str, set[int]], train: str, gallery: str) -> None:
    """`ReidError` where the folders called `train` and `gallery` are swapped: no name tells them
    apart, but queries have their matches in the gallery."""
    if people["query"] & people["train"] and not people["query"] & people["gallery"]:
        raise ReidError(f"{home}: the persons of query/ are in {train} and none is in {gallery}; "
                        "the two folders are swapped")  # fmt: skip


def _why_no_file(entry: os.DirEntry[str]) -> str:
    """Empty for a file or a link to one."""
    if entry.is_file():
        return ""
    if entry.is_dir():
        return "a folder among the images"
    return "a link to nothing" if entry.is_symlink() else "neither file nor folder"


def columns_of(rows: Sequence[Mapping[str, Any]], *further: str) -> dict[str, list[Any]]:
    """The columns of `LISTED`, and `further` ones, of rows; what a row does not have is null."""
    return {name: [row.get(name) for row in rows] for name in (*LISTED.names, *further)}


def listed(columns: Mapping[str, Sequence[Any]]) -> pa.Table:
    """A table of `LISTED` from lists of equal length; a nullable column may be left out."""
    rows = len(columns["image_id"])
    arrays = [
        pa.array(columns[f.name], f.type) if f.name in columns else pa.nulls(rows, f.type)
        for f in LISTED
    ]
    return pa.table(arrays, schema=LISTED)


class Packed:
    """Rows of `LISTED` as they come, packed into Arrow's columns by some thousands."""

    def __init__(self) -> None:
        self.rows: list[Mapping[str, Any]] = []
        self.columns = {name: list[pa.Array]() for name in LISTED.names}

    def add(self, row: Mapping[str, Any]) -> None:
        self.rows.append(row)
        if len(self.rows) == PACKED:
            self._pack()

    def table(self) -> pa.Table:
        """All rows, each column in one piece; they are no longer held here."""
        self._pack()
        arrays: list[pa.Array] = []
        for name in LISTED.names:
            arrays.append(pa.concat_arrays(self.columns.pop(name)))
            pa.default_memory_pool().release_unused()  # one column is there twice, not all
        return pa.table(arrays, schema=LISTED)

    def _pack(self) -> None:
        for field in LISTED:
            values = [row[field.name] for row in self.rows]
            self.columns[field.name].append(pa.array(values, field.type))
        self.rows.clear()


def repeated(hashes: np.ndarray) -> np.ndarray:
    """The values that occur more than once. Sorts `hashes` in place."""
    hashes.sort()
    return np.unique(hashes[1:][hashes[1:] == hashes[:-1]])


def runs(*columns: np.ndarray) -> np.ndarray:
    """Where runs of equal rows begin in sorted columns of equal length, and the end."""
    begins = np.zeros(len(columns[0]) + 1, bool)
    begins[[0, -1]] = True
    for column in columns:
        begins[1:-1] |= column[1:] != column[:-1]
    return np.flatnonzero(begins)


def check_regular(path: Path) -> None:
    """Raises `OSError` where `path` is a pipe, a socket or a device: reading it may never end."""
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise OSError(errno.EINVAL, "a pipe or a device, not a file")


def read_file(path: Path) -> bytes:
    """The bytes of a file. Raises `OSError`, also where it is neither file nor folder."""
    check_regular(path)
    return path.read_bytes()


def read_labels(path: Path, hint: str = "", most: int | None = None) -> bytes:
    """The bytes of a file of labels, `most` at most; `ReidError`, with the hint, otherwise."""
    try:
        if most is not None and path.stat().st_size > most:
            raise ReidError(f"{path}: has more than {most:,} bytes; this is not {path.name}")
        return read_file(path)
    except OSError as error:
        raise ReidError(f"{path}: cannot be read: {error.strerror}{hint}") from None


def check_role(role: str, roles: Collection[str]) -> None:
    """`ReidError` where a sample to write has another role."""
    if role not in roles:
        raise ReidError(f"no role `{role}` (there are {', '.join(roles)})")


def check_labels(sample: Sample, title: str, limits: Mapping[str, tuple[int, int]]) -> None:
    """`ReidError` where a label of a sample to write is outside its limits."""
    for label, (low, high) in limits.items():
        value = getattr(sample, label)
        if not low <= value <= high:
            raise ReidError(f"{label} {value} does not fit {title} ({low} to {high:,})")


def new_folder(folder: Path) -> None:
    """Make `folder` for writing. Raises `ReidError` where it cannot be made or is not empty."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        raise ReidError(f"{folder}: cannot be made: {error.strerror}") from None
    if used:
        raise ReidError(f"{folder}: not empty; write into a new folder")


def write_file(path: Path, data: bytes) -> None:
    """Write one file. Raises `ReidError` where it cannot be written."""
    try:
        path.write_bytes(data)
    except OSError as error:
        raise ReidError(f"{path}: cannot be written: {error.strerror}") from None
