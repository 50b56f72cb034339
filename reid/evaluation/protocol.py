"""Protocols: which gallery entries count for a query, and which average precision is the main one.

A data set describes its protocols in protocol.json; `PROTOCOLS` are those of `reid score`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from reid.project.errors import ReidError

Exclude = Literal["same_person_same_camera", "same_camera", "none"]
AveragePrecision = Literal["rectangle", "trapezoid"]


@dataclass(frozen=True)
class Protocol:
    """Which gallery entries count, and which average precision is the main one.

    `exclude` names the gallery entries that a query does not see: those of its person and camera
    (`same_person_same_camera`), all of its camera (`same_camera`), or `none`. Raises
    `ReidError` for an unknown name.
    """

    junk: tuple[int, ...] = ()  # persons that are dropped from the gallery
    distractors: tuple[int, ...] = ()  # persons that stay in the gallery and match nobody
    exclude: Exclude = "same_person_same_camera"
    average_precision: AveragePrecision = "rectangle"
    single_shot: bool = False  # the gallery shows one drawn image of each person; no mAP
    views: int = 0  # cameras 1, 2, 3 ... are views 0 to `views` - 1 in turn; 0: no views

    def __post_init__(self) -> None:
        check_name("exclude", self.exclude, get_args(Exclude))
        check_name("average_precision", self.average_precision, get_args(AveragePrecision))

    def view(self, camera: np.ndarray) -> np.ndarray:
        """What counts as cameras (N,): the views, where several pairs of cameras are one test."""
        return (camera - 1) % self.views if self.views else camera


def check_name(what: str, name: str, known: Collection[str]) -> None:
    """`ReidError` unless `name` is among the `known`; `what` says what it names."""
    if name not in known:
        raise ReidError(f"{what}: no `{name}` (there are {', '.join(known)})")


def protocol_of(described: dict[str, Any]) -> Protocol:
    """The protocol that an entry of a data set's protocol.json describes."""
    rule = described.get("rule", {})
    return Protocol(
        junk=tuple(rule.get("junk", [-1])),
        distractors=tuple(rule.get("distractors", [])),
        exclude=rule.get("exclude", "same_person_same_camera"),
        single_shot=rule.get("gallery", "").startswith("single shot"),
        views=rule.get("views", 0),
    )


PROTOCOLS = {
    "market1501": Protocol(junk=(-1,), distractors=(0,)),
    "dukemtmc_reid": Protocol(),  # its distractors have persons of their own
    "cuhk03_classic": Protocol(exclude="same_camera", single_shot=True, views=2),
    "cross_camera": Protocol(exclude="same_camera"),
    "all_pairs": Protocol(exclude="none"),
}
