"""PRID 2011: two cameras on a street; 385 and 749 people, of whom the first 200 are the same.

    prid_2011/multi_shot/cam_a/person_0001/0125.png = camera a (1), person 1, frame 125
    prid_2011/multi_shot/cam_b/person_0749/0001.png = camera b (2), its person 749: 1749 here
    splits_prid2011.json                            = ten splits, as torchreid keeps them:
                                                      [{"train": ["person_0001", ...], "test": ...}]

A person's folder is one tracklet. Beyond 200 the cameras' numbers stand for different people, so
camera b's are 1,000 more here: people of one camera are among the rows, in no split. single_shot/,
with one image each, and all else is left alone, and not written.

Protocols `split-01` ... of the file; without it ten halves drawn with seeds 1 to 10, `random-01` to
`random-10`, among those of the first 200 whose sequences both have `LONG_ENOUGH` frames. Camera a
is searched in camera b.

Source   Hirzer et al., Person Re-Identification by Descriptive and Discriminative Classification,
         SCIA 2011; for video: Wang et al., Person Re-identification by Video Ranking, ECCV 2014
Differs  From how many frames on a sequence is used is said differently from paper to paper; 27 is
         the usual choice, and a count of persons other than 178 shows where it is not theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pipeline.datasets.base import Info, Listing, Reader, Sample
from pipeline.datasets.layouts import names, two_camera_splits, two_cameras
from pipeline.datasets.layouts.two_camera_splits import Split
from pipeline.datasets.layouts.two_cameras import Layout
from pipeline.datasets.prid2011 import splits as prid2011_splits
from pipeline.datasets.prid2011.splits import FILE
from reid.project.errors import ReidError

INNER = "prid_2011"
INNERS = ("", INNER, f"prid2011/{INNER}")  # as downloads unpack, and torchreid has it
SHARED = 200  # the first so many persons are the same in both cameras
APART = 1000  # added to camera b's numbers beyond
LONG_ENOUGH = 27  # frames of a sequence that is used, where no file of splits says whose are
FOLDER = re.compile(r"person_([0-9]{4})")
NAME = re.compile(r"([0-9]{1,9})\.(?i:png)")
LIMITS = {"person": (1, 9_999), "camera": (1, 2), "frame": (0, 9_999)}

PUBLISHED = {
    "camera_a_identities": 385,
    "camera_b_identities": 749,
    "both_cameras": 200,
    "long_enough": 178,
    "official_splits": 10,
    "train_identities": 89,
    "query_identities": 89,
    "gallery_identities": 89,
}

INFO = Info(
    title="PRID 2011",
    layout=f"{INNER}/multi_shot/cam_a/person_0001/0125.png, {INNER}/multi_shot/cam_b/..., {FILE}",
    published=PUBLISHED,
    licence="no licence comes with it; for research",
    where="https://www.tugraz.at/institute/icg/research/team-bischof/lrs/downloads/PRID11/",
    citation="Hirzer, Beleznai, Roth, Bischof. Person Re-Identification by Descriptive and "
    "Discriminative Classification. SCIA 2011",
)


def _person(folder: str, camera: int) -> int:
    match = FOLDER.fullmatch(folder)
    number = int(match[1]) if match else 0
    if camera == 1:
        return number if number < APART else 0
    return number + APART if number > SHARED else number


def _frame(name: str, _person: int, _camera: int) -> int | str:
    match = NAME.fullmatch(name)
    return int(match[1]) if match else "not a PRID name such as 0125.png"


LAYOUT = Layout({1: "multi_shot/cam_a", 2: "multi_shot/cam_b"}, _person, _frame, "person_0001")


def locate(root: Path) -> Path:
    """The folder that holds prid_2011 and the splits: `root`, or prid2011 below it.

    `root` may also be prid_2011 itself, with the splits in it.
    """
    _, below = two_cameras.home_of(root, INNERS, LAYOUT, INFO.title)
    return root / below.removesuffix(f"{INNER}/")


def read(root: Path) -> Listing:
    """List the frames by their names; nothing is decoded. What does not fit is a reject.

    Raises `ReidError` where a folder or the file of splits cannot be used, and where fewer than two
    persons can be divided.
    """
    home, below = two_cameras.home_of(root, INNERS, LAYOUT, INFO.title)
    recordings = two_cameras.read_tracklets(home, below, LAYOUT)
    both, long = recordings.in_both(), recordings.in_both(LONG_ENOUGH)
    path = prid2011_splits.find(locate(root), home)
    if path:
        two_cameras.check_persons(home, both, INFO.layout, recordings.rejects)
        listed = prid2011_splits.load(path, SHARED)
        recordings.rejects += prid2011_splits.absent(path, listed, set(both))
        splits = _official(listed, set(both))
    else:
        need = f"with {LONG_ENOUGH} frames each; or put {FILE} beside {INNER}"
        two_cameras.check_persons(home, long, need, recordings.rejects)
        splits = two_camera_splits.drawn_splits(long, INFO.title, FILE)
    cameras = [{f.person for f in recordings.frames if f.camera == camera} for camera in (1, 2)]
    counts = {
        **two_cameras.count(recordings), "camera_a_identities": len(cameras[0]),
        "camera_b_identities": len(cameras[1]), "both_cameras": len(both),
        "long_enough": len(long), "official_splits": len(splits) if path else 0,
    }  # fmt: skip
    return two_camera_splits.listing(splits, recordings, PUBLISHED, counts)


def _official(listed: list[dict[str, list[int]]], both: set[int]) -> list[Split]:
    """The splits of the file, without persons of whom a camera has no frame."""
    splits = []
    for number, one in enumerate(listed, 1):
        train, test = (sorted(both & set(one[half])) for half in ("train", "test"))
        title = f"{INFO.title}, split {number} of {len(listed)}"
        splits.append(Split(f"split-{number:02d}", title, train, test))
    return splits


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples in the official layout; yields the image_id of each, in order.

    The file of splits gets ten halves, drawn with seeds 1 to 10, of the persons of both cameras,
    however short their sequences. Roles, tracklets and viewpoints are not written. Raises
    `ReidError` where a label does not fit, a frame comes twice, or a file cannot be written.
    """
    names.new_folder(root)
    made: set[Path] = set()
    persons: list[set[int]] = [set(), set()]
    for sample in samples:
        camera, folder = "ab"[check_camera(sample) - 1], folder_of(sample)
        persons[sample.camera - 1].add(sample.person)
        image_id = f"multi_shot/cam_{camera}/{folder}/{sample.frame:04d}"
        data = two_cameras.png_of(sample)
        two_cameras.write_frame(root / INNER / f"{image_id}.png", data, made)
        yield image_id
    both = sorted(persons[0] & persons[1])
    if len(both) < 2:
        raise ReidError(f"{root}: {len(both)} persons before both cameras; two are needed at least")
    prid2011_splits.save(root / FILE, two_camera_splits.drawn_splits(both, "", ""))


def check_camera(sample: Sample) -> int:
    """A sample's camera, where all its labels fit; `ReidError` otherwise."""
    names.check_labels(sample, INFO.title, LIMITS)
    return sample.camera


def folder_of(sample: Sample) -> str:
    """A person's folder, such as person_0001; `ReidError` where it is none of their camera's."""
    number = sample.person
    if sample.camera == 2 and number > SHARED:
        number -= APART
    folder = f"person_{max(number, 0):04d}"
    if _person(folder, sample.camera) != sample.person:
        raise ReidError(
            f"person {sample.person} does not fit camera {sample.camera} of {INFO.title}: people "
            f"before both are 1 to {SHARED}, before camera 1 alone up to {APART - 1}, before "
            f"camera 2 alone from {SHARED + APART + 1}"
        )
    return folder


READER = Reader(info=INFO, read=read, write=write, locate=locate)
