"""Derived-data stages, one file each. They meet only through files, never by import."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from reid.project.errors import ReidError
from reid.project.names import unknown

if TYPE_CHECKING:
    from pipeline.engine.stage import AnyStage


def _joints() -> AnyStage:
    from pipeline.stages import joints

    return joints.STAGE


def _parts() -> AnyStage:
    from pipeline.stages import parts

    return parts.STAGE


def _masks() -> AnyStage:
    from pipeline.stages import masks

    return masks.STAGE


def _backgrounds() -> AnyStage:
    from pipeline.stages import backgrounds

    return backgrounds.STAGE


def _swaps() -> AnyStage:
    from pipeline.stages import swaps

    return swaps.STAGE


def _crops() -> AnyStage:
    from pipeline.stages import crops

    return crops.STAGE


def _jet() -> AnyStage:
    from pipeline.stages import jet

    return jet.STAGE


def _flow() -> AnyStage:
    from pipeline.stages import flow

    return flow.STAGE


class Listed(NamedTuple):
    """What is known of a stage without its libraries."""

    load: Callable[[], AnyStage]
    summary: str  # what `reid --help` shows
    network: bool = False  # whether it may run one
    new_rows: bool = False  # whether its builds are data sets
    example: str = "street"  # a build, for the help


STAGES = {  # in the order of the flow
    "joints": Listed(_joints, "18 body joints with confidence, OpenPose order.", network=True),
    "parts": Listed(
        _parts, "Whole body and four part boxes from joints (Yang et al., eqs. 1 and 2)."
    ),
    "masks": Listed(
        _masks, "The person's mask, its box and its area.", network=True, example="mall"
    ),
    "backgrounds": Listed(
        _backgrounds,
        "Training images without their person, and who may be put there instead.",
        example="mall",
    ),
    "swaps": Listed(
        _swaps,
        "A data set of persons before other images' backgrounds (Yaghoubi et al.).",
        new_rows=True,
        example="mall",
    ),
    "crops": Listed(
        _crops,
        "A data set of the person in each overhead frame, cut out of colour and depth.",
        network=True,
        new_rows=True,
        example="topview",
    ),
    "jet": Listed(_jet, "Depth as a colour image, near blue and far red.", example="topview"),
    "flow": Listed(
        _flow,
        "Optical flow from each frame to the next of its tracklet.",
        network=True,
        example="hall",
    ),
}


def stage(name: str) -> AnyStage:
    """The stage of a name, with its libraries; `ReidError` with the known names otherwise."""
    if name not in STAGES:
        raise ReidError(unknown("stage", name, ["ingest", *STAGES]))
    return STAGES[name].load()
