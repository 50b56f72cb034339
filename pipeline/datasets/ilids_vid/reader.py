"""iLIDS-VID: two cameras in an airport's arrivals hall; 300 people, a sequence of each by each.

    i-LIDS-VID/sequences/cam1/person001/cam1_person001_00317.png = camera 1, person 1, frame 317
    i-LIDS-VID/sequences/cam2/person001/cam2_person001_00102.png
    train-test people splits/train_test_splits_ilidsvid.mat      = the ten splits

A person's sequence in a camera is one tracklet, ordered by the numbers in its names. Numbers of
persons run to 319 with gaps; the .mat names people by positions in the sorted list of folders, so
that list must be whole (an empty folder counts in it). images/, with one image each, and all else
is left alone, and not written.

Protocols `split-01` to `split-10`: the first half of a row of the .mat is to test, the second to
train, as torchreid has it; `split-01-swapped` ... the other way round, as others do. Camera 1 is
searched in camera 2. Without the .mat, ten halves drawn with seeds 1 to 10, `random-01` to
`random-10`: results by them can be averaged, but are not those of the official splits.

Source   Wang et al., Person Re-identification by Video Ranking, ECCV 2014
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from pipeline.datasets.base import Info, Listing, Reader, Sample
from pipeline.datasets.ilids_vid import splits as ilids_vid_splits
from pipeline.datasets.ilids_vid.splits import FILE, FOLDER
from pipeline.datasets.layouts import names, two_camera_splits, two_cameras
from pipeline.datasets.layouts.two_camera_splits import SPLITS, Split
from pipeline.datasets.layouts.two_cameras import Layout, Recordings
from reid.project.errors import ReidError

INNER = "i-LIDS-VID"
INNERS = ("", INNER, f"iLIDS-VID/{INNER}", f"ilids-vid/{INNER}")  # as downloads unpack
PERSON = re.compile(r"person([0-9]{3})")
NAME = re.compile(r"cam([12])_person([0-9]{3})_([0-9]{1,9})\.(?i:png)")
LIMITS = {"person": (1, 999), "camera": (1, 2), "frame": (0, 99_999)}

PUBLISHED = {
    "identities": 300,
    "tracklets": 600,
    "official_splits": 10,
    "train_identities": 150,
    "query_identities": 150,
    "gallery_identities": 150,
}

INFO = Info(
    title="iLIDS-VID",
    layout=f"{INNER}/sequences/cam1/person001/cam1_person001_00317.png, {FOLDER}/{FILE}",
    published=PUBLISHED,
    licence="no licence comes with it; for research; it is made of the UK Home Office's i-LIDS "
    "recordings",
    where="https://xiatian-zhu.github.io/downloads_qmul_iLIDS-VID_ReID_dataset.html",
    citation="Wang, Gong, Zhu, Wang. Person Re-identification by Video Ranking. ECCV 2014",
)


def _person(folder: str, _camera: int) -> int:
    match = PERSON.fullmatch(folder)
    return int(match[1]) if match else 0


def _frame(name: str, person: int, camera: int) -> int | str:
    match = NAME.fullmatch(name)
    if match is None:
        return "not an iLIDS-VID name such as cam1_person001_00317.png"
    if int(match[1]) != camera:
        return f"of camera {match[1]}, in a folder of camera {camera}"
    if int(match[2]) != person:
        return f"of person {match[2]}, in the folder of person {person:03d}"
    return int(match[3])


LAYOUT = Layout({1: "sequences/cam1", 2: "sequences/cam2"}, _person, _frame, "person001")


def locate(root: Path) -> Path:
    """The folder that holds i-LIDS-VID and the splits: `root`, or the download's own below it.

    `root` may also be i-LIDS-VID itself.
    """
    _, below = two_cameras.home_of(root, INNERS, LAYOUT, INFO.title)
    return root / below.removesuffix(f"{INNER}/")


def read(root: Path) -> Listing:
    """List the frames by their names; nothing is decoded. What does not fit is a reject.

    Raises `ReidError` where a folder or the .mat cannot be used, and where fewer than two persons
    are seen by both cameras.
    """
    home, below = two_cameras.home_of(root, INNERS, LAYOUT, INFO.title)
    recordings = two_cameras.read_tracklets(home, below, LAYOUT)
    both = recordings.in_both()
    two_cameras.check_persons(home, both, INFO.layout, recordings.rejects)
    beside = home.parent if below else Path(os.path.realpath(home)).parent
    path = ilids_vid_splits.find(beside, home)
    splits = _official(path, recordings, set(both)) if path else (
        two_camera_splits.drawn_splits(both, INFO.title, FILE))  # fmt: skip
    counts = {**two_cameras.count(recordings), "official_splits": SPLITS if path else 0}
    return two_camera_splits.listing(splits, recordings, PUBLISHED, counts)


def _official(path: Path, recordings: Recordings, both: set[int]) -> list[Split]:
    """The splits of the .mat, and the same swapped; persons of one camera alone are left out."""
    listed = [person for _, person in sorted(recordings.folders.items())]
    splits, swapped = [], []
    for number, row in enumerate(ilids_vid_splits.load(path, len(listed)), 1):
        half = len(row) // 2
        first, second = (
            sorted({listed[i - 1] for i in part} & both) for part in (row[:half], row[half:])
        )
        name, title = f"split-{number:02d}", f"{INFO.title}, split {number} of {SPLITS}"
        splits.append(Split(name, title, second, first))
        swapped.append(Split(f"{name}-swapped", f"{title}, halves swapped", first, second))
    return [*splits, *swapped]


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in the official layout; yields the image_id of each, in order.

    The .mat gets ten halves drawn with seeds 1 to 10. Roles, tracklets and viewpoints are not
    written. Raises `ReidError` where a label does not fit, a frame comes twice, or a file cannot be
    written.
    """
    names.new_folder(root)
    made: set[Path] = set()
    for sample in samples:
        names.check_labels(sample, INFO.title, LIMITS)
        person, camera = f"person{sample.person:03d}", f"cam{sample.camera}"
        image_id = f"sequences/{camera}/{person}/{camera}_{person}_{sample.frame:05d}"
        data = two_cameras.png_of(sample)
        two_cameras.write_frame(root / INNER / f"{image_id}.png", data, made)
        yield image_id
    persons = two_cameras.persons_of(made)
    if not persons:
        raise ReidError(f"{root}: no image to write")
    names.new_folder(root / FOLDER)
    ilids_vid_splits.save(root / FOLDER / FILE, _drawn(persons))


def _drawn(persons: Sequence[str]) -> list[np.ndarray]:
    """Positions of the persons, from 1, in the order of each split: first those to test."""
    rows = []
    for seed in range(1, SPLITS + 1):
        train, test = two_camera_splits.halves(range(1, len(persons) + 1), seed)
        rows.append(np.array([*test, *train]))
    return rows


READER = Reader(info=INFO, read=read, write=write, locate=locate)
