"""DukeMTMC-reID: the real names, and whatever may be wrong with a copy of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import dukemtmc_reid
from pipeline.datasets.base import LISTED, Sample
from reid.project.errors import ReidError

IMAGE = np.full((16, 8, 3), (200, 40, 90), np.uint8)
GOOD = (  # two people to train on, two to test, and one that has no query
    "bounding_box_train/0001_c2_f0046182",
    "bounding_box_train/0001_c8_f0050230",
    "bounding_box_train/0007_c3_f0062114",
    "query/0005_c2_f0046985",
    "query/0023_c6_f0085402",
    "bounding_box_test/0005_c1_f0051341",
    "bounding_box_test/0023_c5_f0085522",
    "bounding_box_test/0023_c6_f0085402",  # a query's own name, in another folder
    "bounding_box_test/7139_c2_f0046985",
)


def make(root: Path) -> Path:
    for image_id in GOOD:
        path = root / f"{image_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    return root


@pytest.fixture
def duke(tmp_path: Path) -> Path:
    return make(tmp_path / "duke")


def reasons(listing) -> dict[str, str]:
    return dict(listing.rejects)


# ---------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("image_id", "part", "person", "role", "camera"),
    [
        pytest.param("bounding_box_train/0001_c8_f0050230", "train", 1, "train", 8, id="train"),
        pytest.param("query/0005_c2_f0046985", "test", 5, "query", 2, id="query"),
        pytest.param("bounding_box_test/0023_c5_f0085522", "test", 23, "gallery", 5, id="gallery"),
        pytest.param(
            "bounding_box_test/7139_c2_f0046985", "test", 7139, "gallery", 2, id="distractor"
        ),
    ],
)
def test_a_name_gives_its_row(duke, image_id, part, person, role, camera):
    files = dukemtmc_reid.read(duke).files
    assert files.schema.equals(LISTED)
    row = next(r for r in files.to_pylist() if r["image_id"] == image_id)
    roles = {r: r == role for r in ("train", "query", "gallery")}
    absent = dict.fromkeys(("tracklet", "frame", "viewpoint", "depth_path"))
    expected = {"path": f"{image_id}.jpg", "part": part, "person": person, "camera": camera}
    assert row == {"image_id": image_id, **expected, **roles, **absent}


def test_counts(duke):
    listing = dukemtmc_reid.read(duke)
    assert listing.found == {
        "train": 3,
        "train_identities": 2,
        "query": 2,
        "query_identities": 2,
        "gallery": 4,
        "gallery_identities": 3,
        "gallery_distractor_identities": 1,
    }
    assert listing.rejects == []
    assert listing.found.keys() == dukemtmc_reid.INFO.published.keys()


def test_published_counts_agree_with_each_other():
    published = dukemtmc_reid.PUBLISHED
    assert sum(published[role] for role in dukemtmc_reid.FOLDERS) == 36_411
    distractors = published["gallery_distractor_identities"]
    assert published["gallery_identities"] - distractors == published["query_identities"]
    assert published["train_identities"] + published["query_identities"] == 1_404
    assert published["query"] == 2_228


def test_who_withdrew_it_is_said():
    assert "withdrew" in dukemtmc_reid.INFO.where


# ---------------------------------------------------------------------------------- bad data sets


def test_swapped_folders_are_refused(duke):
    (duke / "bounding_box_test").rename(duke / "x")
    (duke / "bounding_box_train").rename(duke / "bounding_box_test")
    (duke / "x").rename(duke / "bounding_box_train")
    with pytest.raises(ReidError, match=r"query/ are in bounding_box_train .* are swapped"):
        dukemtmc_reid.read(duke)


# --------------------------------------------------------------------------------- bad files in it

NOT_A_NAME = "not a DukeMTMC-reID name such as 0005_c2_f0046985.jpg"
CAMERAS = "; DukeMTMC-reID has cameras 1 to 8"
STRAY = {  # a stray file's name in bounding_box_train: the reason of its reject
    "0001_c9_f0046182.jpg": f"camera 9{CAMERAS}",
    "0001_c0_f0046182.jpg": f"camera 0{CAMERAS}",
    "0000_c2_f0046182.jpg": "person 0000; DukeMTMC-reID numbers its persons from 0001",
    "0001_c2_f0046182.png": "duplicate of 0001_c2_f0046182.jpg",
    "0001_c2_f0046183.JPG": NOT_A_NAME,
    "0001_c2_f046182.jpg": NOT_A_NAME,
    "0001_c2_0046182.jpg": NOT_A_NAME,
    "001_c2_f0046182.jpg": NOT_A_NAME,
    "-1_c2_f0046182.jpg": NOT_A_NAME,
    "0001_c2_f0046182_00.jpg": NOT_A_NAME,
}


@pytest.mark.parametrize(("name", "reason"), STRAY.items(), ids=[n[:40] for n in STRAY])
def test_a_stray_file_is_a_reject_with_its_reason(duke, name, reason):
    (duke / "bounding_box_train" / name).touch()
    listing = dukemtmc_reid.read(duke)
    assert reasons(listing) == {f"bounding_box_train/{name}": reason}
    assert sorted(listing.files["image_id"].to_pylist()) == sorted(GOOD)


# ---------------------------------------------------------------------------------------- writing


def sample(person=1, camera=1, role="train", **other) -> Sample:
    return Sample(IMAGE, person, camera, role, **other)


def test_names_are_the_official_ones_and_a_taken_one_moves_on(tmp_path):
    written = [
        sample(5, 2, "query", frame=46985),
        sample(5, 2, "gallery", frame=46985),
        sample(1, 8, "train"),
        sample(1, 8, "train", frame=1),
        sample(1, 8, "train"),
        sample(1, 8, "train"),
        sample(1, 8, "train", frame=1),
    ]
    assert list(dukemtmc_reid.write(tmp_path, written)) == [
        "query/0005_c2_f0046985",
        "bounding_box_test/0005_c2_f0046985",
        "bounding_box_train/0001_c8_f0000000",
        "bounding_box_train/0001_c8_f0000001",
        "bounding_box_train/0001_c8_f0000002",
        "bounding_box_train/0001_c8_f0000003",
        "bounding_box_train/0001_c8_f0000004",
    ]


def test_more_frames_than_a_name_holds(tmp_path):
    with pytest.raises(ReidError, match="frame 10000000 does not fit a DukeMTMC-reID name"):
        list(dukemtmc_reid.write(tmp_path, [sample(frame=9_999_999, encoded=b"x")] * 2))
    assert len(list(tmp_path.rglob("*.jpg"))) == 1
