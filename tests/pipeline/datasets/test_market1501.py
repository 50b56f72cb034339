"""Market-1501: the real names, and whatever may be wrong with a copy of it."""

from __future__ import annotations

import json
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


def test_the_protocol_is_the_papers_and_json(market):
    (protocol,) = market1501.read(market).protocols
    assert json.loads(json.dumps(protocol)) == protocol
    assert protocol["rule"] == {
        "exclude": "same_person_same_camera",
        "junk": [-1],
        "distractors": [0],
        "query": "single",
    }
    assert protocol["published"]["query"] == 3368
    assert protocol["found"]["query"] == 2


def test_the_folder_above_is_as_good(tmp_path):
    home = make(tmp_path / "Market-1501-v15.09.15")
    above, itself = market1501.read(tmp_path), market1501.read(home)
    assert above.files["image_id"] == itself.files["image_id"]
    for path, below in zip(*(x.files["path"].to_pylist() for x in (above, itself)), strict=True):
        assert path == f"Market-1501-v15.09.15/{below}"
        assert (tmp_path / path).is_file()
    assert market1501.locate(tmp_path) == home == market1501.locate(home)


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
STRAY = {  # a stray file's name in bounding_box_train: the reason of its reject
    "0002_c7s1_000451_03.jpg": "camera 7; Market-1501 has cameras 1 to 6",
    "0002_c0s1_000451_03.jpg": "camera 0; Market-1501 has cameras 1 to 6",
    "0002_c12s1_000451_03.jpg": "camera 12; Market-1501 has cameras 1 to 6",
    "-1_c1s1_000451_03.jpg": "person -1 is junk, which belongs in bounding_box_test",
    "0000_c1s1_000451_03.jpg": "person 0000 is a distractor, which belongs in bounding_box_test",
    "0002_c1s1_000451_03.png": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_c1s1_000451_03.jpeg": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_C1S1_000451_03.JPG": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_c1s1_000451_03.jpg.jpg": NOT_A_NAME,
    "0002_c1s1_000451_03": NOT_A_NAME,
    "0002_c1s1_000451_03 (1).jpg": NOT_A_NAME,
    "0002_c1s1_000451_03.jpg~": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_c1s1_000451_03.jpg.part": NOT_A_NAME,
    "Copy of 0002_c1s1_000451_03.jpg": NOT_A_NAME,
    " 0002_c1s1_000451_03.jpg": NOT_A_NAME,
    "0002_c1s1_000451_03.jpg ": "duplicate of 0002_c1s1_000451_03.jpg",
    "0002_c1s1_000452_03.JPG": NOT_A_NAME,
    "0002_c1s1_000452_03.png": NOT_A_NAME,
    "0002_c1s1_000452_03.gif": NOT_A_NAME,
    "0002_c1s1_000452_3.jpg": NOT_A_NAME,
    "0002_c1s1_00452_03.jpg": NOT_A_NAME,
    "0002_c1s1_0004520_03.jpg": NOT_A_NAME,
    "0002_c1s1_000452_003.jpg": NOT_A_NAME,
    "0002_c1s12_000452_03.jpg": NOT_A_NAME,
    "0002_c1_000452_03.jpg": NOT_A_NAME,
    "002_c1s1_000452_03.jpg": NOT_A_NAME,
    "00002_c1s1_000452_03.jpg": NOT_A_NAME,
    "-2_c1s1_000452_03.jpg": NOT_A_NAME,
    "-001_c1s1_000452_03.jpg": NOT_A_NAME,
    "+002_c1s1_000452_03.jpg": NOT_A_NAME,
    "0x02_c1s1_000452_03.jpg": NOT_A_NAME,
    "0005_c2_f0046985.jpg": NOT_A_NAME,  # DukeMTMC-reID
    "0001C1T0001F001.jpg": NOT_A_NAME,  # MARS
    "readme.txt": NOT_A_NAME,
    ".jpg": NOT_A_NAME,
    "jpg": NOT_A_NAME,
    "....": NOT_A_NAME,
    "*.jpg": NOT_A_NAME,
    "[red]0002.jpg": NOT_A_NAME,
    "x" * 255: NOT_A_NAME,
    "9" * 255: NOT_A_NAME,
    "0002_c" + "9" * 200 + "s1_000452_03.jpg": "camera " + "9" * 200 + "; Market-1501 has cameras "
    "1 to 6",
    "٠٠٠٢_c١s١_٠٠٠٤٥٢_٠٣.jpg": NOT_A_NAME,  # digits, but not these
    "０００２_c1s1_000452_03.jpg": NOT_A_NAME,
    "0002_c1s1_000452_0³.jpg": NOT_A_NAME,
    "行人.jpg": NOT_A_NAME,
    "é\u0301.jpg": NOT_A_NAME,
}
ESCAPED = {  # names that would break a line or a Parquet file, and how they are shown
    "0002_c1s1_000452_03.jpg\n": "0002_c1s1_000452_03.jpg\\n",
    "0002\n_c1s1_000452_03.jpg": "0002\\n_c1s1_000452_03.jpg",
    "a\tb\r.jpg": "a\\tb\\r.jpg",
    "\x1b[31mred.jpg": "\\x1b[31mred.jpg",
    "\u202egpj.2000": "\\u202egpj.2000",
    os.fsdecode(b"\xff\xfe.jpg"): "\\xff\\xfe.jpg",
    os.fsdecode(b"0002_c1s1_000452_03\x80.jpg"): "0002_c1s1_000452_03\\x80.jpg",
    os.fsdecode(b"\xed\xa0\x80.jpg"): "\\xed\\xa0\\x80.jpg",
}


@pytest.mark.parametrize(("name", "reason"), STRAY.items(), ids=[n[:40] for n in STRAY])
def test_a_stray_file_is_a_reject_with_its_reason(market, name, reason):
    (market / "bounding_box_train" / name).touch()
    listing = market1501.read(market)
    assert reasons(listing) == {f"bounding_box_train/{name}": reason}
    assert sorted(listing.files["image_id"].to_pylist()) == sorted(GOOD)


@pytest.mark.parametrize(("name", "shown"), ESCAPED.items(), ids=ESCAPED.values())
def test_an_unprintable_name_is_shown_escaped(market, name, shown):
    (market / "query" / name).touch()
    listing = market1501.read(market)
    assert reasons(listing) == {f"query/{shown}": NOT_A_NAME}
    assert listing.files.num_rows == len(GOOD)


def test_what_lies_beside_the_folders_is_left_alone(market):
    (market / "gt_bbox").mkdir()
    (market / "gt_bbox" / "0001_c1s1_001051_00.jpg").touch()
    (market / "gt_query").mkdir()
    (market / "readme.txt").touch()
    listing = market1501.read(market)
    assert (listing.files.num_rows, listing.rejects) == (len(GOOD), [])


SAMPLE = "0009_c1s1_000001_01.jpg"  # a good name, for things that are no good file
ODD = {  # what is made, and the reason of the reject
    "folder": (lambda p: p.mkdir(), "a folder among the images"),
    "link to nothing": (lambda p: p.symlink_to("nowhere"), "a link to nothing"),
    "link to itself": (lambda p: p.symlink_to(p.name), "cannot be looked at: Too many levels of"),
    "link to the folder": (lambda p: p.symlink_to("."), "a folder among the images"),
    "link upwards": (lambda p: p.symlink_to("../.."), "a folder among the images"),
    "pipe": (os.mkfifo, "neither file nor folder"),
}


@pytest.mark.parametrize(("make_it", "reason"), ODD.values(), ids=ODD.keys())
def test_what_is_no_file_is_a_reject(market, make_it, reason):
    make_it(market / "bounding_box_train" / SAMPLE)
    listing = market1501.read(market)
    (result,) = listing.rejects
    assert result.image_id == f"bounding_box_train/{SAMPLE}"
    assert result.reason.startswith(reason)
    assert listing.files.num_rows == len(GOOD)


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


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        pytest.param(sample(10_000), "person 10000 does not fit", id="five digits"),
        pytest.param(sample(-2), "person -2", id="below junk"),
        pytest.param(sample(1, 7), "camera 7 does not fit a Market-1501 name", id="camera 7"),
        pytest.param(sample(1, 0), "camera 0 does not fit", id="camera 0"),
        pytest.param(sample(1, frame=1_000_000), "frame 1000000", id="frame too late"),
        pytest.param(sample(1, frame=-1), "frame -1", id="frame below zero"),
        pytest.param(sample(1, tracklet=10), "tracklet 10", id="sequence of two digits"),
        pytest.param(sample(1, role="probe"), "no role `probe`", id="unknown role"),
        pytest.param(sample(-1), "person -1 may be in the gallery, not in train", id="junk"),
        pytest.param(sample(0, role="query"), "person 0 may be in the gallery", id="distractor"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path, bad, message):
    with pytest.raises(ReidError, match=message):
        list(market1501.write(tmp_path, [bad]))
    assert not list(tmp_path.rglob("*.jpg"))


def test_more_boxes_than_a_name_holds(tmp_path):
    same = [sample(encoded=b"x")] * 100
    with pytest.raises(ReidError, match="more than 99 images named bounding_box_train/0001_c1s1"):
        list(market1501.write(tmp_path, same))
    assert len(list(tmp_path.rglob("*.jpg"))) == 99
