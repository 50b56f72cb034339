"""What the contract of readers has to know of each: its files, limits, rules, and its tiny tree."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline import datasets
from pipeline.datasets.base import Listing, Sample
from reid.project.errors import ReidError
from tests.soak import trees

ROLES = ("train", "query", "gallery")
READERS = [*datasets.READERS]
CUHK03 = ("cuhk03_labeled", "cuhk03_detected")  # images lie in one file
IN_FILES = [name for name in READERS if name not in CUHK03]
BY_NAME = [name for name in IN_FILES if name != "folder"]  # each file of a folder of images counts
SPLIT_IN_TWO = ("ilids_vid", "prid2011", "opr")  # roles by a split, not by the sample
FRAMES = ("mars", "dukemtmc_video", "tvpr", "dpit", *SPLIT_IN_TWO)  # a name for each frame
WITH_DEPTH = ("tvpr", "dpit", "opr")  # each image has its depth
IMAGE_FOLDERS = ("bounding_box_train", "query", "bounding_box_test")
NEEDED = {  # what a reader cannot do without
    "market1501": IMAGE_FOLDERS, "dukemtmc_reid": IMAGE_FOLDERS,
    "cuhk03_labeled": ("cuhk03_release/cuhk-03.mat",),
    "cuhk03_detected": ("cuhk03_release/cuhk-03.mat",),
    "rap": ("RAP_annotation", "RAP_dataset", "RAP_annotation/RAP_annotation.mat"),
    "tvpr": ("id.csv", "009/009_color.csv", "009/009_depth.csv", "009/img", "009/depth"),
    "dpit": ("DPI-T_train_rgb", "DPI-T_test_rgb", "DPI-T_train_depth_map.h5",
             "DPI-T_test_depth_map.h5"),
    "mars": ("bbox_train", "bbox_test", "info", "info/train_name.txt", "info/test_name.txt",
             "info/tracks_train_info.mat", "info/tracks_test_info.mat", "info/query_IDX.mat"),
    "dukemtmc_video": ROLES,
    "ilids_vid": ("i-LIDS-VID/sequences/cam1", "i-LIDS-VID/sequences/cam2"),
    "prid2011": ("prid_2011/multi_shot/cam_a", "prid_2011/multi_shot/cam_b"),
    "folder": ("labels.csv",),
}  # fmt: skip
LABELS = {  # files whose bytes say what the rows are; an empty or foreign one is refused
    "cuhk03_labeled": ("cuhk03_release/cuhk-03.mat", "cuhk03_new_protocol_config_labeled.mat"),
    "cuhk03_detected": ("cuhk03_release/cuhk-03.mat", "cuhk03_new_protocol_config_detected.mat"),
    "rap": ("RAP_annotation/RAP_annotation.mat",), "tvpr": ("id.csv",),
    "dpit": ("DPI-T_train_depth_map.h5", "DPI-T_test_depth_map.h5"),
    "mars": NEEDED["mars"][3:], "folder": ("labels.csv",), "prid2011": ("splits_prid2011.json",),
    "ilids_vid": ("train-test people splits/train_test_splits_ilidsvid.mat",),
}  # fmt: skip
ABOVE = (  # a reader, and a name of its folder that it knows in the folder above
    ("market1501", "Market-1501-v15.09.15"), ("dukemtmc_reid", "DukeMTMC-reID"), ("mars", "MARS"),
    ("dukemtmc_video", "DukeMTMC-VideoReID"), ("ilids_vid", "iLIDS-VID"), ("prid2011", "prid2011"),
    ("ilids_vid", "ilids-vid"),
)  # fmt: skip
LIMITS: dict[str, dict[str, tuple[int, int]]] = {  # the least and the most that a label may be
    "market1501": {"person": (-1, 9_999), "camera": (1, 6), "tracklet": (0, 9),
                   "frame": (0, 999_999)},
    "dukemtmc_reid": {"person": (1, 9_999), "camera": (1, 8), "frame": (0, 9_999_999)},
    "rap": {"person": (-1, 2**31 - 1), "camera": (1, 31)},
    "tvpr": {"person": (1, 999_999), "camera": (1, 2), "tracklet": (1, 999)},
    "dpit": {"person": (1, 100), "tracklet": (0, 999)},
    "opr": {"person": (1, 999_999), "camera": (1, 2), "frame": (0, 999_999_999)},
    "mars": {"person": (-1, 9_999), "camera": (1, 6), "tracklet": (1, 9_999), "frame": (1, 999)},
    "dukemtmc_video": {"person": (1, 9_999), "camera": (1, 8), "tracklet": (0, 9_999),
                       "frame": (1, 9_999)},
    "ilids_vid": {"person": (1, 999), "camera": (1, 2), "frame": (0, 99_999)},
    "prid2011": {"camera": (1, 2), "frame": (0, 9_999)},
    "folder": {"person": (-1, 2**31 - 1), "camera": (0, 2**15 - 1), "frame": (0, 2**31 - 1)},
}  # fmt: skip
NOBODY = {  # persons that may be in the gallery alone
    "market1501": (-1, 0), "mars": (-1, 0), "rap": (-1,), "folder": (-1, 0),
}  # fmt: skip
SAME_CAMERA = "same_person_same_camera"
RULES: dict[str, tuple[str, list[int], list[int], str]] = {  # exclude, junk, distractors, query
    "market1501": (SAME_CAMERA, [-1], [0], "single"),
    "dukemtmc_reid": (SAME_CAMERA, [], [], "single"),
    "mars": (SAME_CAMERA, [-1], [0], "tracklet"),
    "dukemtmc_video": (SAME_CAMERA, [], [], "tracklet"),
    "folder": (SAME_CAMERA, [-1], [0], "single"),
    "tvpr": ("none", [], [], "tracklet"),
    "dpit": ("none", [], [], "tracklet"),
    "ilids_vid": ("none", [], [], "tracklet"),
    "prid2011": ("none", [], [], "tracklet"),
}


def samples_of(name: str, **labels: Any) -> list[Sample]:
    """The samples of a reader's tree, all with these labels."""
    return [replace(sample, **labels) for sample in trees.samples(name)]


def write(name: str, root: Path, samples: list[Sample] | None = None) -> list[str]:
    return list(datasets.reader(name).write(root, samples_of(name) if samples is None else samples))


def copy(written: dict[str, Path], name: str, home: Path) -> Path:
    """A tree that a test may damage."""
    return Path(shutil.copytree(written[name], home / name, symlinks=True))


def read(name: str, root: Path) -> Listing:
    return datasets.reader(name).read(root)


def rows_of(listing: Listing) -> dict[str, dict[str, Any]]:
    return {row["image_id"]: row for row in listing.files.to_pylist()}


def image_folders(listing: Listing, root: Path) -> list[Path]:
    """The folders that hold images."""
    return sorted({(root / row["path"]).parent for row in rows_of(listing).values()})


def same(one: Listing, other: Listing) -> bool:
    return (one.files, one.found, one.rejects, one.protocols) == (
        other.files, other.found, other.rejects, other.protocols,
    )  # fmt: skip


def refusal(name: str, root: Path) -> str:
    """The one line with which a folder is refused."""
    with pytest.raises(ReidError) as error:
        read(name, root)
    assert str(error.value).isprintable()
    return str(error.value)


def read_or_refused(name: str, root: Path) -> Listing | None:
    """The listing, or None where the folder is refused in one line."""
    try:
        return read(name, root)
    except ReidError as error:
        message = str(error)
    assert message.isprintable()
    return None
