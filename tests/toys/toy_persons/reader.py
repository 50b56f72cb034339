"""Toy persons: a folder for each role, and names that are the labels.

    train/0001_c1_000005.png = person 1, camera 1, image 5 of all

Source  made up, for a test
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.datasets.base import Info, Listing, Reader, Sample, single_query
from pipeline.datasets.layouts import names
from reid.arrays.images import encode_png

FOLDERS = {"train": "train", "query": "query", "gallery": "gallery"}
NAME = re.compile(r"(-1|[0-9]{4})_c([0-9])_[0-9]{6}\.png")
LIMITS = {"person": (-1, 9999), "camera": (0, 9)}
JUNK, DISTRACTOR = -1, 0  # numbers of persons in the gallery

INFO = Info(
    title="Toy persons",
    layout="train/0001_c1_000005.png, query/0002_c1_000006.png, gallery/0002_c2_000007.png",
    published={},
    licence="made up",
    where="tests/toys",
    citation="none",
)


def read(root: Path) -> Listing:
    """List the images by their names; a name of another form is a reject."""
    home = names.locate(root, "toy_persons", FOLDERS.values(), INFO.title)
    below = "" if home == root else "toy_persons/"
    columns, rejects = names.read_folders(home, below, FOLDERS, parse, NAME.fullmatch)
    counts = names.count_roles(columns, FOLDERS) | names.count_nobody(columns, JUNK, DISTRACTOR)
    title = "Toy persons, single query"
    protocol = single_query("toy_persons", title, {}, counts, [JUNK], [DISTRACTOR])
    return Listing(names.listed(columns), counts, rejects, [protocol])


def parse(name: str, role: str) -> tuple[int, int, str]:
    """(person, camera, "") of a file's name, or (0, 0, why it is none)."""
    match = NAME.fullmatch(name)
    if match is None:
        return 0, 0, "not a name such as 0001_c1_000005.png"
    return int(match[1]), int(match[2]), ""


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in this layout; yields the image_id of each, in order."""
    for folder in FOLDERS.values():
        names.new_folder(root / folder)
    for number, sample in enumerate(samples):
        names.check_role(sample.role, FOLDERS)
        names.check_labels(sample, "a toy's name", LIMITS)
        person = "-1" if sample.person == JUNK else f"{sample.person:04d}"
        image_id = f"{sample.role}/{person}_c{sample.camera}_{number:06d}"
        names.write_file(root / f"{image_id}.png", encode_png(sample.image))
        yield image_id


READER = Reader(INFO, read, write)
