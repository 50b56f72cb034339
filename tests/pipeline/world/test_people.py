import numpy as np
import pytest

from pipeline.world.bodies import PARTS, draw_body, draw_gait, draw_outfit, draw_person, solids_of
from pipeline.world.gait import BONES, spread, swing, turn, walk
from reid.arrays.poses import JOINT_NAMES

AT = {name: number for number, name in enumerate(JOINT_NAMES)}


def stroll(seconds: float = 0.3, heading: float = 0.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    body, gait = draw_body(rng), draw_gait(rng)
    return body, gait, walk(body, gait, np.array([2.0, 5.0]), heading, seconds)


@pytest.mark.parametrize(
    ("rotation", "hanging"),
    [
        pytest.param(swing(np.pi / 2), [1, 0, 0], id="swing brings a hanging limb forward"),
        pytest.param(spread(np.pi / 2), [0, 1, 0], id="spread brings it to the left"),
        pytest.param(turn(np.pi / 2), [0, 0, -1], id="turn leaves it hanging"),
    ],
)
def test_rotations(rotation, hanging):
    np.testing.assert_allclose(rotation @ [0, 0, -1], hanging, atol=1e-12)


def test_a_body_stands_upright_on_the_ground():
    body, _, pose = stroll()
    assert pose.bones.origin.shape == (len(BONES), 3)
    ankles = pose.joints[[AT["right_ankle"], AT["left_ankle"]], 2]
    assert ankles.min() == pytest.approx(0.08)
    assert pose.joints[AT["nose"], 2] > pose.joints[AT["neck"], 2] > pose.joints[AT["right_hip"], 2]
    assert 0.8 * body.height < pose.joints[AT["nose"], 2] < body.height


def test_left_and_right_are_the_persons_own():
    _, _, pose = stroll(heading=0.0)  # walks along x, so left is along y
    for joint in ("shoulder", "hip", "eye", "ear"):
        assert pose.joints[AT[f"left_{joint}"], 1] > pose.joints[AT[f"right_{joint}"], 1]
    assert pose.joints[AT["nose"], 0] > pose.joints[AT["left_ear"], 0]


def test_limbs_keep_their_lengths_while_walking():
    body, gait, _ = stroll()
    for seconds in np.linspace(0, 1.5, 7):
        joints = walk(body, gait, np.zeros(2), 1.0, seconds).joints
        thigh = joints[AT["left_knee"]] - joints[AT["left_hip"]]
        forearm = joints[AT["right_wrist"]] - joints[AT["right_elbow"]]
        assert np.linalg.norm(thigh) == pytest.approx(body.thigh)
        assert np.linalg.norm(forearm) == pytest.approx(body.forearm)


def test_one_cycle_later_the_pose_is_the_same_and_half_a_cycle_swaps_the_legs():
    body, gait, pose = stroll()
    again = walk(body, gait, np.array([2.0, 5.0]), 0.0, 0.3 + 1 / gait.steps_hz)
    np.testing.assert_allclose(again.joints, pose.joints, atol=1e-9)
    half = walk(body, gait, np.array([2.0, 5.0]), 0.0, 0.3 + 0.5 / gait.steps_hz).joints
    ahead = pose.joints[AT["left_ankle"], 0] - pose.joints[AT["right_ankle"], 0]
    swapped = half[AT["right_ankle"], 0] - half[AT["left_ankle"], 0]
    assert swapped == pytest.approx(ahead, abs=1e-9)


def test_solids_of_many_people_are_finite_and_on_known_bones():
    seen = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        solids = solids_of(draw_person(rng, draw_outfit(rng, 0.4), 0.4))
        assert np.isfinite(solids.start).all()
        assert (solids.radius > 0).all()
        assert solids.bone.max() == len(BONES) - 1  # so that joined frames stay in step
        assert ((solids.colour >= 0) & (solids.colour <= 1)).all()
        seen |= set(solids.part.tolist())
    assert seen == set(range(1, len(PARTS)))


def test_a_person_is_drawn_the_same_from_the_same_seed():
    def drawn(seed):
        rng = np.random.default_rng(seed)
        return draw_person(rng, draw_outfit(rng, 0.4), 0.4)

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)
