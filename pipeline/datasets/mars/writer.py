"""Writes samples as MARS; what is read back is said in `mars`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

from pipeline.datasets.base import Sample
from pipeline.datasets.layouts import names
from pipeline.datasets.mars import info as mars_info
from pipeline.datasets.mars.rows import CAMERAS, DISTRACTOR, FOLDERS, JUNK, folder_of
from reid.arrays.images import encode_jpeg
from reid.project.errors import ReidError

LIMITS = {"person": (JUNK, 9999), "camera": (1, CAMERAS), "tracklet": (1, 9999), "frame": (1, 999)}
PARTS = {"train": "train", "query": "test", "gallery": "test"}  # by role


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in the official layout; yields the image_id of each, in order.

    A sample's tracklet is the T of its name and its frame the F, both from 1; all frames of a
    tracklet have one role. The files of info/ follow the last image. Folders must be new or empty.
    Raises `ReidError` where a label does not fit into a name or to those before, and where there
    is no training or no query tracklet.
    """
    for folder in (*FOLDERS.values(), mars_info.FOLDER):
        names.new_folder(root / folder)
    roles: dict[tuple[int, int, int], str] = {}  # by person, camera and tracklet
    parts: dict[int, str] = {}  # by person
    written: dict[str, list[str]] = {part: [] for part in FOLDERS}  # names
    for sample in samples:
        _check(sample, roles, parts)
        part, name = PARTS[sample.role], f"{stem(sample)}.jpg"
        folder = root / FOLDERS[part] / folder_of(sample.person)
        if not folder.is_dir():
            names.new_folder(folder)
        if (folder / name).exists():
            raise ReidError(f"{folder}: two images {name}; give them frames or tracklets")
        data = encode_jpeg(sample.image) if sample.encoded is None else sample.encoded
        names.write_file(folder / name, data)
        written[part].append(name)
        yield f"{FOLDERS[part]}/{folder.name}/{name[:-4]}"
    _write_info(root, written, {_key(*key) for key, role in roles.items() if role == "query"})


def stem(sample: Sample) -> str:
    """A sample's official name without its ending, such as 0001C1T0002F003."""
    names.check_labels(sample, "MARS", LIMITS)
    return f"{_key(sample.person, sample.camera, sample.tracklet)}F{sample.frame:03d}"


def _key(person: int, camera: int, tracklet: int) -> str:
    return f"{folder_of(person)}C{camera}T{tracklet:04d}"


def _check(sample: Sample, roles: dict[tuple[int, int, int], str], parts: dict[int, str]) -> None:
    names.check_role(sample.role, PARTS)
    if sample.person <= DISTRACTOR and sample.role != "gallery":
        raise ReidError(f"person {sample.person} may be in the gallery, not in {sample.role}")
    if parts.setdefault(sample.person, PARTS[sample.role]) != PARTS[sample.role]:
        raise ReidError(f"person {sample.person} is in train and in test")
    key = (sample.person, sample.camera, sample.tracklet)
    if roles.setdefault(key, sample.role) != sample.role:
        raise ReidError(f"tracklet {_key(*key)} is {roles[key]} and {sample.role}")


def _write_info(root: Path, written: dict[str, list[str]], queries: set[str]) -> None:
    tracks: dict[str, list[tuple[int, int, int, int]]] = {part: [] for part in FOLDERS}
    rows: list[int] = []
    for part, lines in written.items():
        lines.sort()
        last = 0
        for start, group in groupby(lines, key=lambda name: name[:11]):
            first, last = last + 1, last + len(list(group))
            person = JUNK if start.startswith(folder_of(JUNK)) else int(start[:4])
            tracks[part].append((first, last, person, int(start[5])))
            if start in queries:
                rows.append(len(tracks[part]))
    if not tracks["train"] or not rows:
        raise ReidError(f"{root}: MARS has training and query tracklets; one of them is missing")
    mars_info.save(root, written, tracks, rows)
