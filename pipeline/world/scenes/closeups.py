"""Close crops of one person: images as large as the person is in the frame, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from pydantic import Field, model_validator

from pipeline.world.cameras import Camera, Window
from pipeline.world.crowd import Scene, Walker, everyone_at
from pipeline.world.hidden import labels_of
from pipeline.world.shapes import Solids
from pipeline.world.shots import Moment, Site, person_box

MARGIN = 0.05  # about a person, of their height
NARROWEST = 0.42  # width of a crop, of its height


class CloseUps(Scene):
    """What a scene of close crops has."""

    # Pixels of an image; a crop whose height lies between the two is not scaled.
    height_min: int = Field(80, ge=24)
    height_max: int = Field(160, ge=24)

    @model_validator(mode="after")
    def _in_order(self) -> CloseUps:
        if self.height_max < self.height_min:
            raise ValueError("height_max must not be below height_min")
        return self

    __hash__ = Scene.__hash__


class View(NamedTuple):
    """What a moment's image will show."""

    moment: Moment
    size: tuple[int, int]  # height and width of the image
    labels: dict[str, Any]  # see `hidden`
    share: float  # of the person's body that is seen


def views_of(
    params: CloseUps,
    site: Site,
    walkers: Sequence[Walker],
    solids: Solids,
    times: Sequence[float],
    rng: np.random.Generator,
) -> list[View]:
    """What each of `times` (seconds) would show of the first walker; `solids` are all walkers'."""
    own = len(walkers[0].solids.kind)
    views = []
    for seconds in times:
        moment = _moment(params, site.camera, walkers, solids, own, seconds, rng)
        size = _size(params, moment.window)
        views.append(View(moment, size, *labels_of(site, solids, own, moment, *size)))
    return views


def _moment(
    params: CloseUps, camera: Camera, walkers, solids, own: int, seconds: float, rng
) -> Moment:
    frames, joints, feet = everyone_at(walkers, seconds)
    window = _crop(params, person_box(camera, solids, own, frames), rng)
    return Moment(frames, joints, feet, window)


def _crop(params: CloseUps, box: np.ndarray, rng: np.random.Generator) -> Window:
    """The window that is cut out for a person's true box (4,) in frame pixels: whole pixels."""
    tall = float(box[3] - box[1])
    x1, y1, x2, y2 = (box + MARGIN * tall * np.array([-1, -1, 1, 1])).tolist()
    if rng.random() < params.truncation_probability:  # legs cut off, or the head
        lost = rng.uniform(0.15, 0.35) * tall
        y1, y2 = (y1, y2 - lost) if rng.random() < 0.75 else (y1 + lost, y2)
    x1, y1, x2, y2 = np.array([x1, y1, x2, y2]) + params.box_jitter * tall * rng.normal(size=4)
    wider = max(NARROWEST * (y2 - y1) - (x2 - x1), 0) / 2
    x1, x2 = round(x1 - wider), round(x2 + wider)
    return Window(x1, round(y1), max(x2, x1 + 8), max(round(y2), round(y1) + 16))


def _size(params: CloseUps, window: Window) -> tuple[int, int]:
    """Height and width of a window's image: those in the frame, scaled where too small or large."""
    tall, wide = window.y2 - window.y1, window.x2 - window.x1
    height = min(max(round(tall), params.height_min), params.height_max)
    return height, max(round(wide * height / tall), 8)
