r"""Writes a built data set as a Market-1501 folder, which other re-identification code reads.

Reads   the data set's rows under one of its protocols, and their image bytes; depth is left alone
Writes  <out>/bounding_box_train, query, bounding_box_test with 0002_c1s1_000451_03.jpg ...;
        labels.csv: each file's image_id, person and camera as they are in the data set; README.md
Source  Zheng et al., ICCV 2015, for names and folders. torchreid and fast-reid take `*.jpg` of each
        folder and `([-\d]+)_c(\d)` of its whole path, demand persons 0 to 1501 and cameras 1 to 6
        and leave -1 out; layumi's Person_reID_baseline_pytorch takes a name's first four
        characters and the one after its first c.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reid.arrays.images import BadImage, decode, encode_jpeg, kind_of
from reid.data.dataset import ROLES, Data
from reid.data.dataset import open as open_data
from reid.evaluation.protocol import Protocol, protocol_of
from reid.export.folder import new_folder
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.progress import Meter, advance
from reid.shards.manifest import read_manifest
from reid.shards.schema import RANDOM_SPLITS

FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"(-1|[0-9]{4})_c([1-9])s[0-9]_[0-9]{6}_[0-9]{2}")
SEEN = re.compile(r"[-\d]+_c\d")  # what the readers look for in a path
JUNK, DISTRACTOR = -1, 0
LIMITS = {  # what torchreid and fast-reid allow, and what a name holds
    "persons": (1501, 9999),
    "cameras": (6, 9),
}
QUALITY = 95  # of images that are no JPEG
CHUNK = 256  # rows read at a time
COLUMNS = ("file", "image_id", "role", "person", "camera", "written_person", "written_camera",
           "tracklet", "frame")  # fmt: skip


@dataclass(frozen=True)
class Tree:
    """What was written: images by role, and what a reader of it should know."""

    folder: Path
    images: dict[str, int]
    notes: list[str]


@dataclass(frozen=True)
class Labels:
    """The persons and cameras that are written, by those of the data set."""

    person: Mapping[int, int]
    camera: Mapping[int, int]
    notes: list[str]


def write_tree(
    project: Project, dataset: str, out: Path, protocol: str = "", *, wide: bool = False
) -> Tree:
    """Write `dataset` to the new folder `out`, roles by `protocol` or the default one.

    An image with two roles is in both folders. JPEG bytes stay as they are, other images become
    JPEG. `wide` also allows labels that a name can hold but torchreid and fast-reid refuse.
    Raises `ReidError` where labels do not fit, or `out` holds something already.
    """
    _check_path(out)
    data = open_data(project.root / "data", dataset, ["image"])
    data = _under(data, dataset, protocol).complete()
    data = data.choose(np.any([data.labels(role).astype(bool) for role in ROLES], axis=0))
    if not len(data):
        raise ReidError(f"{dataset}: no image has a role in this protocol; nothing to write")
    in_force = protocol_of(data.protocol_in_force())
    labels = _labels(data, in_force, dataset, wide)
    notes = [*_notes(data, in_force, dataset), *labels.notes]
    files = _files(data, labels)
    with new_folder(out) as folder, Meter(f"export {dataset}", len(data), unit="images"):
        notes += _write(folder, data, files)
        _write_labels(folder / "labels.csv", data, files)
        (folder / "README.md").write_text(_readme(dataset, data, notes), "utf-8")
    return Tree(out, {role: sum(f.role == role for f in files) for role in ROLES}, notes)


def _check_path(out: Path) -> None:
    """`ReidError` where readers would take a part of the folder's own path for a label."""
    if match := SEEN.search(f"{out.resolve()}/"):
        raise ReidError(
            f"{out}: torchreid and fast-reid would take `{match[0]}` in its path for a person and "
            "a camera; write into another folder"
        )


def _under(data: Data, dataset: str, protocol: str) -> Data:
    """The rows under a protocol, which must be named where splits are drawn at random."""
    splits = [entry["name"] for entry in data.protocol.get("protocols", [])]
    drawn = any(shard.path.name.startswith(RANDOM_SPLITS) for shard in data.base.shards)
    if drawn and not protocol and len(splits) > 1:
        raise ReidError(
            f"{dataset}: has {len(splits)} splits; name one by --protocol "
            f"({', '.join(splits[:3])}{' ...' if len(splits) > 3 else ''})"
        )
    return data.under(protocol)


# -- labels ----------------------------------------------------------------------------------


def _labels(data: Data, protocol: Protocol, dataset: str, wide: bool) -> Labels:
    """The written person and camera of each label: the label itself, where all fit into names."""
    apart = dict.fromkeys(protocol.distractors, DISTRACTOR) | dict.fromkeys(protocol.junk, JUNK)
    distinct = {
        "persons": sorted({*data.labels("person").tolist()} - apart.keys()),
        "cameras": sorted({*data.labels("camera").tolist()}),
    }
    fitted, notes = {}, []
    for what, values in distinct.items():
        most, wider = LIMITS[what]
        fitted[what] = _fitted(values, wider if wide else most)
        if fitted[what] is None:
            hint = "" if wide else f"; --wide allows {wider:,}, which layumi's code reads"
            raise ReidError(
                f"{dataset}: {len(values):,} {what}, Market-1501's readers take "
                f"{wider if wide else most:,}{hint}"
            )
        if any(old != new for old, new in fitted[what].items()):
            notes.append(f"{what} are numbered anew, 1 to {len(values):,}: see labels.csv")
    return Labels({**fitted["persons"], **apart}, fitted["cameras"], notes)


def _fitted(values: Sequence[int], most: int) -> dict[int, int] | None:
    """Each value as itself where all are 1 to `most`, else numbered; None for more than `most`."""
    if len(values) > most:
        return None
    if all(1 <= value <= most for value in values):
        return {value: value for value in values}
    return {value: number for number, value in enumerate(values, 1)}


def _notes(data: Data, protocol: Protocol, dataset: str) -> list[str]:
    """How the protocol differs from what other readers do with the folder."""
    force = data.protocol_in_force()
    notes = [f"roles are those of {dataset}'s protocol {force.get('name', 'default')}"]
    manifest = read_manifest(data.base.folder)
    if manifest and "source" in manifest:
        source = manifest["source"]
        notes.append(f"images: {source['title']}. Licence: {source['licence']}")
    if protocol.exclude == "same_camera":
        notes.append(
            "by this protocol a query leaves out all images of its camera; other readers leave "
            "out only its own person's, so their figures are lower"
        )
    if protocol.single_shot:
        notes.append("this protocol shows one gallery image of each person; the folder has all")
    if force.get("rule", {}).get("query") == "tracklet":
        notes.append("this protocol compares tracklets; here each frame is an image of its own")
    if not data.labels("query").any():
        notes.append("there are no queries: for training alone")
    return notes


# -- files -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class File:
    """One image of the tree: which row it shows, in which role, and its name less .jpg."""

    row: int
    role: str
    name: str
    person: int
    camera: int

    @property
    def path(self) -> str:
        """Below the tree."""
        return f"{FOLDERS[self.role]}/{self.name}.jpg"


def _files(data: Data, labels: Labels) -> list[File]:
    """All files; with the images' own names where all are Market-1501's with the same labels."""
    persons = [labels.person[p] for p in data.labels("person").tolist()]
    cameras = [labels.camera[c] for c in data.labels("camera").tolist()]
    members = [(role, np.flatnonzero(data.labels(role)).tolist()) for role in ROLES]
    chosen = [(row, role, persons[row], cameras[row]) for role, rows in members for row in rows]
    for _, role, person, _ in chosen:
        if person <= DISTRACTOR and role != "gallery":
            kind = "junk" if person == JUNK else "a distractor"
            raise ReidError(f"an image of {role} is {kind}; those belong in the gallery alone")
    own = [image_id.rpartition("/")[2] for image_id in data.rows["image_id"].to_pylist()]
    kept = [File(row, role, own[row], person, camera) for row, role, person, camera in chosen]
    if all(_is_named_so(file) for file in kept) and len({file.path for file in kept}) == len(kept):
        return kept
    numbers = _running([*zip(persons, cameras, strict=True)])
    return [
        File(row, role, f"{_shown(person)}_c{camera}s1_{numbers[row]:06d}_00", person, camera)
        for row, role, person, camera in chosen
    ]


def _is_named_so(file: File) -> bool:
    """Whether a file's name is Market-1501's, with its own person and camera."""
    match = NAME.fullmatch(file.name)
    return match is not None and (int(match[1]), int(match[2])) == (file.person, file.camera)


def _shown(person: int) -> str:
    return "-1" if person == JUNK else f"{person:04d}"


def _running(keys: Sequence[Any]) -> list[int]:
    """For each key how often it came before."""
    seen: Counter[Any] = Counter()
    numbers = []
    for key in keys:
        numbers.append(seen[key])
        seen[key] += 1
    return numbers


def _write(folder: Path, data: Data, files: Sequence[File]) -> list[str]:
    """Write all images; returns a note where some were encoded anew."""
    for name in FOLDERS.values():
        (folder / name).mkdir(parents=True)
    files_of: dict[int, list[File]] = {}
    for file in files:
        files_of.setdefault(file.row, []).append(file)
    encoded = 0
    for row, raw in _images(data):
        advance()
        image_id = data.rows["image_id"][row].as_py()
        try:
            jpeg = raw if kind_of(raw) == "jpeg" else encode_jpeg(decode(raw), QUALITY)
        except BadImage as error:
            raise ReidError(f"{image_id}: {error}; run `reid verify`") from None
        encoded += jpeg is not raw
        for file in files_of[row]:
            (folder / file.path).write_bytes(jpeg)
    note = f"{encoded:,} images that are no JPEG were encoded as JPEG of quality {QUALITY}: the "
    return [f"{note}readers take *.jpg alone"] if encoded else []


def _images(data: Data) -> Iterator[tuple[int, bytes]]:
    """Row numbers and encoded images, read a chunk at a time."""
    shards, column = data.sources["image"]
    for start in range(0, len(data), CHUNK):
        chosen = data.index[start : start + CHUNK].tolist()
        for row, raw in enumerate(shards.read_many(column, chosen), start):
            yield row, raw or b""


def _write_labels(path: Path, data: Data, files: Sequence[File]) -> None:
    rows = data.rows.select(["image_id", "person", "camera", "tracklet", "frame"]).to_pylist()
    with path.open("w", newline="", encoding="utf-8") as out:
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(COLUMNS)
        for file in files:
            written = {"written_person": file.person, "written_camera": file.camera}
            row = {"file": file.path, "role": file.role, **written, **rows[file.row]}
            writer.writerow([row[name] for name in COLUMNS])


def _readme(dataset: str, data: Data, notes: Sequence[str]) -> str:
    title = f"# {dataset} in Market-1501's layout\n\n"
    counts = "".join(
        f"- {FOLDERS[role]}: {int(data.labels(role).sum()):,} images\n" for role in ROLES
    )
    changed = "".join(f"- {note}\n" for note in notes)
    return f"{title}{counts}\n{changed}\nlabels.csv has each file's own image_id and labels.\n"
