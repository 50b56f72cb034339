"""Columns of a table of joints, read by what their names say and never by where they stand.

Read are
    x0, y0, c0, x1, ...           an axis and a joint's number, from 0 or from 1, in either order
    nose_x, nose_y, nose_c, ...   an axis and a joint's name, of COCO, OpenPose or BODY_25, each
    v0, v1, v2, ...               one word for all, or none, and the position in x, y, c, x, ...

The axes are x, y and c, conf, confidence, score, p, prob or likelihood. Case does not count, nor do
spaces, dots, dashes and underlines. Other names, or some that are missing, are refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from pipeline.backends.coco import BODY_25_NAMES, COCO_NAMES
from reid.arrays.poses import JOINT_NAMES
from reid.project.errors import ReidError

AXES = {
    "x": 0, "y": 1,
    **dict.fromkeys(("c", "conf", "confidence", "score", "p", "prob", "likelihood"), 2),
}  # fmt: skip
SIDES = {"l": "left", "r": "right"}
FILLERS = {"joint", "keypoint", "kp", "kpt", "point"}  # before a joint's number
SETS: tuple[tuple[str, ...], ...] = (COCO_NAMES, JOINT_NAMES, BODY_25_NAMES)
ALLOWED = "name them image_id, x0, y0, c0, x1, ... or image_id, nose_x, nose_y, nose_c, ..."


def in_order(names: Sequence[str], path: Path) -> list[str]:
    """The columns `names` as x, y, confidence of each joint, in the order of COCO's or others'.

    Raises `ReidError` where the names do not say which number is what.
    """
    if len(names) not in (3 * len(joints) for joints in SETS):
        raise ReidError(
            f"{path}: {len(names)} numbers; a person has 51 (COCO), 54 (OpenPose) or 75 (BODY_25)"
        )
    by_number = _numbered(names)
    if by_number:
        return by_number
    split = {name: _split(name) for name in names}
    unknown = [name for name, key in split.items() if key is None]
    if unknown:
        raise ReidError(f"{path}: column `{unknown[0]}` says neither joint nor axis; {ALLOWED}")
    by_joint = {key: name for name, key in split.items() if key is not None}
    joints = _joints({joint for joint, _ in by_joint})
    wanted = [(joint, axis) for joint in joints for axis in range(3)]
    missing = [f"{'xyc'[axis]} of joint {joint}" for joint, axis in wanted
               if (joint, axis) not in by_joint]  # fmt: skip
    if not joints or missing:
        what = f"no {missing[0]}" if missing else "its joints are not COCO's, OpenPose's or BODY_25"
        raise ReidError(f"{path}: {what}; {ALLOWED}")
    return [by_joint[key] for key in wanted]


def _numbered(names: Sequence[str]) -> list[str]:
    """Columns of one word and running numbers, by number; empty where they are not so."""
    matches = {
        name: match
        for name in names
        if (match := re.fullmatch(r"(.*?)[ ._-]*([0-9]+)", name.strip()))
    }
    if len(matches) < len(names) or len({m[1].lower() for m in matches.values()}) > 1:
        return []
    by_number = {int(match[2]): name for name, match in matches.items()}
    first = min(by_number)
    running = sorted(by_number) == list(range(first, first + len(names))) and first in (0, 1)
    return [name for _, name in sorted(by_number.items())] if running else []


def _split(name: str) -> tuple[str, int] | None:
    """The joint, as a number or a known name, and the axis that a column is of."""
    words = re.findall(r"[0-9]+|[a-z]+", re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower())
    for axis, rest in ((words[-1:], words[:-1]), (words[:1], words[1:])):
        if axis and axis[0] in AXES and rest:
            joint = _joint(rest)
            if joint:
                return joint, AXES[axis[0]]
    return None


def _joint(words: Sequence[str]) -> str:
    """A joint's number or its name in `SETS`; empty where it is neither."""
    numbers = [word for word in words if word.isdigit()]
    if len(numbers) == 1 and {*words} - {*numbers} <= FILLERS:
        return str(int(numbers[0]))
    spelt = [SIDES.get(word, word) for word in words]
    sides = [word for word in spelt if word in SIDES.values()]
    name = "_".join([*sides, *(word for word in spelt if word not in sides)])
    known = {joint.replace("_", ""): joint for names in SETS for joint in names}
    return known.get(name.replace("_", ""), "")


def _joints(present: set[str]) -> list[str]:
    """The joints in order, of the set that those present are of; empty where there is none."""
    if all(joint.isdigit() for joint in present):
        first = min((int(joint) for joint in present), default=0)
        numbers = [str(n) for n in range(first, first + len(present))]
        fits = first in (0, 1) and len(present) in map(len, SETS)
        return numbers if fits and set(numbers) == present else []
    return next(([*names] for names in SETS if set(names) == present), [])
