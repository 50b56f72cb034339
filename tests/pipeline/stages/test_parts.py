"""The five boxes of a body, and how missing joints are filled in."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine.stage import Resources
from pipeline.stages import parts
from pipeline.stages.parts import STANDING, Params
from reid.arrays.poses import (
    BOXES,
    HEAD,
    JOINT,
    JOINT_NAMES,
    JOINTS,
    LOWER_LEG,
    UPPER_BODY,
    UPPER_LEG,
    body_frame,
    boxes_column,
    joints_array,
    joints_column,
    part_boxes,
    strips,
)

HEIGHT, WIDTH = 128, 64

# A body by hand, in OpenPose's order: eyes at 20, neck at 32, hips 64, knees 88, ankles 112.
BODY = np.array(
    [
        (32, 22), (32, 32),
        (26, 32), (24, 46), (22, 60), (38, 32), (40, 46), (42, 60),
        (28, 64), (28, 88), (28, 112), (36, 64), (36, 88), (36, 112),
        (30, 20), (34, 20), (28, 21), (36, 21),
    ],
    np.float64,
)  # fmt: skip


def with_confidence(xy, confidence=1.0):
    values = np.broadcast_to(np.asarray(confidence, np.float64), len(JOINT_NAMES))
    return np.concatenate([xy, values[:, None]], 1)


def run(joints, params=None, missing=None, height=HEIGHT, width=WIDTH, fitted=None):
    """The stage over (N, 18, 3) joints, as a list of rows."""
    params, count = params or Params(), len(joints)
    if fitted is None:
        fitted = parts.fit(iter([]), params)
    table = pa.table(
        {
            "image_id": [str(i) for i in range(count)],
            "height": pa.array([height] * count, pa.int32()),
            "width": pa.array([width] * count, pa.int32()),
            "joints": joints_column(np.asarray(joints), missing),
        }
    )
    result = parts.build(params, Resources(fitted=fitted))(table)
    assert result.select(parts.SCHEMA.names).schema == parts.SCHEMA
    return result.to_pylist()


# --- equations 1 and 2 ---------------------------------------------------------------------------


def test_boxes_by_hand():
    # bottom = 4/3 112 - 1/3 88 = 120; top = 2 20 - 32 = 8; H = 112; mean x 32, so 4 to 60
    # beta = 1/8 of 112 = 14 pixels
    expected = [
        (4, 8, 60, 120),
        (4, 8, 60, 32 + 14),
        (4, 32 - 14, 60, 64 + 14),
        (4, 64 - 14, 60, 88 + 14),
        (4, 88 - 14, 60, 120),
    ]
    np.testing.assert_allclose(part_boxes(BODY[None], 0.125)[0], expected, atol=1e-9)


def test_default_overlap_is_the_papers():
    boxes = part_boxes(BODY[None], Params().beta)[0]
    assert boxes[1, 3] == pytest.approx(32 + 5 * 112 / 48)


def test_wide_poses_widen_the_box():
    body = BODY.copy()
    body[JOINT["left_wrist"]] = 70, 40  # beyond mean x + H/4
    assert body_frame(body[None]).right[0] == 70
    assert body_frame(body[None]).left[0] == pytest.approx(body[:, 0].mean() - 28)


def test_wrists_below_the_hips_stretch_the_upper_body_or_not():
    body = BODY.copy()
    body[JOINT["left_wrist"]] = 42, 70
    assert part_boxes(body[None], 0)[0, 2, 3] == 70
    assert part_boxes(body[None], 0, wrists=False)[0, 2, 3] == 64


def loop_boxes(xy, beta):
    """Equations 1 and 2 written a second time, one pose and one joint at a time."""
    y = {name: xy[index][1] for index, name in enumerate(JOINT_NAMES)}
    xs = [point[0] for point in xy]
    head, legs = [y[n] for n in HEAD], [y[n] for n in LOWER_LEG]
    bottom = max(legs) * 4 / 3 - min(legs) / 3
    top = 2 * min(head) - max(head)
    body = bottom - top
    centre = sum(xs) / 18
    left, right = min([centre - body / 4, *xs]), max([centre + body / 4, *xs])
    rows = [(left, top, right, bottom), (left, top, right, max(head) + beta * body)]
    for part in (UPPER_BODY, UPPER_LEG):
        low, high = min(y[n] for n in part), max(y[n] for n in part)
        rows.append((left, low - beta * body, right, high + beta * body))
    return [*rows, (left, min(legs) - beta * body, right, bottom)]


def test_boxes_equal_an_independent_loop():
    generator = np.random.default_rng(0)
    poses = BODY + generator.normal(0, 6, (50, 18, 2))
    for pose, boxes in zip(poses, part_boxes(poses, 0.1), strict=True):
        np.testing.assert_allclose(boxes, loop_boxes(pose, 0.1))


def test_part_members_by_name():
    assert set(HEAD) == {"nose", "neck", "left_eye", "right_eye", "left_ear", "right_ear"}
    assert set(HEAD) & set(UPPER_BODY) == {"neck"}
    assert set(UPPER_BODY) & set(UPPER_LEG) == {"left_hip", "right_hip"}
    assert set(UPPER_LEG) & set(LOWER_LEG) == {"left_knee", "right_knee"}
    assert set(HEAD) | set(UPPER_BODY) | set(UPPER_LEG) | set(LOWER_LEG) == set(JOINT_NAMES)


jitter = st.lists(st.floats(-8, 8), min_size=36, max_size=36).map(
    lambda values: np.array(values).reshape(18, 2)
)


@settings(deadline=None, derandomize=True)
@given(jitter, st.floats(0, 0.3))
def test_boxes_are_ordered_and_overlap_by_beta(noise, beta):
    pose = (BODY + noise)[None]
    boxes, height = part_boxes(pose, beta)[0], body_frame(pose).height[0]
    assert (boxes[:, :2] <= boxes[:, 2:] + 1e-9).all()
    for upper, lower in ((1, 2), (2, 3), (3, 4)):
        assert boxes[upper, 3] - boxes[lower, 1] >= 2 * beta * height - 1e-9
    assert boxes[0, 2] - boxes[0, 0] >= height / 2 - 1e-9
    assert (boxes[1, 1], boxes[4, 3]) == (boxes[0, 1], boxes[0, 3])


@settings(deadline=None, derandomize=True)
@given(jitter, st.floats(0.2, 5), st.floats(-200, 200), st.floats(-200, 200))
def test_boxes_move_and_scale_with_the_joints(noise, scale, x, y):
    pose, shift = (BODY + noise)[None], np.array([x, y])
    moved = part_boxes(pose * scale + shift, 0.1)
    expected = part_boxes(pose, 0.1) * scale + np.tile(shift, 2)
    np.testing.assert_allclose(moved, expected, atol=1e-6)


@settings(deadline=None, derandomize=True, max_examples=50)
@given(jitter, st.sets(st.integers(0, 17), max_size=18), st.integers(2, 4))
def test_filled_boxes_scale_with_image_and_joints(noise, missing, scale):
    confidence = [0.0 if index in missing else 1.0 for index in range(18)]
    pose = with_confidence(BODY + noise, confidence)
    larger = with_confidence((BODY + noise) * scale, confidence)
    small = run([pose], height=160, width=80)[0]
    large = run([larger], height=160 * scale, width=80 * scale)[0]
    assert small["parts_source"] == large["parts_source"]
    np.testing.assert_allclose(large["parts"], np.array(small["parts"]) * scale, atol=0.01)


# --- filling in ----------------------------------------------------------------------------------


def test_all_joints_confident_are_used_as_they_are():
    row = run([with_confidence(BODY)], Params(beta=0.125))[0]
    assert (row["parts_source"], row["joints_filled"], row["pose"]) == ("pose", 0, -1)
    assert row["parts"][0] == pytest.approx([4, 8, 60, 120])


def test_missing_joints_come_from_the_pose_laid_over_the_others():
    placed = STANDING * 100 + np.array([30, 60])
    weak = np.ones(18)
    weak[[JOINT["nose"], JOINT["left_knee"], JOINT["right_ankle"]]] = 0.1
    noisy = np.where(weak[:, None] < 0.2, 3.0, placed)  # the weak joints lie somewhere else
    row = run([with_confidence(noisy, weak)])[0]
    assert (row["parts_source"], row["joints_filled"], row["pose"]) == ("canonical", 3, 0)
    expected = part_boxes(placed[None], Params().beta)[0]
    np.testing.assert_allclose(row["parts"], expected, atol=1e-3)


def test_the_pose_with_the_least_error_is_chosen():
    stride = STANDING.copy()
    stride[[JOINT["left_knee"], JOINT["left_ankle"]]] += [[0.1, 0], [0.2, 0]]
    stride[[JOINT["right_knee"], JOINT["right_ankle"]]] -= [[0.1, 0], [0.2, 0]]
    poses = parts.normalise(np.stack([STANDING, stride]))
    confident = np.ones((1, 18), bool)
    confident[0, JOINT["left_ankle"]] = False
    filled, pose = parts.fill(stride[None] * 90 + 50, confident, poses)
    assert pose[0] == 1
    np.testing.assert_allclose(filled[0], stride * 90 + 50, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 3], ids=["no joint", "one joint", "three joints"])
def test_too_few_joints_give_the_mean_pose_over_the_whole_image(count):
    confidence = np.zeros(18)
    confidence[:count] = 1
    row = run([with_confidence(BODY, confidence)])[0]
    assert (row["parts_source"], row["joints_filled"], row["pose"]) == ("mean", 18, -1)
    left, top, right, bottom = row["parts"][0]
    assert (top, bottom) == pytest.approx((0, HEIGHT), abs=1e-3)
    assert (left + right) / 2 == pytest.approx(WIDTH / 2, abs=1)


@pytest.mark.parametrize(
    "joints",
    [
        pytest.param(np.full((18, 3), 5.0), id="all in one point"),
        pytest.param(with_confidence(BODY * (1, -1) + (0, 128)), id="upside down"),
        pytest.param(with_confidence(np.full((18, 2), np.nan), 0.0), id="NaN with confidence 0"),
        pytest.param(with_confidence(np.full((18, 2), np.inf)), id="infinite"),
        pytest.param(with_confidence(BODY * 1e6), id="far outside the image"),
        pytest.param(with_confidence(BODY, np.nan), id="NaN confidence"),
    ],
)
def test_impossible_bodies_give_the_mean_pose(joints):
    row = run([joints])[0]
    assert row["parts_source"] == "mean"
    assert np.isfinite(row["parts"]).all()
    assert row["parts"][0][3] == pytest.approx(HEIGHT, abs=1e-3)


def test_nan_joints_are_filled():
    joints = with_confidence(BODY)
    joints[JOINT["left_ankle"]] = np.nan
    row = run([joints])[0]
    assert (row["parts_source"], row["joints_filled"]) == ("canonical", 1)
    assert np.isfinite(row["parts"]).all()


def test_joints_outside_the_image_keep_their_place():
    row = run([with_confidence(BODY + np.array([40, 30]))])[0]  # ankles below the image's 128 rows
    assert row["parts_source"] == "pose"
    assert row["parts"][0] == pytest.approx([44, 38, 100, 150])


def test_rows_without_joints_get_strips():
    row = run([with_confidence(BODY)] * 2, missing=np.array([False, True]))[1]
    assert (row["parts_source"], row["joints_filled"], row["reject"]) == ("strips", 0, None)
    assert row["parts"] == [
        [0, 0, 64, 128], [0, 0, 64, 32], [0, 32, 64, 64], [0, 64, 64, 96], [0, 96, 64, 128]
    ]  # fmt: skip


def test_rows_without_joints_are_rejected_where_strips_are_off():
    rows = run([with_confidence(BODY)] * 2, Params(strips=False), np.array([True, False]))
    assert rows[0]["reject"] == "no joints"
    assert rows[0]["parts"] is rows[0]["pose"] is rows[0]["parts_source"] is None
    assert rows[1]["reject"] is None
    assert rows[1]["parts_source"] == "pose"


def test_strips_of_two_sizes():
    boxes = strips(np.array([100, 8]), np.array([50, 4]))
    assert boxes[0, 2].tolist() == [0, 25, 50, 50]
    assert boxes[1, 4].tolist() == [0, 6, 4, 8]


# --- fitting -------------------------------------------------------------------------------------


def training_table(joints, missing=None):
    count = len(joints)
    sizes = {"height": pa.array([HEIGHT] * count), "width": pa.array([WIDTH] * count)}
    return pa.table({**sizes, "joints": joints_column(np.asarray(joints), missing)})


def two_kinds(generator, count):
    """Standing and striding people of several sizes and places, three of four standing."""
    stride = BODY.copy()
    stride[[JOINT["left_ankle"], JOINT["right_ankle"]], 0] += [14, -14]
    kinds = [BODY if i % 4 else stride for i in range(count)]
    scale = generator.uniform(0.5, 1, count)[:, None, None]
    shift = generator.uniform(0, 8, (count, 1, 2))
    return np.stack(kinds) * scale + shift + generator.normal(0, 0.2, (count, 18, 2))


def test_fit_finds_the_kinds_of_poses_whatever_their_size_and_place():
    joints = [with_confidence(xy) for xy in two_kinds(np.random.default_rng(0), 80)]
    fitted = parts.fit(iter([training_table(joints[:30]), training_table(joints[30:])]),
                       Params(canonical_poses=2))  # fmt: skip
    assert fitted["count"] == 80
    poses = np.array(fitted["poses"])
    np.testing.assert_allclose(body_frame(poses).height, 1, atol=1e-5)
    spread = np.abs(poses[:, JOINT["left_ankle"], 0] - poses[:, JOINT["right_ankle"], 0])
    assert spread[0] == pytest.approx(8 / 112, abs=0.02)  # the common pose comes first
    assert spread[1] == pytest.approx(36 / 112, abs=0.02)


def test_fit_leaves_out_uncertain_poses_and_completes_nearly_whole_ones():
    sure, nearly, poor = np.ones(18), np.ones(18), np.ones(18)
    nearly[:4], poor[:5] = 0, 0
    joints = [with_confidence(BODY, c) for c in (sure, nearly, poor)]
    missing = np.array([False] * 3 + [True])
    fitted = parts.fit(iter([training_table([*joints, joints[0]], missing)]), Params())
    assert fitted["count"] == 2


def test_fit_is_repeatable_and_takes_a_seeded_share():
    joints = [with_confidence(xy) for xy in two_kinds(np.random.default_rng(1), 60)]
    params = Params(fit_poses=20, seed=3)
    first, second = (parts.fit(iter([training_table(joints)]), params) for _ in range(2))
    assert first == second
    assert first["count"] == 20
    other = parts.fit(iter([training_table(joints)]), Params(fit_poses=20, seed=4))
    assert other["mean"] != first["mean"]


def test_fit_without_any_confident_pose_is_a_standing_person():
    fitted = parts.fit(iter([]), Params())
    assert fitted["count"] == 0
    assert len(fitted["poses"]) == 1
    np.testing.assert_allclose(fitted["mean"], parts.normalise(STANDING[None])[0], atol=1e-6)


# --- columns -------------------------------------------------------------------------------------


def test_columns_round_trip_with_nulls_in_chunks_and_slices():
    generator = np.random.default_rng(0)
    joints = generator.normal(size=(6, 18, 3)).astype(np.float32)
    missing = np.array([False, True, False, False, True, False])
    column = joints_column(joints, missing)
    assert column.type == JOINTS
    assert column.null_count == 2
    expected = np.where(missing[:, None, None], np.nan, joints)
    np.testing.assert_array_equal(joints_array(column), expected)
    np.testing.assert_array_equal(joints_array(column[2:5]), expected[2:5])
    chunks = pa.chunked_array([column[:3], column[3:]])
    np.testing.assert_array_equal(joints_array(chunks), expected)
    boxes = generator.normal(size=(3, 5, 4)).astype(np.float32)
    assert boxes_column(boxes).type == BOXES
    np.testing.assert_array_equal(boxes_column(boxes).to_pylist(), boxes)


def test_no_rows_at_all():
    assert run(np.zeros((0, 18, 3))) == []


def test_fit_of_wild_joints_is_finite():
    generator = np.random.default_rng(0)
    joints = generator.uniform(-60, 180, (200, 18, 3))
    joints[..., 2] = generator.random((200, 18)) * 0.5
    fitted = parts.fit(iter([training_table(joints)]), Params(min_confidence=0.05))
    assert np.isfinite(fitted["poses"]).all()
    assert all(np.isfinite(row["parts"]).all() for row in run(joints, fitted=fitted))
