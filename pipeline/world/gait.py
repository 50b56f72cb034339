"""How a person walks: from a body's measures and a time to the pose of its bones and joints.

Local axes of every bone are forward, left and up, so that a limb hangs along -up from its origin.
The gait is a few sines: thighs swing in opposition, a knee bends while its thigh comes forward,
arms swing against the legs, and the lower foot stands on the ground.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from pipeline.world.shapes import Frames

BONES = (
    "pelvis", "torso", "head",
    "right_arm", "right_forearm", "left_arm", "left_forearm",
    "right_thigh", "right_shin", "right_foot", "left_thigh", "left_shin", "left_foot",
)  # fmt: skip
BONE = {name: number for number, name in enumerate(BONES)}


@dataclass(frozen=True)
class Body:
    """Measures of a person, in metres."""

    height: float
    girth: float  # thickness of trunk and limbs; 1 is average
    shoulders: float  # half the distance between the shoulder joints
    hips: float  # half the distance between the hip joints
    thigh: float
    shin: float
    trunk: float  # from the hips to the neck
    arm: float
    forearm: float
    head: float  # radius


@dataclass(frozen=True)
class Gait:
    """How a person moves; angles in radians."""

    steps_hz: float  # full cycles (two steps) a second
    stride: float  # largest angle of a thigh
    knee: float  # largest bend of a knee
    arms: float  # largest angle of an upper arm
    elbow: float  # constant bend of the elbows
    spread: float  # arms held away from the body
    lean: float  # trunk leaned forward
    sway: float  # turn of the shoulders against the hips
    phase: float  # of the cycle at time 0

    def speed(self, body: Body) -> float:
        """Walking speed in metres a second that fits the steps."""
        return 4 * (body.thigh + body.shin) * float(np.sin(self.stride)) * self.steps_hz * 0.9


class Pose(NamedTuple):
    """Where a person is at one moment, in world coordinates (metres, z up)."""

    bones: Frames  # in the order of `BONES`
    joints: np.ndarray  # (18, 3) in the order of `poses.JOINT_NAMES`


def swing(angle: float) -> np.ndarray:
    """Rotation about the left axis that brings a hanging limb forward."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])


def spread(angle: float) -> np.ndarray:
    """Rotation about the forward axis that brings a hanging limb to the left."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def turn(angle: float) -> np.ndarray:
    """Rotation about the up axis, to the left."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def walk(body: Body, gait: Gait, feet: np.ndarray, heading: float, seconds: float) -> Pose:
    """The pose at a time: `feet` (2,) is the ground point below, `heading` the walking direction.

    `heading` is in radians from the world's x axis to its y axis.
    """
    cycle = 2 * np.pi * gait.steps_hz * seconds + gait.phase
    rotation: dict[str, np.ndarray] = {"pelvis": turn(heading) @ turn(0.08 * np.sin(cycle))}
    origin: dict[str, np.ndarray] = {"pelvis": np.zeros(3), "torso": np.zeros(3)}
    trunk = turn(heading) @ turn(-gait.sway * np.sin(cycle)) @ swing(-gait.lean)
    rotation["torso"] = trunk
    rotation["head"] = turn(heading) @ swing(-0.4 * gait.lean)
    origin["head"] = trunk @ [0, 0, body.trunk]
    for side, sign in (("right", -1), ("left", 1)):
        _leg(body, gait, side, sign, cycle, rotation, origin)
        _arm(body, gait, side, sign, cycle, rotation, origin)
    sole = 0.08 - min(origin["right_foot"][2], origin["left_foot"][2])  # the ankle is 8 cm high
    base = np.array([*feet, sole])
    bones = Frames(
        np.stack([origin[name] for name in BONES]) + base, np.stack([rotation[n] for n in BONES])
    )
    return Pose(bones, _joints(body, bones))


def _leg(body, gait, side, sign, cycle, rotation, origin) -> None:
    phase = cycle if sign < 0 else cycle + np.pi
    bend = 0.08 + gait.knee * max(0.0, np.cos(phase)) ** 1.5  # bent while the thigh comes forward
    angle = gait.stride * np.sin(phase) + 0.08 + 0.25 * bend
    thigh = rotation["pelvis"] @ swing(angle)
    shin = thigh @ swing(-bend)
    rotation[f"{side}_thigh"], rotation[f"{side}_shin"] = thigh, shin
    rotation[f"{side}_foot"] = rotation["pelvis"] @ swing(0.6 * (angle - bend))
    origin[f"{side}_thigh"] = rotation["pelvis"] @ [0, sign * body.hips, 0]
    origin[f"{side}_shin"] = origin[f"{side}_thigh"] + thigh @ [0, 0, -body.thigh]
    origin[f"{side}_foot"] = origin[f"{side}_shin"] + shin @ [0, 0, -body.shin]


def _arm(body, gait, side, sign, cycle, rotation, origin) -> None:
    angle = gait.arms * np.sin(cycle if sign > 0 else cycle + np.pi)  # against the leg of its side
    arm = rotation["torso"] @ spread(sign * gait.spread) @ swing(angle + gait.lean)
    rotation[f"{side}_arm"] = arm
    rotation[f"{side}_forearm"] = arm @ swing(gait.elbow + 0.3 * max(0.0, angle))
    shoulder = [0, sign * body.shoulders, body.trunk - 0.04]
    origin[f"{side}_arm"] = rotation["torso"] @ shoulder
    origin[f"{side}_forearm"] = origin[f"{side}_arm"] + arm @ [0, 0, -body.arm]


def _joints(body: Body, bones: Frames) -> np.ndarray:
    """(18, 3) joints in OpenPose order."""
    r = body.head
    face = [[r, 0, 1.45 * r], [0.87 * r, -0.38 * r, 1.75 * r], [0.87 * r, 0.38 * r, 1.75 * r],
            [0, -r, 1.55 * r], [0, r, 1.55 * r]]  # fmt: skip
    where = [("head", face[0]), ("head", [0, 0, 0])]
    for side in ("right", "left"):
        wrist = [0, 0, -body.forearm]
        where += [(f"{side}_arm", [0, 0, 0]), (f"{side}_forearm", [0, 0, 0])]
        where += [(f"{side}_forearm", wrist)]
    for side in ("right", "left"):
        where += [(f"{side}_{bone}", [0, 0, 0]) for bone in ("thigh", "shin", "foot")]
    where += [("head", point) for point in face[1:]]
    carriers = bones.take(np.array([BONE[name] for name, _ in where]))
    return carriers.to_outer(np.array([point for _, point in where], float))
