"""Hall: people walk through an arrivals hall past two cameras; each pass is one tracklet.

Yields samples for a data set in the manner of iLIDS-VID: of each person and camera the crops of
consecutive frames, each with the flow to the next. A tracker's window follows the person smoothly
and strays a little; or it stands still (`window: stands`), and so does the background: people alone
move then. Passers-by, some behind a luggage trolley, and pillars hide the person for some frames,
and others stand or walk behind.

Everyone passes each camera once. Where splits are drawn at random, persons are one list; persons to
test, which other layouts need, are asked for by `test_identities`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
from pydantic import Field

from pipeline.datasets.base import Sample
from pipeline.world import crowd
from pipeline.world.cameras import Camera, Window
from pipeline.world.crowd import Rendered, Scene, Walker
from pipeline.world.hidden import labels_of
from pipeline.world.scenes.hall_things import LANE_M, REACH_M, draw_hall, hall_thing
from pipeline.world.scenes.interiors import below_ceiling
from pipeline.world.shapes import Solids, join_solids, make_solids
from pipeline.world.shots import Moment, Site, person_box, picture, truth_of
from pipeline.world.truth import Truth
from reid.arrays.images import decode, encode_jpeg

PAUSE = 25  # frames at least between two passes of a camera's recording
AGAINST = 0.25  # share of the passes that go against the stream
TROLLEYS = 0.4  # share of those who cross that push one
SMOOTH = 3.0  # frames: standard deviation of the tracker's average over time
STRAY = 8.0  # frames: the same of its errors, which change slowly
SHAKE = 0.1  # of their deviation: an error of each frame's own
MARGIN = 1.12  # height of a window, of the person's
LEAST_SEEN = 0.5  # of a body, in the median frame; who is hidden more passes elsewhere
DRAWS = 4  # how often that is tried


class Params(Scene):
    """The hall."""

    train_identities: int = Field(80, ge=1)
    test_identities: int = Field(0, ge=0)  # splits are drawn at random
    cameras: int = Field(2, ge=2)
    images_min: int = Field(20, ge=2)  # frames of a tracklet
    images_max: int = Field(40, ge=2)
    gap_min: int = Field(1, ge=1, le=1)  # frames are consecutive
    gap_max: int = Field(1, ge=1, le=1)
    height: int = Field(128, ge=16)  # pixels of an image
    width: int = Field(64, ge=8)
    shared_outfit_share: float = Field(0.5, ge=0, le=1)
    occluder_probability: float = Field(0.6, ge=0, le=1)  # of a pass: someone crosses before
    bystanders: int = Field(2, ge=0)  # at most so many others beyond the person
    things: int = Field(4, ge=1)
    window: Literal["follows", "stands"] = "follows"  # stands: one for all frames of a tracklet
    box_jitter: float = Field(0.04, ge=0)  # of the tracker's windows, in box heights
    truncation_probability: float = Field(0.1, ge=0, le=1)  # of a pass: legs or head cut off
    cast_strength: float = Field(0.8, ge=0)
    light_variation: float = Field(0.18, ge=0)

    __hash__ = Scene.__hash__

    def render(self, workers: int = 1) -> Iterator[tuple[Sample, Truth]]:
        return crowd.render_passes(render_pass, self, plan(self), workers)


class Pass(NamedTuple):
    """One person before one camera."""

    person: int  # from 1
    camera: int  # from 1
    slot: int  # which part of the camera's recording
    role: str  # train, query or gallery


def plan(params: Params) -> list[Pass]:
    """All passes in the order of their images: by person, then camera."""
    rng = np.random.default_rng([params.seed, crowd.ROLES])
    persons, train = crowd.train_persons(params, rng)
    walks = [(p, c) for p in persons for c in range(1, params.cameras + 1)]
    order = crowd.slots(rng, [camera for _, camera in walks])
    return [
        Pass(p, c, slot, "train" if p in train else "query" if c == 1 else "gallery")
        for (p, c), slot in zip(walks, order, strict=True)
    ]


@lru_cache(maxsize=32)
def site_of(params: Params, camera: int) -> Site:
    """A camera below the ceiling, odd ones in lamplight, even ones in daylight, and its hall."""
    rng = np.random.default_rng([params.seed, crowd.CAMERA, camera])
    drawn = crowd.camera_of(params, camera, rng)
    height = float(rng.uniform(2.6, 3.6))
    daylight = params.cast_strength * (-1 if camera % 2 else 1)
    gain = np.array(drawn.gain) * np.exp(daylight * np.array([-0.12, 0, 0.14]))
    made = below_ceiling(drawn, height, float(rng.uniform(0.7, 1.0)))
    made = replace(made, gain=tuple(gain.tolist()))
    return Site(made, draw_hall(made, rng, params.things))


def render_pass(params: Params, one: Pass) -> Rendered:
    """The tracklet of one pass, in the order of its frames."""
    rng = np.random.default_rng([params.seed, crowd.PASS, one.person, one.camera])
    site = site_of(params, one.camera)
    light = crowd.light_of(params, site.camera, 0.15, 0.45, rng)
    walkers, solids, moments = _arranged(params, one, site, rng)
    own, size = len(walkers[0].solids.kind), (params.height, params.width)
    first = 1 + one.slot * (params.images_max + PAUSE)
    shots = []
    for number, (moment, later) in enumerate(zip(moments, [*moments[1:], None], strict=True)):
        seen = picture(site, solids, moment, light, rng, *size)
        truth = truth_of(site, solids, own, moment, later, walkers[0].heading, *size)
        sample = Sample(
            image=decode(encode_jpeg(seen, site.camera.quality)),  # the recording is compressed
            person=one.person, camera=one.camera, role=one.role, frame=first + number, tracklet=1,
            viewpoint=truth.viewpoint,
        )  # fmt: skip
        shots.append((sample, truth))
    return shots


# ------------------------------------------------------------------------------------ who is there


def _arranged(
    params: Params, one: Pass, site: Site, rng: np.random.Generator
) -> tuple[list[Walker], Solids, list[Moment]]:
    """Who walks where, and the moments of the frames; drawn anew while the person is hidden."""
    images = int(rng.integers(params.images_min, params.images_max + 1))
    times = (np.arange(images) - (images - 1) / 2) / params.frames_per_second
    for _ in range(DRAWS):
        walkers = _walkers(params, one, site.camera, float(times[-1]), rng)
        solids = join_solids([walker.solids for walker in walkers])
        moments = _moments(params, site.camera, walkers, solids, times.tolist(), rng)
        seen = [
            labels_of(site, solids, len(walkers[0].solids.kind), m, params.height, params.width)[1]
            for m in moments[::5]
        ]
        if np.median(seen) >= LEAST_SEEN:
            break
    return walkers, solids, moments


def _walkers(params: Params, one: Pass, camera: Camera, end: float, rng) -> list[Walker]:
    """The person meant, and others; `end` is the time of the last frame, 0 in the middle."""
    person = crowd.someone(params, one.person, rng)
    turned = np.pi * (rng.random() < AGAINST)
    turned += np.radians(params.heading_jitter_degrees) * rng.normal()
    along = np.array([np.cos(camera.path), np.sin(camera.path)])
    start = np.array([0, camera.distance]) + rng.uniform(-REACH_M, REACH_M) * along
    start = start + rng.uniform(-LANE_M, LANE_M) * np.array([-along[1], along[0]])
    meant = crowd.walker_of(person, start, float(camera.path + turned))
    others = []
    if rng.random() < params.occluder_probability:
        nearer = rng.uniform(0.8, 1.6)
        others += crossing(params, meant, nearer, float(rng.uniform(-0.7, 0.7)) * end, rng)
    for _ in range(int(rng.integers(params.bystanders + 1))):
        others += _bystander(params, meant, end, rng)
    return [meant, *others]


def crossing(params: Params, meant: Walker, nearer: float, time: float, rng) -> list[Walker]:
    """Somebody who crosses the camera's sight of the person at a time, perhaps with a trolley.

    They are then `nearer` metres closer to the camera than the person, and go against their way.
    """
    there = meant.at(time)[2]
    to_camera = -there / np.linalg.norm(there)
    sight = float(np.arctan2(to_camera[1], to_camera[0])) + 0.25 * rng.normal()
    heading = min(sight + np.pi / 2, sight - np.pi / 2, key=lambda a: np.cos(a - meant.heading))
    forward = np.array([np.cos(heading), np.sin(heading)])
    other = crowd.walker_of(crowd.stranger(params, rng), there + nearer * to_camera, heading)
    other = other._replace(start=other.start - other.speed * time * forward)
    if rng.random() >= TROLLEYS:
        return [other]
    cart = make_solids(hall_thing("trolley", rng))
    return [other, Walker(cart, None, other.start + 0.8 * forward, heading, other.speed)]


def _bystander(params: Params, meant: Walker, end: float, rng) -> list[Walker]:
    """Somebody beyond the person: who goes along, who crosses, or who waits for an arrival."""
    kind = str(rng.choice(["along", "crossing", "waiting"]))
    if kind == "crossing":
        return crossing(params, meant, -rng.uniform(1.0, 2.5), float(rng.uniform(-1, 1)) * end, rng)
    away = meant.start / np.linalg.norm(meant.start)
    aside = rng.uniform(-0.9, 0.9) * np.array([-away[1], away[0]])
    looks, start = crowd.stranger(params, rng), meant.start + rng.uniform(0.6, 1.8) * away + aside
    if kind == "along":
        return [crowd.walker_of(looks, start, meant.heading)._replace(speed=meant.speed)]
    still = replace(looks.gait, stride=0.0, knee=0.0, arms=0.03, sway=0.02)
    return [crowd.walker_of(replace(looks, gait=still), start, float(rng.uniform(0, 2 * np.pi)))]


# ------------------------------------------------------------------------------------- the tracker


def _moments(
    params: Params, camera: Camera, walkers: list[Walker], solids: Solids, times: list[float], rng
) -> list[Moment]:
    there = [crowd.everyone_at(walkers, time) for time in times]
    own = len(walkers[0].solids.kind)
    boxes = [person_box(camera, solids, own, frames) for frames, _, _ in there]
    cut_out = track if params.window == "follows" else stand
    windows = cut_out(params, np.array(boxes, float), rng)
    return [Moment(*everyone, window) for everyone, window in zip(there, windows, strict=True)]


def track(params: Params, boxes: np.ndarray, rng: np.random.Generator) -> list[Window]:
    """The windows that a tracker cuts out for a person's true boxes (N, 4) in frame pixels."""
    tall = boxes[:, 3] - boxes[:, 1]
    path = _averaged(np.column_stack([(boxes[:, :2] + boxes[:, 2:]) / 2, tall]))  # (N, 3)
    strays = _strays(len(boxes), rng) * params.box_jitter
    size = MARGIN * path[:, 2] * np.exp(strays[:, 2])
    centre = path[:, :2] + path[:, 2:] * strays[:, :2] * [0.6, 0.7]
    return _windows(params, centre, size, path[:, 2], rng)


def stand(params: Params, boxes: np.ndarray, rng: np.random.Generator) -> list[Window]:
    """One window for all of a person's true boxes (N, 4) in frame pixels; they walk through it."""
    whole = np.concatenate([boxes[:, :2].min(0), boxes[:, 2:].max(0)])
    wide, tall = whole[2:] - whole[:2]
    path = np.array([*(whole[:2] + whole[2:]) / 2, max(tall, wide * params.height / params.width)])
    strays = params.box_jitter * rng.normal(size=3)
    size = MARGIN * path[2:] * np.exp(strays[2])
    centre = path[None, :2] + path[2] * strays[:2] * [0.6, 0.7]
    return len(boxes) * _windows(params, centre, size, np.array([tall]), rng)


def _windows(
    params: Params, centre: np.ndarray, size: np.ndarray, tall: np.ndarray, rng: np.random.Generator
) -> list[Window]:
    """Windows around centres (N, 2), so high (N,); persons, so `tall` (N,), may be cut off."""
    if rng.random() < params.truncation_probability:  # legs cut off, or the head
        lost = rng.uniform(0.12, 0.3) * tall
        centre[:, 1] += np.where(rng.random() < 0.75, -lost / 2, lost / 2)
        size = size - lost
    half = size[:, None] / 2 * [params.width / params.height, 1]
    return [Window(*corners) for corners in np.hstack([centre - half, centre + half]).tolist()]


def _averaged(values: np.ndarray, deviation: float = SMOOTH) -> np.ndarray:
    """(N, C) values in time, averaged over their neighbours; steady motion stays as it is."""
    reach = min(round(3 * deviation), len(values) - 1)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    padded = np.pad(values, ((reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    return np.column_stack(
        [np.convolve(column, weights / weights.sum(), mode="valid") for column in padded.T]
    )


def _strays(frames: int, rng: np.random.Generator) -> np.ndarray:
    """(frames, 3) of about unit deviation: each frame's is near the one before."""
    padding = round(3 * STRAY)
    slow = _averaged(rng.normal(size=(frames + 2 * padding, 3)), STRAY)[padding : padding + frames]
    slow *= np.sqrt(2 * np.sqrt(np.pi) * STRAY)  # the average of normal draws has less deviation
    return slow + SHAKE * rng.normal(size=(frames, 3))
