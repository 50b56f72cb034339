"""Crops that networks are fitted to: cut and mirrored with their truth."""

from __future__ import annotations

import numpy as np

from pipeline.fit import crop_views
from pipeline.fit.crop_views import Crop
from pipeline.fit.people import Example
from reid.arrays.poses import JOINT_NAMES


def example(height: int, width: int) -> Example:
    mask = np.zeros((height, width), bool)
    mask[10:60, 20:40] = True
    joints = np.stack([np.full(18, 30.0), np.arange(18) * 5.0, np.ones(18)], 1).astype(np.float32)
    joints[JOINT_NAMES.index("left_wrist")] = [38, 33, 1]
    image = np.zeros((height, width, 3), np.uint8)
    image[mask] = 200
    return Example(image, mask, joints, np.zeros((0, 4), np.float32), None)


def test_mirroring_turns_left_into_right():
    one = example(100, 60)
    crop = crop_views.mirror(Crop(one.image, one.mask, one.joints))
    assert crop.joints is not None
    assert crop.joints[JOINT_NAMES.index("right_wrist")].tolist() == [60 - 38, 33, 1]
    assert crop.mask[30, 60 - 21]
    assert not crop.mask[30, 10]
    again = crop_views.mirror(crop)
    assert again.joints is not None
    assert one.joints is not None
    assert np.allclose(again.joints, one.joints)


def test_cutting_moves_joints_and_drops_those_beyond():
    one = example(100, 60)
    crop = crop_views.cut(Crop(one.image, one.mask, one.joints), 5, 20, 60, 90)
    assert crop.joints is not None
    nose, wrist = (crop.joints[JOINT_NAMES.index(n)] for n in ("nose", "left_wrist"))
    assert nose[2] == 0, "it was above"
    assert wrist.tolist() == [33, 13, 1]
    assert crop.image.shape == (70, 55, 3)
    assert crop.mask.sum() == 20 * 40


def test_whole_frames_are_cut_to_the_person():
    (crop,) = crop_views.examples([example(180, 240)])
    assert crop.mask.shape[0] < 80
    assert crop.mask.sum() == 50 * 20
    nobody = example(180, 240)
    nobody.mask[:] = False
    assert crop_views.examples([nobody]) == []


def test_what_hides_somebody_leaves_the_mask():
    one = example(100, 60)
    image, mask = crop_views.hide(one.image, one.mask, np.random.default_rng(3))
    covered = (image != one.image).any(-1)
    assert covered.any()
    assert (mask == (one.mask & ~covered))[one.mask].all()
