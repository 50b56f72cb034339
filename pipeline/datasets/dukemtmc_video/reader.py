"""DukeMTMC-VideoReID: eight cameras on a campus, tracklets by hand, of varying size.

    train/0001/0003/0001_C6_F0099_X30823.jpg   = person 1, tracklet 3; camera 6, frame 99 of the
                                                 tracklet, frame 30,823 of the camera's video
    query/0005/0012/0005C2F0002X46985.jpg      = the older names, without underscores
    gallery/7139/2193/7139_C2_F0001_D46985.jpg = D for X: of a person without a query

Camera and frame are those of the name; a tracklet may begin at F0001 or F0002. The distractors are
so by their role alone, as in DukeMTMC-reID: their labels are ordinary.

A query that lies in gallery/ too (same person, camera and tracklet, the same names and sizes) is
one tracklet with both roles, listed once, from query/. A gallery tracklet that merely has its
number gets another, 1,000,000 higher. A folder with images of several cameras is a tracklet in
each. Persons in train and in test are rejects. What lies beside the three folders is left alone.

Source   Wu et al., Exploit the Unknown Gradually: One-Shot Video-Based Person Re-identification by
         Stepwise Learning, CVPR 2018; github.com/Yu-Wu/DukeMTMC-VideoReID
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.datasets.base import LISTED, Info, Listing, Reader, Reject
from pipeline.datasets.dukemtmc_video.writer import write
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.tracklets import (
    ROLES,
    Tracklet,
    count_tracklets,
    folders_in,
    queries_without_match,
    tracklet_protocol,
)

__all__ = ["INFO", "locate", "read", "write"]

INNER = "DukeMTMC-VideoReID"  # the folder that the download unpacks to
PERSON = re.compile(r"0{0,3}[1-9][0-9]{0,3}"), "a person's folder such as 0001"
TRACKLET = re.compile(r"[0-9]{1,6}"), "a tracklet's folder such as 0003"
NAME = re.compile(r"([0-9]{4})(_?)C([1-8])\2F([0-9]{4,6})\2[XD][0-9]{1,7}\.jpg")
OTHER_CAMERA = re.compile(r"[0-9]{4}_?C([0-9]+)_?F[0-9]{4,6}_?[XD][0-9]{1,7}\.jpg")
APART = 1_000_000  # added to the number of a gallery tracklet that a query has

PUBLISHED = {
    "train_identities": 702,
    "train_tracklets": 2_196,
    "query_identities": 702,
    "query_tracklets": 702,
    "gallery_identities": 1_110,  # the 702 of the queries, and the distractors
    "gallery_tracklets": 2_636,
    "gallery_distractor_identities": 408,  # persons of the gallery that have no query
}

INFO = Info(
    title="DukeMTMC-VideoReID",
    layout="train/0001/0003/0001_C6_F0099_X30823.jpg (or 0001C6F0099X30823.jpg), query/..., "
    "gallery/... alike",
    published=PUBLISHED,
    licence="none is offered any more; a copy may be bound by the terms that it once came with",
    where="nowhere: the authors of DukeMTMC withdrew it; this reader is for those who hold a copy "
    "and may still use it (ask your institution)",
    citation="Wu, Lin, Dong, Yan, Ouyang, Yang. Exploit the Unknown Gradually: One-Shot Video-"
    "Based Person Re-identification by Stepwise Learning. CVPR 2018; Ristani, Solera, Zou, "
    "Cucchiara, Tomasi. Performance Measures and a Data Set for Multi-Target, Multi-Camera "
    "Tracking. ECCV workshops 2016",
)


@dataclass(frozen=True)
class Sequence:
    """The frames of one tracklet."""

    folder: str  # below the data set's, such as train/0001/0003
    person: int
    camera: int
    number: int
    frames: dict[int, str]  # file names
    roles: tuple[str, ...]

    @property
    def key(self) -> tuple[int, int, int]:
        return self.person, self.camera, self.number


def locate(root: Path) -> Path:
    """The folder that holds train, query and gallery: `root`, or the download's own below it."""
    return names.locate(root, INNER, ROLES, INFO.title)


def read(root: Path) -> Listing:
    """List the images by their folders and names; nothing is decoded.

    `root` is the data set's folder or the one that holds it. What is no frame of a tracklet is a
    reject; a missing or unreadable folder is a `ReidError`, and so are swapped ones.
    """
    home = locate(root)
    below = "" if home == root else f"{INNER}/"
    rejects: list[Reject] = []
    by_role = {role: list(_sequences(home, role, rejects)) for role in ROLES}
    people = {role: {s.person for s in sequences} for role, sequences in by_role.items()}
    names.check_not_swapped(home, people, "train/", "gallery/")
    several = sum(map(_cameras_beyond_one, by_role.values()))
    copies, sequences = _joined(home, by_role)
    sequences = _on_one_side(sequences, rejects)
    tables = [_table(sequence, below) for sequence in sequences]
    counts = {
        **_count(sequences),
        "queries_in_gallery": copies,
        "tracklets_of_two_cameras": several,
    }
    files = pa.concat_tables([LISTED.empty_table(), *tables]).combine_chunks()
    title = "DukeMTMC-VideoReID, one tracklet a query"
    protocol = tracklet_protocol("dukemtmc_video", title, PUBLISHED, counts)
    return Listing(files, counts, rejects, [protocol])


# ------------------------------------------------------------------------------------ the folders


def _sequences(home: Path, role: str, rejects: list[Reject]) -> Iterator[Sequence]:
    """The tracklets of one role, in order of their folders. Persons count from 1."""
    for person, folder in _numbered(home, role, PERSON, rejects):
        for number, tracklet in _numbered(home, folder, TRACKLET, rejects):
            yield from _cameras(home, tracklet, person, number, role, rejects)


def _numbered(
    home: Path, folder: str, form: tuple[re.Pattern[str], str], rejects: list[Reject]
) -> list[tuple[int, str]]:
    """(number, path below `home`) of the folders in a folder; what has no such form is a reject."""
    pattern, expected = form
    folders, odd = folders_in(home / folder, folder, expected)
    rejects += odd
    numbers: dict[int, str] = {}
    for name in folders:
        number, reason = int(name) if pattern.fullmatch(name) else -1, ""
        if number < 0:
            reason = f"not {expected}"
        elif number in numbers:
            reason = f"{number} is {numbers[number]} already"
        if reason:
            rejects.append(Reject(f"{folder}/{names.printable(name)}", reason))
        else:
            numbers[number] = f"{folder}/{name}"
    if not folders and folder.count("/"):
        rejects.append(Reject(folder, "no tracklet"))
    return list(numbers.items())


def _cameras(
    home: Path, folder: str, person: int, number: int, role: str, rejects: list[Reject]
) -> Iterator[Sequence]:
    """The frames in a tracklet's folder, by camera."""
    files, odd = names.files_in(home / folder, folder)
    rejects += odd
    cameras: dict[int, dict[int, str]] = {}
    for name in files:
        match, reason = NAME.fullmatch(name), ""
        if match is None:
            reason = _why_no_name(name)
        elif int(match[1]) != person:
            reason = f"of person {int(match[1])}, in the folder of person {person}"
        else:
            taken = cameras.setdefault(int(match[3]), {}).setdefault(int(match[4]), name)
            reason = "" if taken == name else f"frame {int(match[4])} is {taken} already"
        if reason:
            rejects.append(Reject(f"{folder}/{names.printable(name)}", reason))
    if not files and not odd:
        rejects.append(Reject(folder, "no frame"))
    for camera, frames in sorted(cameras.items()):
        yield Sequence(folder, person, camera, number, dict(sorted(frames.items())), (role,))


def _why_no_name(name: str) -> str:
    other = OTHER_CAMERA.fullmatch(name)
    if other is not None and not 1 <= int(other[1]) <= 8:
        return f"camera {other[1]}; DukeMTMC-VideoReID has cameras 1 to 8"
    return "not a DukeMTMC-VideoReID name such as 0001_C6_F0099_X30823.jpg"


# --------------------------------------------------------------------------- roles and their rows


def _cameras_beyond_one(sequences: list[Sequence]) -> int:
    return len(sequences) - len({s.folder for s in sequences})


def _joined(home: Path, by_role: dict[str, list[Sequence]]) -> tuple[int, list[Sequence]]:
    """Queries that lie in the gallery too, and all tracklets, each with a number of its own."""
    queries = {s.key: s for s in by_role["query"]}
    gallery, copies = [], 0
    for sequence in by_role["gallery"]:
        query = queries.get(sequence.key)
        if query is not None and _same_files(home, query, sequence):
            queries[query.key] = replace(query, roles=("query", "gallery"))
            copies += 1
        elif query is not None:
            gallery.append(replace(sequence, number=sequence.number + APART))
        else:
            gallery.append(sequence)
    return copies, [*by_role["train"], *queries.values(), *gallery]


def _same_files(home: Path, one: Sequence, other: Sequence) -> bool:
    """Whether two tracklets have the same names, and files of the same sizes."""
    if one.frames != other.frames:
        return False
    pairs = ((home / s.folder / name for s in (one, other)) for name in one.frames.values())
    try:
        return all(a.stat().st_size == b.stat().st_size for a, b in pairs)
    except OSError:  # gone since it was listed
        return False


def _on_one_side(sequences: list[Sequence], rejects: list[Reject]) -> list[Sequence]:
    """The tracklets of persons that are in train or in test, not in both."""
    train = {s.person for s in sequences if "train" in s.roles}
    both = train & {s.person for s in sequences if "train" not in s.roles}
    for s in sequences:
        if s.person in both:
            reason = f"person {s.person} is in train and in test"
            rejects += [Reject(f"{s.folder}/{name}", reason) for name in s.frames.values()]
    return [s for s in sequences if s.person not in both]


def _table(sequence: Sequence, below: str) -> pa.Table:
    """The rows of a tracklet."""
    same: dict[str, Any] = {
        "part": "train" if "train" in sequence.roles else "test", "person": sequence.person,
        **{role: role in sequence.roles for role in ROLES}, "camera": sequence.camera,
        "tracklet": sequence.number,
    }  # fmt: skip
    ids = [f"{sequence.folder}/{name[:-4]}" for name in sequence.frames.values()]
    columns = {name: [value] * len(ids) for name, value in same.items()}
    columns |= {"image_id": ids, "path": [f"{below}{i}.jpg" for i in ids]}
    return names.listed({**columns, "frame": list(sequence.frames)})


def _count(sequences: list[Sequence]) -> dict[str, int]:
    tracklets = [Tracklet(s.person, s.camera, len(s.frames), s.roles) for s in sequences]
    counts = count_tracklets(tracklets)
    people = {role: {t.person for t in tracklets if role in t.roles} for role in ROLES}
    counts["gallery_distractor_identities"] = len(people["gallery"] - people["query"])
    return {**counts, "queries_without_match": queries_without_match(tracklets)}


READER = Reader(info=INFO, read=read, write=write, locate=locate)
