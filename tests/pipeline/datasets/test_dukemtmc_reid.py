"""DukeMTMC-reID: printed counts, swapped folders, written names; rows: layouts/test_names."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.datasets import dukemtmc_reid
from pipeline.datasets.base import Sample
from reid.project.errors import ReidError
from tests.pipeline.datasets.layouts.test_names import make, swap_train_and_gallery

IMAGE = np.full((16, 8, 3), (200, 40, 90), np.uint8)


def test_published_counts_agree_with_each_other():
    published = dukemtmc_reid.PUBLISHED
    assert sum(published[role] for role in dukemtmc_reid.FOLDERS) == 36_411
    distractors = published["gallery_distractor_identities"]
    assert published["gallery_identities"] - distractors == published["query_identities"]
    assert published["train_identities"] + published["query_identities"] == 1_404
    assert published["query"] == 2_228


def test_who_withdrew_it_is_said():
    assert "withdrew" in dukemtmc_reid.INFO.where


def test_swapped_folders_are_refused(tmp_path):
    swap_train_and_gallery(make("dukemtmc_reid", tmp_path))
    with pytest.raises(ReidError, match=r"query/ are in bounding_box_train .* are swapped"):
        dukemtmc_reid.read(tmp_path)


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
