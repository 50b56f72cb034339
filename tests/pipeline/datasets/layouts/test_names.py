"""Three folders of images whose names hold the labels: Market-1501 and DukeMTMC-reID."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from pipeline import datasets

ROLES = {"bounding_box_train": "train", "query": "query", "bounding_box_test": "gallery"}
NO_MARKET = "not a Market-1501 name such as 0002_c1s1_000451_03.jpg"
NO_DUKE = "not a DukeMTMC-reID name such as 0005_c2_f0046985.jpg"
MARKET_CAMERAS = "; Market-1501 has cameras 1 to 6"
DUKE_CAMERAS = "; DukeMTMC-reID has cameras 1 to 8"
TWIN = "duplicate of 0002_c1s1_000451_03.jpg"


class Layout(NamedTuple):
    """A tiny data set of a layout."""

    good: dict[str, tuple[int, int]]  # person and camera of each image: two persons in each part
    counts: dict[str, int]
    stray: dict[str, str]  # names that may not lie in bounding_box_train: why they are rejects


LAYOUTS = {
    "market1501": Layout(
        good={
            "bounding_box_train/0002_c1s1_000451_03": (2, 1),
            "bounding_box_train/0002_c2s1_000776_01": (2, 2),
            "bounding_box_train/0007_c3s2_028597_02": (7, 3),
            "query/0001_c1s1_001051_00": (1, 1),
            "query/0003_c6s4_015641_00": (3, 6),
            "bounding_box_test/0001_c2s1_000301_01": (1, 2),
            "bounding_box_test/0003_c5s3_015240_04": (3, 5),
            "bounding_box_test/0000_c1s1_000151_01": (0, 1),  # a distractor
            "bounding_box_test/-1_c1s1_000401_03": (-1, 1),  # junk
        },
        counts={
            "train": 3, "train_identities": 2, "query": 2, "query_identities": 2,
            "gallery": 4, "gallery_identities": 2, "gallery_distractors": 1, "gallery_junk": 1,
        },
        stray={
            "0002_c7s1_000451_03.jpg": f"camera 7{MARKET_CAMERAS}",
            "0002_c0s1_000451_03.jpg": f"camera 0{MARKET_CAMERAS}",
            f"0002_c{'9' * 200}s1_000452_03.jpg": f"camera {'9' * 200}{MARKET_CAMERAS}",
            "-1_c1s1_000451_03.jpg": "person -1 is junk, which belongs in bounding_box_test",
            "0000_c1s1_000451_03.jpg":
                "person 0000 is a distractor, which belongs in bounding_box_test",
            "0002_c1s1_000451_03.png": TWIN,
            "0002_C1S1_000451_03.JPG": TWIN,
            "0002_c1s1_000451_03.jpg~": TWIN,
            "0002_c1s1_000451_03.jpg ": TWIN,
            "0002_c1s1_000452_03.JPG": NO_MARKET,
            "0002_c1s1_000452_03.png": NO_MARKET,
            "0002_c1s1_000452_3.jpg": NO_MARKET,
            "0002_c1s1_00452_03.jpg": NO_MARKET,
            "0002_c1s12_000452_03.jpg": NO_MARKET,
            "0002_c1_000452_03.jpg": NO_MARKET,
            "002_c1s1_000452_03.jpg": NO_MARKET,
            "-2_c1s1_000452_03.jpg": NO_MARKET,
        },
    ),
    "dukemtmc_reid": Layout(
        good={
            "bounding_box_train/0001_c2_f0046182": (1, 2),
            "bounding_box_train/0001_c8_f0050230": (1, 8),
            "bounding_box_train/0007_c3_f0062114": (7, 3),
            "query/0005_c2_f0046985": (5, 2),
            "query/0023_c6_f0085402": (23, 6),
            "bounding_box_test/0005_c1_f0051341": (5, 1),
            "bounding_box_test/0023_c5_f0085522": (23, 5),
            "bounding_box_test/0023_c6_f0085402": (23, 6),  # the name of a query too
            "bounding_box_test/7139_c2_f0046985": (7139, 2),  # who has no query
        },
        counts={
            "train": 3, "train_identities": 2, "query": 2, "query_identities": 2,
            "gallery": 4, "gallery_identities": 3, "gallery_distractor_identities": 1,
        },
        stray={
            "0001_c9_f0046182.jpg": f"camera 9{DUKE_CAMERAS}",
            "0001_c0_f0046182.jpg": f"camera 0{DUKE_CAMERAS}",
            "0000_c2_f0046182.jpg": "person 0000; DukeMTMC-reID numbers its persons from 0001",
            "0001_c2_f0046182.png": "duplicate of 0001_c2_f0046182.jpg",
            "0001_c2_f0046183.JPG": NO_DUKE,
            "0001_c2_f046182.jpg": NO_DUKE,
            "0001_c2_0046182.jpg": NO_DUKE,
            "001_c2_f0046182.jpg": NO_DUKE,
            "-1_c2_f0046182.jpg": NO_DUKE,
            "0001_c2_f0046182_00.jpg": NO_DUKE,
        },
    ),
}  # fmt: skip


def make(name: str, root: Path) -> Path:
    """The raw folder of a layout, with images that nothing decodes."""
    for image_id in LAYOUTS[name].good:
        path = root / f"{image_id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"not looked at")
    return root


def swap_train_and_gallery(root: Path) -> None:
    (root / "bounding_box_test").rename(root / "x")
    (root / "bounding_box_train").rename(root / "bounding_box_test")
    (root / "x").rename(root / "bounding_box_train")


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_name_gives_its_row(name, tmp_path):
    listing = datasets.reader(name).read(make(name, tmp_path))
    assert listing.rejects == []
    rows = {row.pop("image_id"): row for row in listing.files.to_pylist()}
    assert rows.keys() == LAYOUTS[name].good.keys()
    for image_id, (person, camera) in LAYOUTS[name].good.items():
        role = ROLES[image_id.partition("/")[0]]
        assert rows[image_id] == {
            "path": f"{image_id}.jpg", "part": "train" if role == "train" else "test",
            "person": person, "camera": camera, **{one: one == role for one in ROLES.values()},
            **dict.fromkeys(("tracklet", "frame", "viewpoint", "depth_path")),
        }  # fmt: skip


@pytest.mark.parametrize("name", LAYOUTS)
def test_counts(name, tmp_path):
    reader = datasets.reader(name)
    counts = reader.read(make(name, tmp_path)).found
    assert counts == LAYOUTS[name].counts
    assert counts.keys() == reader.info.published.keys()


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_stray_file_is_a_reject_with_its_reason(name, tmp_path):
    root = make(name, tmp_path)
    for stray in LAYOUTS[name].stray:
        (root / "bounding_box_train" / stray).touch()
    listing = datasets.reader(name).read(root)
    expected = {f"bounding_box_train/{n}": why for n, why in LAYOUTS[name].stray.items()}
    assert dict(listing.rejects) == expected
    assert listing.files["image_id"].to_pylist() == sorted(LAYOUTS[name].good, key=ordered)


def ordered(image_id: str) -> tuple[int, str]:
    """The order of the listing: by folder, then by name."""
    return list(ROLES).index(image_id.partition("/")[0]), image_id
