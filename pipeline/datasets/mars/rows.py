"""MARS's tracklets, names and files brought together: what of them is rows, and what is not.

A tracklet of info/ is used where its lines, person and camera are possible. A name in it must be of
its person, camera and number T, and must be a file of its person's folder; each that is not, and
each file that no such tracklet names, is a reject of its own, and the other frames stay.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.datasets.base import Reject
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.tracklets import ROLES, Tracklet, folders_in
from pipeline.datasets.mars.info import Part, list_of, table_of
from reid.project.errors import ReidError

FOLDERS = {"train": "bbox_train", "test": "bbox_test"}  # by part
START = re.compile(r"(?:00-1|[0-9]{4})C[1-6]T[0-9]{4}")  # of a name: 11 characters
NAME = re.compile(START.pattern + r"F[0-9]{3}\.jpg")
PERSON = re.compile(r"00-1|[0-9]{4}")  # a folder
JUNK, DISTRACTOR, CAMERAS = -1, 0, 6
NO_NAME = "not a MARS name such as 0001C1T0001F001.jpg"


@dataclass
class Rows:
    """What the tracklets of one part come to."""

    tables: list[pa.Table] = field(default_factory=list)  # of `LISTED`, one for each person
    tracklets: list[Tracklet] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    misfits: Counter[str] = field(default_factory=Counter)  # names and files that do not fit

    def reject(self, kind: str, image_id: str, reason: str) -> None:
        self.misfits[kind] += 1
        self.rejects.append(Reject(image_id, reason))


@dataclass
class Person:
    """One person's folder."""

    folder: str  # below the data set's
    files: set[str]
    odd: set[str]  # ids of what is there and no file
    used: dict[str, int] = field(default_factory=dict)  # names that are rows, by tracklet from 1
    refused: set[str] = field(default_factory=set)  # names that are rejects

    @property
    def label(self) -> str:
        return self.folder.rpartition("/")[2]


def match(home: Path, below: str, part: Part, queries: Set[int], elsewhere: Set[int]) -> Rows:
    """The rows of one part; `below` is in front of their paths.

    `queries` are rows of the part's tracklets, from 0, `elsewhere` the persons of the other part.
    Raises `ReidError` where not one frame is left.
    """
    rows, label = Rows(), FOLDERS[part.name]
    persons = _by_person(part, elsewhere, rows)
    strangers = set(_strangers(part, persons))
    folders, odd = folders_in(home / label, label, "persons' folders such as 0001")
    rows.rejects += odd
    tracks = {folder_of(person): tracks for person, tracks in persons.items()}
    for name in sorted({*folders, *tracks}):
        if PERSON.fullmatch(name) is None:
            reason = "not a person's folder such as 0001"
            rows.rejects.append(Reject(f"{label}/{names.printable(name)}", reason))
            continue
        files, odd = [], []
        if name in folders:
            files, odd = names.files_in(home / label / name, f"{label}/{name}")
            rows.rejects += odd
        person = Person(f"{label}/{name}", set(files), {reject.image_id for reject in odd})
        _use(part, tracks.get(name, []), queries, person, below, rows)
        _leave(files, person, strangers, table_of(part.name), rows)
    if not rows.tracklets:
        _refuse(home, part, rows)
    return rows


def folder_of(person: int) -> str:
    """The folder of a person, which begins the names of the images too."""
    return "00-1" if person == JUNK else f"{person:04d}"


def _by_person(part: Part, elsewhere: Set[int], rows: Rows) -> dict[int, list[int]]:
    """The tracklets that can be used, from 0, by person."""
    persons: dict[int, list[int]] = {}
    for row, (first, last, person, camera) in enumerate(part.tracks.tolist()):
        reason = ""
        if not 1 <= first <= last <= len(part.lines):
            reason = f"lines {first} to {last}; {list_of(part.name)} has {len(part.lines):,}"
        elif not JUNK <= person <= 9999:
            reason = f"person {person}; MARS has 1 to 9999, 0 for distractors, -1 for junk"
        elif not 1 <= camera <= CAMERAS:
            reason = f"camera {camera}; MARS has cameras 1 to {CAMERAS}"
        elif person <= DISTRACTOR and part.name == "train":  # would be a class of its own
            kind = "junk" if person == JUNK else "a distractor"
            reason = f"person {person} is {kind}, which belongs in {FOLDERS['test']}"
        elif person in elsewhere:
            reason = f"person {person} is in train and in test"
        if reason:
            rows.rejects.append(Reject(f"{table_of(part.name)}#{row + 1}", reason))
        else:
            persons.setdefault(person, []).append(row)
    return persons


def _strangers(part: Part, persons: dict[int, list[int]]) -> Iterator[str]:
    """Names in a tracklet of another person: rejects there, and not once more in their folder."""
    for person, tracks in persons.items():
        start = folder_of(person)
        for row in tracks:
            first, last = part.tracks[row, :2].tolist()
            yield from (n for n in part.lines[first - 1 : last] if not n.startswith(start))


def _use(
    part: Part, tracks: list[int], queries: Set[int], person: Person, below: str, rows: Rows
) -> None:
    """Add a person's rows, and the rejects among the names of his tracklets."""
    taken: dict[tuple[int, int], int] = {}  # (camera, T): tracklet, from 1
    columns: dict[str, list[Any]] = {}
    for row in tracks:
        first, last, who, camera = part.tracks[row].tolist()
        lines = part.lines[first - 1 : last]
        start = _start(lines, f"{person.label}C{camera}")
        number = int(start[7:] or -1)
        if start[7:] and taken.setdefault((camera, number), row + 1) != row + 1:
            reason = f"{start} is tracklet {taken[camera, number]} already"
            rows.rejects.append(Reject(f"{table_of(part.name)}#{row + 1}", reason))
            continue
        frames = list(_frames(part, lines, first, row + 1, start, person, rows))
        if frames:
            roles = _roles(part.name, who, row in queries)
            rows.tracklets.append(Tracklet(who, camera, len(frames), roles))
            _append(columns, f"{below}{person.folder}", person.folder, frames, {
                "part": part.name, "person": who, "camera": camera, "tracklet": number,
                **{role: role in roles for role in ROLES},
            })  # fmt: skip
    if columns:
        rows.tables.append(names.listed(columns))


def _start(lines: list[str], who: str) -> str:
    """What most of the names begin with that are of `who`, such as 0001C1T0002; `who` for none."""
    starts = Counter(name[:11] for name in lines if name.startswith(who))
    known = [start for start in starts if START.fullmatch(start)]
    return min(known, key=lambda start: (-starts[start], start), default=who)


def _frames(
    part: Part, lines: list[str], first: int, tracklet: int, start: str, person: Person, rows: Rows
) -> Iterator[str]:
    """The names of a tracklet that are of it and are there; `first` is the number of their line."""
    for number, name in enumerate(lines, first):
        reason = ""
        if NAME.fullmatch(name) is None:
            reason = NO_NAME
        elif not name.startswith(start):
            reason = f"{name} in tracklet {tracklet}, which is {start}"
        elif name in person.used:
            reason = f"{name} is in tracklet {person.used[name]} already"
        if reason:
            person.refused.add(name)
            rows.reject("names_that_disagree", f"{list_of(part.name)}#{number}", reason)
        elif name in person.files:
            person.used[name] = tracklet
            yield name
        elif f"{person.folder}/{name}" not in person.odd:
            rows.reject("names_without_file", f"{person.folder}/{name}", "no such file")


def _roles(part: str, person: int, query: bool) -> tuple[str, ...]:
    """The roles under the first protocol: queries are not in the gallery, and junk is nowhere."""
    if part == "train":
        return ("train",)
    return ("query",) if query else () if person == JUNK else ("gallery",)


def _append(
    columns: dict[str, list[Any]], path: str, folder: str, frames: list[str], same: dict[str, Any]
) -> None:
    """Add the frames of one tracklet to the columns; `same` is what they share."""
    own = {
        "path": [f"{path}/{name}" for name in frames],
        "image_id": [f"{folder}/{name[:-4]}" for name in frames],
        "frame": [int(name[12:15]) for name in frames],
    }
    for column, values in own.items():
        columns.setdefault(column, []).extend(values)
    for column, value in same.items():
        columns.setdefault(column, []).extend([value] * len(frames))


def _leave(files: list[str], person: Person, strangers: Set[str], table: str, rows: Rows) -> None:
    """The files of a person that are no rows, and of which nothing was said yet."""
    for name in files:
        if name in person.used or name in person.refused or name in strangers:
            continue
        reason = f"in no tracklet of {table} that can be used"
        if NAME.fullmatch(name) is None:
            reason = NO_NAME
        elif not name.startswith(person.label):
            reason = f"in the folder of {person.label}"
        rows.reject("files_without_tracklet", f"{person.folder}/{names.printable(name)}", reason)


def _refuse(home: Path, part: Part, rows: Rows) -> None:
    """Raises `ReidError`: not one frame is left."""
    lost, listed = rows.misfits["names_without_file"], list_of(part.name)
    what = f"no tracklet of {table_of(part.name)} agrees with the names of {listed}"
    if lost:
        what = f"none of the {lost:,} images of {listed} is in {FOLDERS[part.name]}/"
    first = rows.rejects[0]
    raise ReidError(f"{home}: {what}; first reject: {first.image_id}: {first.reason}")
