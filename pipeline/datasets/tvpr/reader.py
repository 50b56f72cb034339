"""TVPR: a ceiling camera indoors; people pass below it, and come back. Colour and depth, 640 x 480.

The download has recordings (.oni). What is read are the frames extracted from them, and the tables
that the authors' tools write of each recording:

    009/img/84.png      colour of frame 84 of recording 9 (PNG or JPEG)
    009/depth/84.png    its depth: 16-bit PNG, millimetres, 0 = no reading
    009/009_color.csv   009;001;84;2915892              recording; passage; frame; microseconds
    009/009_depth.csv   009;001;84;2936494;1233.0;7;233 the same; height (mm) and x, y of the top
    id.csv              009;001;41                      recording; passage; person

Passages are counted anew in each recording; NULL stands for one where nobody passes. id.csv, which
is ours, says whose they are: people first pass from left to right, then come back. A person's first
passage is camera 1 and what is trained on, the second is camera 2; the recording is the tracklet.
A frame in one table or folder alone is a reject; id.csv must be whole.

Source   Liciotti et al., Person Re-identification Dataset with RGB-D Camera in a Top-View
         Configuration, 2016; tables: github.com/vrai-group/re-identification
"""

from __future__ import annotations

import re
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.datasets.base import ALL_TRACKLETS, Info, Listing, Reader, Reject
from pipeline.datasets.layouts import names
from pipeline.datasets.tvpr.tables import IDS, Passage, cameras_of, joined, read_ids, read_table
from pipeline.datasets.tvpr.writer import write
from reid.project.errors import ReidError

RECORDING = re.compile(r"[0-9]{1,4}")
COLOUR, DEPTH = re.compile(r"([0-9]{1,9})\.(?:png|jpg)"), re.compile(r"([0-9]{1,9})\.png")

PUBLISHED = {"recordings": 23, "identities": 100}
TESTED = {  # persons of the protocol as Lejbolle et al. run it: frames of some are missing
    "train_identities": 94, "query_identities": 94, "gallery_identities": 94,
}  # fmt: skip

INFO = Info(
    title="TVPR",
    layout=f"009/img/84.png, 009/depth/84.png, 009/009_color.csv, 009/009_depth.csv, {IDS}: frames "
    "extracted from the recordings, see docs/data-sets.md",
    published=PUBLISHED,
    licence="no licence comes with it; for research, by request to its authors",
    where="https://pgram.com/dataset/tvpr-top-view-person-re-identification/",
    citation="Liciotti, Paolanti, Frontoni, Mancini, Zingaretti. Person Re-identification Dataset "
    "with RGB-D Camera in a Top-View Configuration. 2016",
)


@dataclass
class Recording:
    """One folder: what its tables and files say. Frames are keyed by number."""

    folder: str
    number: int
    passages: dict[int, int] = field(default_factory=dict)  # frame: passage, in both tables
    colour: dict[int, str] = field(default_factory=dict)  # frame: file
    depth: dict[int, str] = field(default_factory=dict)


def read(root: Path) -> Listing:
    """List the frames in which the tables see somebody; nothing is decoded.

    A frame or row that does not fit is a reject. Raises `ReidError` where id.csv, a table or a
    folder cannot be used.
    """
    rejects: list[Reject] = []
    folders, persons = _folders(root, rejects), read_ids(root / IDS)
    recordings = [_recording(root, name, rejects) for name in folders]
    cameras = cameras_of(persons)
    rejects += _absent(persons, recordings)
    rows: list[dict[str, Any]] = []
    for recording in recordings:
        for frame, number in sorted(recording.passages.items()):
            passage = Passage(recording.number, number)
            reason = _why_no_frame(recording, frame) or _why_nobody(passage, persons, cameras)
            if reason:
                rejects.append(Reject(f"{recording.folder}/img/{frame}", reason))
                continue
            rows.append(_row(recording, frame, persons[passage], cameras[passage]))
    columns = names.columns_of(rows)
    counts = _count(columns)
    return Listing(names.listed(columns), counts, rejects, _protocols(counts))


def _row(recording: Recording, frame: int, person: int, camera: int) -> dict[str, Any]:
    first, colour = camera == 1, recording.colour[frame]
    return {
        "path": f"{recording.folder}/img/{colour}", "part": "train" if first else "test",
        "image_id": f"{recording.folder}/img/{colour.rpartition('.')[0]}", "person": person,
        "train": first, "query": not first, "gallery": first, "camera": camera,
        "tracklet": recording.number, "frame": frame,
        "depth_path": f"{recording.folder}/depth/{recording.depth[frame]}",
    }  # fmt: skip


def _why_no_frame(recording: Recording, frame: int) -> str:
    if frame not in recording.colour:
        return "no colour frame in img/"
    return "" if frame in recording.depth else "no depth frame in depth/"


def _why_nobody(passage: Passage, persons: dict[Passage, int], cameras: dict[Passage, int]) -> str:
    if passage not in persons:
        return f"passage {passage.number} of recording {passage.recording} is not in {IDS}"
    if cameras[passage] > 2:
        return f"passage {cameras[passage]} of person {persons[passage]}; TVPR has two of each"
    return ""


def _absent(persons: dict[Passage, int], recordings: list[Recording]) -> list[Reject]:
    """Passages of id.csv that no frame is of."""
    there = {Passage(r.number, number) for r in recordings for number in r.passages.values()}
    return [
        Reject(f"{IDS}#{p.recording:03d};{p.number:03d}", "no frame of this passage is there")
        for p in sorted(set(persons) - there)
    ]


# ------------------------------------------------------------------------------------ the folders


def _folders(root: Path, rejects: list[Reject]) -> list[str]:
    """Names of the recordings' folders, in order of their numbers; files beside are left alone."""
    try:
        present = sorted(
            p.name for p in root.iterdir() if p.is_dir() and not names.is_clutter(p.name)
        )
    except OSError as error:
        raise ReidError(f"{root}: cannot be read: {error.strerror}") from None
    folders: dict[int, str] = {}
    for name in present:
        if RECORDING.fullmatch(name) is None:
            rejects.append(Reject(names.printable(name), "not a recording's folder such as 009"))
        elif int(name) in folders:
            rejects.append(
                Reject(name, f"recording {int(name)} is in {folders[int(name)]} already")
            )
        else:
            folders[int(name)] = name
    if not folders:
        raise ReidError(f"{root}: no recording's folder such as 009; this is not TVPR, extracted")
    return [name for _, name in sorted(folders.items())]


def _recording(root: Path, folder: str, rejects: list[Reject]) -> Recording:
    home, recording = root / folder, Recording(folder, int(folder))
    colour, depth = (
        read_table(home / f"{folder}_{kind}.csv", recording.number, rejects)
        for kind in ("color", "depth")
    )
    recording.passages, apart = joined(folder, colour, depth)
    rejects += apart
    listed = colour.keys() | depth.keys()
    recording.colour = _frames(home / "img", COLOUR, listed, rejects)
    recording.depth = _frames(home / "depth", DEPTH, listed, rejects)
    return recording


def _frames(
    folder: Path, pattern: re.Pattern[str], listed: Set[int], rejects: list[Reject]
) -> dict[int, str]:
    """Files by frame; what is no frame of the tables is a reject."""
    label = f"{folder.parent.name}/{folder.name}"
    files, odd = names.files_in(folder, label)
    rejects += odd
    frames: dict[int, str] = {}
    for name in files:
        match, reason = pattern.fullmatch(name), ""
        if match is None:
            reason = f"not a frame such as 84.png in {folder.name}/"
        elif int(match[1]) in frames:
            reason = f"frame {int(match[1])} is {frames[int(match[1])]} already"
        elif int(match[1]) not in listed:
            reason = f"frame {int(match[1])} is in neither table"
        if match is None or reason:
            rejects.append(Reject(f"{label}/{names.printable(name)}", reason))
        else:
            frames[int(match[1])] = name
    return frames


# ------------------------------------------------------------------------------ counts, protocol


def _count(columns: dict[str, list[Any]]) -> dict[str, int]:
    people, recordings = columns["person"], columns["tracklet"]
    return {
        "recordings": len(set(recordings)), "identities": len(set(people)), "images": len(people),
        **names.count_roles(columns, ("train", "query", "gallery")),
    }  # fmt: skip


def _protocols(counts: dict[str, int]) -> list[dict[str, Any]]:
    """Second passages are searched among the first, which are what is trained on."""
    return [{
        "name": "tvpr", "title": "TVPR, second passage against first",
        "published": {**PUBLISHED, **TESTED}, "found": counts, "members": "columns",
        "rule": ALL_TRACKLETS, "metrics": ["cmc"],
    }]  # fmt: skip


READER = Reader(info=INFO, read=read, write=write)
