"""Market-1501: six cameras in front of a supermarket, boxes by hand and by a detector, 128 x 64.

    bounding_box_train/0002_c1s1_000451_03.jpg = person 2, camera 1, sequence 1, frame 451, box 3
    bounding_box_test/-1_c1s1_000401_03.jpg    = junk: a poor box, of no influence on any figure
    bounding_box_test/0000_c1s1_000151_01.jpg  = distractor: a wrong match for every query
    query/0001_c1s1_001051_00.jpg              = person 1; box 0 is drawn by hand

gt_bbox/, gt_query/ and all else beside the three folders is left alone.

Source   Zheng et al., Scalable Person Re-identification: A Benchmark, ICCV 2015
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pipeline.datasets.base import Info, Listing, Reader, Sample, single_query
from pipeline.datasets.layouts import names
from reid.arrays.images import encode_jpeg
from reid.project.errors import ReidError

INNER = "Market-1501-v15.09.15"  # the folder that the download unpacks to
FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
NAME = re.compile(r"(-1|[0-9]{4})_c([1-6])s[0-9]_[0-9]{6}_[0-9]{2}\.jpg")
OTHER_CAMERA = re.compile(r"(?:-1|[0-9]{4})_c([0-9]+)s[0-9]_[0-9]{6}_[0-9]{2}\.jpg")
JUNK, DISTRACTOR = -1, 0
LIMITS = {"person": (JUNK, 9999), "camera": (1, 6), "tracklet": (0, 9), "frame": (0, 999_999)}

PUBLISHED = {
    "train": 12_936,
    "train_identities": 751,
    "query": 3_368,
    "query_identities": 750,
    "gallery": 19_732,  # of which good 13,115
    "gallery_identities": 750,
    "gallery_distractors": 2_798,  # the data set's page says 2,793; this is counted in its files
    "gallery_junk": 3_819,
}

INFO = Info(
    title="Market-1501",
    layout="bounding_box_train/0002_c1s1_000451_03.jpg, query/0001_c1s1_001051_00.jpg, "
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    published=PUBLISHED,
    licence="no licence comes with it; its authors ask that research that uses it cites them",
    where="https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html",
    citation="Zheng, Shen, Tian, Wang, Wang, Tian. Scalable Person Re-identification: "
    "A Benchmark. ICCV 2015",
)


def locate(root: Path) -> Path:
    """The folder that holds the three image folders: `root`, or the download's own below it."""
    return names.locate(root, INNER, FOLDERS.values(), INFO.title)


def read(root: Path) -> Listing:
    """List the images by their names; nothing is decoded.

    `root` is the data set's folder or the one that holds it. A file whose name is not of the data
    set is a reject; a missing or unreadable folder is a `ReidError`.
    """
    home = locate(root)
    below = "" if home == root else f"{INNER}/"
    columns, rejects = names.read_folders(home, below, FOLDERS, parse, NAME.fullmatch)
    counts = names.count_roles(columns, FOLDERS)
    counts |= names.count_nobody(columns, JUNK, DISTRACTOR)
    return Listing(names.listed(columns), counts, rejects, _protocols(counts))


def parse(name: str, role: str) -> tuple[int, int, str]:
    """(person, camera, "") of a file's name, or (0, 0, why it does not belong in the folder)."""
    match = NAME.fullmatch(name)
    if match is None:
        other = OTHER_CAMERA.fullmatch(name)
        if other is not None:
            return 0, 0, f"camera {other[1]}; Market-1501 has cameras 1 to 6"
        return 0, 0, "not a Market-1501 name such as 0002_c1s1_000451_03.jpg"
    person = int(match[1])
    if person <= DISTRACTOR and role != "gallery":  # would be a class of its own in training
        kind = "junk" if person == JUNK else "a distractor"
        return 0, 0, f"person {match[1]} is {kind}, which belongs in {FOLDERS['gallery']}"
    return person, int(match[2]), ""


def _protocols(counts: dict[str, int]) -> list[dict[str, Any]]:
    """The one protocol of the data set: single query, whole gallery.

    Junk stays in the gallery as it does on disk; the protocol names it, and the metrics drop it.
    """
    title = "Market-1501, single query"
    return [single_query("market1501", title, PUBLISHED, counts, [JUNK], [DISTRACTOR])]


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in the official layout; yields the image_id of each, in order.

    Names hold person, camera, sequence and frame, so samples that share all four differ by their
    box number. Folders must be new or empty. Raises `ReidError` where a label does not fit
    into a name, or where a file cannot be written.
    """
    for folder in FOLDERS.values():
        names.new_folder(root / folder)
    boxes: dict[str, int] = {}  # the next box number, by folder and name up to it
    for sample in samples:
        start = f"{FOLDERS[_role(sample)]}/{stem(sample)}"
        box = boxes.get(start, 0 if sample.role == "query" else 1)  # 0 is a box drawn by hand
        if box > 99:
            raise ReidError(f"{root}: more than 99 images named {start}_*.jpg; give them frames")
        boxes[start] = box + 1
        image_id = f"{start}_{box:02d}"
        data = encode_jpeg(sample.image) if sample.encoded is None else sample.encoded
        names.write_file(root / f"{image_id}.jpg", data)
        yield image_id


def stem(sample: Sample) -> str:
    """A sample's official name up to its box, such as 0002_c1s1_000451."""
    names.check_labels(sample, "a Market-1501 name", LIMITS)
    person = "-1" if sample.person == JUNK else f"{sample.person:04d}"
    return f"{person}_c{sample.camera}s{sample.tracklet or 1}_{sample.frame:06d}"


def _role(sample: Sample) -> str:
    names.check_role(sample.role, FOLDERS)
    if sample.person <= DISTRACTOR and sample.role != "gallery":
        raise ReidError(f"person {sample.person} may be in the gallery, not in {sample.role}")
    return sample.role


READER = Reader(info=INFO, read=read, write=write, locate=locate)
