"""Drawing: where colours land, what is left out, and that the input stays as it was."""

import numpy as np
import pytest

from reid.arrays import draw
from reid.arrays.poses import JOINT

GRAY = np.full((100, 60, 3), 128, np.uint8)


def joints_at(**known):
    """(18, 3) joints without confidence, but for those named, each (x, y, confidence)."""
    joints = np.zeros((18, 3), np.float32)
    for name, joint in known.items():
        joints[JOINT[name]] = joint
    return joints


def changed(image):
    return (image != GRAY).any(2)


def test_every_joint_is_on_a_limb():
    ends = {name for limbs in draw.LIMBS.values() for limb in limbs for name in limb}
    assert ends == set(JOINT)
    assert set(draw.LIMBS) < set(draw.PARTS)


def test_a_limb_has_its_parts_colour():
    shin = joints_at(right_knee=(30, 20, 1), right_ankle=(30, 80, 1))
    out = draw.joints(GRAY, shin)
    assert tuple(out[50, 30]) == draw.PARTS["lower leg"]
    assert tuple(out[20, 30]) == draw.WHITE
    assert (GRAY == 128).all()
    assert not changed(out)[:, :24].any()


@pytest.mark.parametrize(
    ("confidence", "limb", "centre"),
    [
        pytest.param(0.2, True, True, id="at the limit is confident"),
        pytest.param(0.19, False, False, id="below is a ring without a limb"),
    ],
)
def test_confidence(confidence, limb, centre):
    out = draw.joints(GRAY, joints_at(neck=(30, 20, 1), nose=(30, 80, confidence)))
    assert changed(out)[50, 30] == limb
    assert changed(out)[80, 30] == centre
    assert changed(out)[74:87, 24:37].any()


@pytest.mark.parametrize(
    "joint",
    [
        pytest.param((np.nan, 20, 1), id="no number"),
        pytest.param((30, np.inf, 1), id="infinite"),
        pytest.param((30, 20, 0), id="no confidence"),
        pytest.param((1e30, 20, 1), id="far outside"),
    ],
)
def test_joints_that_are_left_out(joint):
    assert not changed(draw.joints(GRAY, joints_at(nose=joint))).any()


def test_boxes_lie_inside_each_other_at_the_sides():
    out = draw.boxes(GRAY, np.array([(10, 10, 50, 90), (10, 30, 50, 60)], np.float32))
    first, second = draw.PARTS["whole body"], draw.PARTS["head"]
    assert tuple(out[45, 10]) == first
    assert tuple(out[45, 13]) == second
    assert tuple(out[30, 30]) == second
    assert tuple(out[10, 30]) == first
    assert (out[50, 30] == 128).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -1e30, 1e30])
def test_boxes_without_bounds(value):
    out = draw.boxes(GRAY, np.array([(value, 10, 50, 90)], np.float32))
    assert out.shape == GRAY.shape


def test_margin():
    padded, pixels = draw.margin(GRAY, 0.1)
    assert (pixels, padded.shape) == (10, (120, 80, 3))
    assert (padded[10:-10, 10:-10] == GRAY).all()
    assert tuple(padded[0, 0]) == draw.PAPER


@pytest.mark.parametrize(
    ("size", "inner"),
    [
        pytest.param((100, 100), (slice(10, 50), slice(0, 40)), id="square into upright"),
        pytest.param((30, 1), (slice(0, 60), slice(19, 21)), id="a line of pixels"),
        pytest.param((1, 4000), (slice(29, 30), slice(0, 40)), id="thinner than a pixel"),
    ],
)
def test_fitted(size, inner):
    out = draw.fitted(np.zeros((*size, 3), np.uint8), 60, 40)
    black = (out == 0).all(2)
    assert out.shape == (60, 40, 3)
    assert black[inner].all()
    assert black.sum() == black[inner].size


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        pytest.param(3, (), id="two rows of two"),
        pytest.param(3, ("a", "b" * 99, "ä\n"), id="with labels"),
        pytest.param(0, (), id="nothing"),
    ],
)
def test_grid(cells, labels):
    out = draw.grid([GRAY] * cells, labels, columns=2, height=12, width=10, gap=4)
    columns, rows = max(1, min(2, cells)), max(1, -(-cells // 2))
    text = draw.LABEL_PX if labels else 0
    assert out.shape == (rows * (16 + text) + 4, columns * 14 + 4, 3)
    last = out[4 + 16 + text : 16 + 16 + text, 4:14] if cells else out[4:16, 4:14]
    assert (last[:, 4] == (128 if cells else draw.PAPER)).all()
    assert (out[:4] == 255).all()
    assert ((out[16 : 16 + text] != 255).any()) == bool(labels)


def test_grid_marks_empty_cells():
    out = draw.grid([None, GRAY], columns=2, height=12, width=10, gap=4)
    assert (out[4:16, 4:14] == draw.PAPER).all()


def test_a_mask_keeps_the_person_and_fades_the_rest():
    mask = np.zeros((100, 60), bool)
    mask[20:81, 15:46] = True
    mask[45:56, 25:36] = False  # a hole
    out = draw.mask_over(GRAY, mask, (240, 0, 0), paper=0.5)
    assert (out[25:40, 20:40] == 128).all()  # the person
    half = np.rint(0.5 * 128 + 0.5 * np.array(draw.PAPER)).astype(np.uint8)
    assert (out[:15] == half).all()
    assert (out[48:52, 28:32] == half).all()  # in the hole
    for y, x in ((20, 30), (80, 30), (50, 15), (50, 45), (44, 30)):
        assert tuple(out[y, x]) == (240, 0, 0), (y, x)  # the mask's own outermost pixels
        assert draw.INK in {tuple(out[y - 1, x]), tuple(out[y, x - 1])}
    assert (GRAY == 128).all()


@pytest.mark.parametrize("covered", [False, True], ids=["nothing", "everything"])
def test_a_mask_of_nothing_or_everything(covered):
    out = draw.mask_over(GRAY, np.full((100, 60), covered))
    assert out.shape == GRAY.shape
    assert (out[50, 30] == 128).all() == covered
