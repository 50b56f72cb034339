"""Market-1501: the real names, and whatever may be wrong with a copy of it."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest

from pipeline.datasets import market1501
from pipeline.datasets.base import LISTED, Sample
from reid.arrays import images
from reid.project.errors import ReidError

IMAGE = np.full((16, 8, 3), (200, 40, 90), np.uint8)
GOOD = (  # a small data set: two people to train on, two to test, with junk and distractor
    "bounding_box_train/0002_c1s1_000451_03",
    "bounding_box_train/0002_c2s1_000776_01",
    "bounding_box_train/0007_c3s2_028597_02",
    "query/0001_c1s1_001051_00",
    "query/0003_c6s4_015641_00",
    "bounding_box_test/0001_c2s1_000301_01",
    "bounding_box_test/0003_c5s3_015240_04",
    "bounding_box_test/0000_c1s1_000151_01",
    "bounding_box_test/-1_c1s1_000401_03",
)


def make(root: Path) -> Path:
    for image_id in GOOD:
        path = root / f"{image_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    return root


@pytest.fixture
def market(tmp_path: Path) -> Path:
    return make(tmp_path / "market")


def reasons(listing) -> dict[str, str]:
    return dict(listing.rejects)


# ---------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    ("image_id", "part", "person", "role", "camera"),
    [
        pytest.param("bounding_box_train/0002_c1s1_000451_03", "train", 2, "train", 1, id="train"),
        pytest.param("query/0003_c6s4_015641_00", "test", 3, "query", 6, id="query"),
        pytest.param(
            "bounding_box_test/0001_c2s1_000301_01", "test", 1, "gallery", 2, id="gallery"
        ),
        pytest.param(
            "bounding_box_test/0000_c1s1_000151_01", "test", 0, "gallery", 1, id="distractor"
        ),
        pytest.param("bounding_box_test/-1_c1s1_000401_03", "test", -1, "gallery", 1, id="junk"),
    ],
)
def test_a_name_gives_its_row(market, image_id, part, person, role, camera):
    files = market1501.read(market).files
    assert files.schema.equals(LISTED)
    row = next(r for r in files.to_pylist() if r["image_id"] == image_id)
    roles = {r: r == role for r in ("train", "query", "gallery")}
    absent = dict.fromkeys(("tracklet", "frame", "viewpoint", "depth_path"))
    expected = {"path": f"{image_id}.jpg", "part": part, "person": person, "camera": camera}
    assert row == {"image_id": image_id, **expected, **roles, **absent}


def test_counts(market):
    listing = market1501.read(market)
    assert listing.found == {
        "train": 3,
        "train_identities": 2,
        "query": 2,
        "query_identities": 2,
        "gallery": 4,
        "gallery_identities": 2,
        "gallery_distractors": 1,
        "gallery_junk": 1,
    }
    assert listing.rejects == []
    assert listing.found.keys() == market1501.INFO.published.keys()


def test_published_counts_agree_with_each_other():
    published = market1501.PUBLISHED
    assert published["train"] + published["gallery"] == 32_668  # boxes of the data set
    assert published["gallery"] - published["gallery_junk"] == 15_913
    assert published["train_identities"] + published["gallery_identities"] == 1_501
    assert published["query"] == 3_368


def test_thousands_of_names_take_no_time(tmp_path):
    make(tmp_path)
    for frame in range(2_000):
        os.close(os.open(tmp_path / f"query/0001_c1s1_{frame:06d}_01.jpg", os.O_CREAT))
    market1501.read(tmp_path)  # the folder's own cache is filled
    start = time.process_time()  # of this process alone, whoever else is at work
    assert market1501.read(tmp_path).files.num_rows == 2_000 + len(GOOD)
    assert time.process_time() - start < 1  # 5 ms on an idle core


# ---------------------------------------------------------------------------------- bad data sets


def test_swapped_folders_do_not_pass_unseen(market):
    (market / "bounding_box_test").rename(market / "x")
    (market / "bounding_box_train").rename(market / "bounding_box_test")
    (market / "x").rename(market / "bounding_box_train")
    result = reasons(market1501.read(market))
    assert result == {
        "bounding_box_train/-1_c1s1_000401_03.jpg": "person -1 is junk, which belongs in "
        "bounding_box_test",
        "bounding_box_train/0000_c1s1_000151_01.jpg": "person 0000 is a distractor, which belongs "
        "in bounding_box_test",
    }


# --------------------------------------------------------------------------------- bad files in it

NOT_A_NAME = "not a Market-1501 name such as 0002_c1s1_000451_03.jpg"
CAMERAS = "; Market-1501 has cameras 1 to 6"
DUPLICATE = "duplicate of 0002_c1s1_000451_03.jpg"
STRAY = {  # a stray file's name in bounding_box_train: the reason of its reject
    "0002_c7s1_000451_03.jpg": f"camera 7{CAMERAS}",
    "0002_c0s1_000451_03.jpg": f"camera 0{CAMERAS}",
    f"0002_c{'9' * 200}s1_000452_03.jpg": f"camera {'9' * 200}{CAMERAS}",
    "-1_c1s1_000451_03.jpg": "person -1 is junk, which belongs in bounding_box_test",
    "0000_c1s1_000451_03.jpg": "person 0000 is a distractor, which belongs in bounding_box_test",
    "0002_c1s1_000451_03.png": DUPLICATE,
    "0002_C1S1_000451_03.JPG": DUPLICATE,
    "0002_c1s1_000451_03.jpg~": DUPLICATE,
    "0002_c1s1_000451_03.jpg ": DUPLICATE,
    "0002_c1s1_000452_03.JPG": NOT_A_NAME,
    "0002_c1s1_000452_03.png": NOT_A_NAME,
    "0002_c1s1_000452_3.jpg": NOT_A_NAME,
    "0002_c1s1_00452_03.jpg": NOT_A_NAME,
    "0002_c1s12_000452_03.jpg": NOT_A_NAME,
    "0002_c1_000452_03.jpg": NOT_A_NAME,
    "002_c1s1_000452_03.jpg": NOT_A_NAME,
    "-2_c1s1_000452_03.jpg": NOT_A_NAME,
}


@pytest.mark.parametrize(("name", "reason"), STRAY.items(), ids=[n[:40] for n in STRAY])
def test_a_stray_file_is_a_reject_with_its_reason(market, name, reason):
    (market / "bounding_box_train" / name).touch()
    listing = market1501.read(market)
    assert reasons(listing) == {f"bounding_box_train/{name}": reason}
    assert sorted(listing.files["image_id"].to_pylist()) == sorted(GOOD)


# ---------------------------------------------------------------------------------------- writing


def sample(person=1, camera=1, role="train", **other) -> Sample:
    return Sample(IMAGE, person, camera, role, **other)


def test_names_are_the_official_ones(tmp_path):
    written = [
        sample(2, 1, "train", frame=451),
        sample(2, 1, "train", frame=451),
        sample(1, 3, "query", frame=1051, tracklet=4),
        sample(-1, 1, "gallery", frame=401),
        sample(0, 6, "gallery", frame=151),
    ]
    assert list(market1501.write(tmp_path, written)) == [
        "bounding_box_train/0002_c1s1_000451_01",
        "bounding_box_train/0002_c1s1_000451_02",
        "query/0001_c3s4_001051_00",
        "bounding_box_test/-1_c1s1_000401_01",
        "bounding_box_test/0000_c6s1_000151_01",
    ]


def test_pixels_and_given_bytes_are_kept(tmp_path):
    png = images.encode_png(IMAGE)
    first, second = market1501.write(tmp_path, [sample(1), sample(2, encoded=png)])
    assert (tmp_path / f"{second}.jpg").read_bytes() == png
    data = (tmp_path / f"{first}.jpg").read_bytes()
    assert images.kind_of(data) == "jpeg"
    assert np.abs(images.decode(data).astype(int) - IMAGE).max() <= 3


def test_more_boxes_than_a_name_holds(tmp_path):
    same = [sample(encoded=b"x")] * 100
    with pytest.raises(ReidError, match="more than 99 images named bounding_box_train/0001_c1s1"):
        list(market1501.write(tmp_path, same))
    assert len(list(tmp_path.rglob("*.jpg"))) == 99
