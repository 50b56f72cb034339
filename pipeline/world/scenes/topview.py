"""Top view: colour and depth from the ceiling of a corridor; everyone passes, and comes back.

Yields whole frames for data sets in the manner of TVPR, DPI-T and OPR. A recording is of a few
people who pass from left to right one after the other, and then come back in another order. The
first passage of a person is camera 1 and role train, the second camera 2 and role query; a layout
takes from these what it has a role for. At times somebody else is in the frame too. Depth lacks
readings, see `depth_sensor`; the ground truth has none missing, and knows everyone in the frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from pipeline.datasets.base import Sample
from pipeline.world import crowd
from pipeline.world.bodies import PART
from pipeline.world.cameras import FRAME_HEIGHT, FRAME_WIDTH, Window
from pipeline.world.crowd import Rendered, Scene, Walker
from pipeline.world.depth_sensor import readings
from pipeline.world.scenes.corridor import draw_ceiling_camera, draw_corridor
from pipeline.world.shapes import Hits, Solids, join_solids
from pipeline.world.shots import Moment, Site, look, picture, truth_of
from pipeline.world.truth import Truth, people_of
from reid.arrays.images import encode_jpeg

PAUSE = 60  # frames between two passages of a recording
LEAST_SEEN = 0.006  # of the frame's pixels are the person's, or the frame is left out
APART_M = 0.62  # between the ways of two people beside each other
LANE_M = 0.45  # the ways of those who are meant are this far from the middle at most


class Params(Scene):
    """The top view."""

    train_identities: int = Field(64, ge=2)  # everyone: each passes twice
    test_identities: int = Field(0, ge=0, le=0)  # passages are what is tested on
    images_min: int = Field(7, ge=2)
    images_max: int = Field(9, ge=2)
    frames_per_second: float = Field(30.0, gt=0)
    gap_min: int = Field(3, ge=1)
    gap_max: int = Field(8, ge=1, le=50)
    heading_jitter_degrees: float = Field(5.0, ge=0)
    occluder_probability: float = Field(0.25, ge=0, le=1)  # of a passage: somebody else there
    things: int = Field(3, ge=0)
    box_jitter: float = Field(0, ge=0, le=0)  # frames are whole: no detector cuts them
    truncation_probability: float = Field(0, ge=0, le=0)
    cast_strength: float = Field(0, ge=0, le=0)  # there is one camera
    shared_outfit_share: float = Field(0.6, ge=0, le=1)
    saturated_share: float = Field(0.3, ge=0, le=1)
    light_variation: float = Field(0.25, ge=0)
    height: int = Field(120, ge=24)  # pixels of a frame
    width: int = Field(160, ge=32)
    camera_height: float = Field(3.9, ge=2.6, le=6)  # metres
    people_per_recording: int = Field(5, ge=1, le=100)
    missing: float = Field(1.0, ge=0, le=1)  # scales the depth readings that chance takes away

    @model_validator(mode="after")
    def _no_wider(self) -> Params:
        if self.width * FRAME_HEIGHT > self.height * FRAME_WIDTH:
            raise ValueError(f"width must not be above {FRAME_WIDTH}/{FRAME_HEIGHT} of height")
        return self

    __hash__ = Scene.__hash__

    def render(self, workers: int = 1) -> Iterator[tuple[Sample, Truth]]:
        return crowd.render_passes(render_pass, self, plan(self), workers)


class Pass(NamedTuple):
    """One person's walk below the camera."""

    person: int  # from 1
    camera: int  # 1 from left to right, 2 back
    recording: int  # from 1
    first_frame: int


def plan(params: Params) -> list[Pass]:
    """All passages, in the order of time."""
    rng = np.random.default_rng([params.seed, crowd.ROLES])
    everyone = 1 + rng.permutation(params.train_identities)
    longest = params.images_max * params.gap_max + PAUSE
    passes = []
    for start in range(0, len(everyone), params.people_per_recording):
        there = everyone[start : start + params.people_per_recording]
        order = [(int(person), 1) for person in there]
        order += [(int(person), 2) for person in rng.permutation(there)]
        recording = 1 + start // params.people_per_recording
        passes += [
            Pass(person, camera, recording, 1 + slot * longest)
            for slot, (person, camera) in enumerate(order)
        ]
    return passes


@lru_cache(maxsize=4)
def site_of(params: Params) -> Site:
    """The one camera and the empty corridor."""
    rng = np.random.default_rng([params.seed, crowd.CAMERA])
    camera = draw_ceiling_camera(
        rng, 1, params.camera_height, params.noise, params.blur, params.jpeg_quality
    )
    return Site(camera, draw_corridor(camera, rng, params.things))


def render_pass(params: Params, one: Pass) -> Rendered:
    """The frames of one passage in which the person is seen, in the order of time."""
    rng = np.random.default_rng([params.seed, crowd.PASS, one.person, one.camera])
    site = site_of(params)
    light = crowd.light_of(params, site.camera, 0.2, 0.5, rng)
    gaps = rng.integers(params.gap_min, params.gap_max + 1, params.images_max)
    frames = np.cumsum(gaps)[: int(rng.integers(params.images_min, params.images_max + 1))]
    seconds = (frames - frames[-1] / 2) / params.frames_per_second  # 0 in the middle of the way
    walkers, persons = _walkers(params, one, rng)
    solids = join_solids([walker.solids for walker in walkers])
    each = [len(walker.solids.kind) for walker in walkers]
    size, shots = (params.height, params.width), []
    for number, time in zip(frames.tolist(), seconds.tolist(), strict=True):
        moment = _moment(params, walkers, time)
        hits = look(site, solids, moment, *size)
        people, instances = people_of(persons, each, hits.index)
        image = picture(site, solids, moment, light, rng, *size)
        depth_mm = _readings(params, site, solids, hits, rng)
        if people[0]["pixels"] < LEAST_SEEN * params.height * params.width:
            continue
        heading = walkers[0].heading
        truth = truth_of(site, solids, each[0], moment, None, heading, *size, hits=hits)
        truth = replace(truth, viewpoint=None, people=people, instances=instances)
        sample = Sample(
            image=image, person=one.person, camera=one.camera, frame=one.first_frame + number,
            role="train" if one.camera == 1 else "query", tracklet=one.recording,
            depth_mm=depth_mm, encoded=encode_jpeg(image, site.camera.quality),
        )  # fmt: skip
        shots.append((sample, truth))
    return shots


def _walkers(params: Params, one: Pass, rng) -> tuple[list[Walker], list[int]]:
    """The person meant and who else is there, with their labels."""
    person = crowd.someone(params, one.person, rng)
    turned = np.radians(params.heading_jitter_degrees) * rng.normal()
    heading = float(turned if one.camera == 1 else np.pi + turned)
    start = np.array([rng.normal(0, 0.2), rng.uniform(-LANE_M, LANE_M)])
    meant = crowd.walker_of(person, start, heading)
    if rng.random() >= params.occluder_probability:
        return [meant], [one.person]
    return [meant, _other(params, meant, rng)], [one.person, 0]


def _other(params: Params, meant: Walker, rng: np.random.Generator) -> Walker:
    """A stranger who comes towards the person meant, or goes beside or behind."""
    looks = crowd.stranger(params, rng, crowd.EXTRA_PEOPLE)
    kind = str(rng.choice(["towards", "beside", "behind"]))
    lane = meant.start[1] - np.sign(meant.start[1] or 1) * (APART_M + rng.uniform(0, 0.2))
    forward = np.cos(meant.heading)
    if kind == "towards":
        start = np.array([meant.start[0] + forward * rng.uniform(-0.6, 1.2), lane])
        return crowd.walker_of(looks, start, float(meant.heading + np.pi))
    back = rng.uniform(-0.4, 0.4) if kind == "beside" else rng.uniform(0.9, 1.5)
    lane = lane if kind == "beside" else meant.start[1] + rng.normal(0, 0.15)
    other = crowd.walker_of(looks, np.array([meant.start[0] - forward * back, lane]), meant.heading)
    return other._replace(speed=meant.speed)


def _moment(params: Params, walkers: list[Walker], seconds: float) -> Moment:
    across = FRAME_HEIGHT * params.width / params.height
    left = (FRAME_WIDTH - across) / 2
    window = Window(left, 0, left + across, FRAME_HEIGHT)
    return Moment(*crowd.everyone_at(walkers, seconds), window)


def _readings(params: Params, site: Site, solids: Solids, hits: Hits, rng) -> np.ndarray:
    """What the depth camera reads. Dark hair swallows its light, dark cloth some of it."""
    dark = (1 - solids.colour.mean(1) / 0.22).clip(0, 1)
    dark *= np.where(solids.part == PART["hair"], 1, 0.2)
    swallowed = np.where(hits.index >= 0, dark[hits.index], 0)
    focal_px = site.camera.focal * params.height / FRAME_HEIGHT
    return readings(hits.depth, swallowed, focal_px, params.missing, rng)
