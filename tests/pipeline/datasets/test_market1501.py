"""Market-1501: printed counts, swapped folders, written names; rows are in layouts/test_names."""

from __future__ import annotations

import os
import time

import numpy as np
import pytest

from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from reid.arrays import images
from reid.project.errors import ReidError
from tests.pipeline.datasets.layouts.test_names import LAYOUTS, make, swap_train_and_gallery

IMAGE = np.full((16, 8, 3), (200, 40, 90), np.uint8)


def test_published_counts_agree_with_each_other():
    published = market1501.PUBLISHED
    assert published["train"] + published["gallery"] == 32_668  # boxes of the data set
    assert published["gallery"] - published["gallery_junk"] == 15_913
    assert published["train_identities"] + published["gallery_identities"] == 1_501
    assert published["query"] == 3_368


def test_thousands_of_names_take_no_time(tmp_path):
    make("market1501", tmp_path)
    for frame in range(2_000):
        os.close(os.open(tmp_path / f"query/0001_c1s1_{frame:06d}_01.jpg", os.O_CREAT))
    market1501.read(tmp_path)  # the folder's own cache is filled
    start = time.process_time()  # of this process alone, whoever else is at work
    assert market1501.read(tmp_path).files.num_rows == 2_000 + len(LAYOUTS["market1501"].good)
    assert time.process_time() - start < 1  # 5 ms on an idle core


def test_swapped_folders_do_not_pass_unseen(tmp_path):
    swap_train_and_gallery(make("market1501", tmp_path))
    assert dict(market1501.read(tmp_path).rejects) == {
        "bounding_box_train/-1_c1s1_000401_03.jpg": "person -1 is junk, which belongs in "
        "bounding_box_test",
        "bounding_box_train/0000_c1s1_000151_01.jpg": "person 0000 is a distractor, which belongs "
        "in bounding_box_test",
    }


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
