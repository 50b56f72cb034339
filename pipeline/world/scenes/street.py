"""Street: people walk past several cameras; each image is one detector's crop of one person.

Yields samples for a data set in the manner of Market-1501: training persons, and test persons with
one query for each camera they pass and the rest in the gallery, beside distractors (other people
and empty background, person 0) and junk (badly cut crops, person -1).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from pydantic import Field

from pipeline.datasets.base import Sample
from pipeline.world.backdrops import draw_backdrop
from pipeline.world.bodies import at_phase
from pipeline.world.cameras import Camera, Window, draw_camera
from pipeline.world.crowd import (
    CAMERA,
    EXTRA_PEOPLE,
    PASS,
    ROLES,
    Rendered,
    Scene,
    Walker,
    light_of,
    passer_by,
    person_of,
    render_passes,
    roles_of,
    slots,
    walker_of,
)
from pipeline.world.gait import turn
from pipeline.world.shapes import Solids, join_frames, join_solids, make_solids
from pipeline.world.shots import Moment, Place, person_box, picture, truth_of
from pipeline.world.things import thing
from pipeline.world.truth import Truth
from reid.arrays.images import encode_jpeg

SEQUENCES = 6  # a camera's recording is cut into this many


class Params(Scene):
    """The street."""

    cameras: int = Field(6, ge=2)
    camera_share: float = Field(0.75, ge=0, le=1)  # of the cameras that a person passes, at least 2
    height: int = Field(128, ge=16)  # pixels of an image
    width: int = Field(64, ge=8)
    distractor_share: float = Field(0.15, ge=0)  # distractor images for each test image
    background_share: float = Field(0.4, ge=0, le=1)  # of the distractors: nobody in them
    junk_share: float = Field(0.08, ge=0)  # junk images for each test image

    __hash__ = Scene.__hash__

    def render(self, workers: int = 1) -> Iterator[tuple[Sample, Truth]]:
        return render_street(self, workers)


class Pass(NamedTuple):
    """One person before one camera, or nobody."""

    kind: str  # identity, stranger, background or junk
    identity: int  # whose body and clothes
    camera: int  # from 1
    slot: int  # which part of the camera's recording
    person: int  # the label
    role: str  # train, or test for query and gallery


def render_street(params: Params, workers: int = 1) -> Iterator[tuple[Sample, Truth]]:
    """All images with their truth, in the order of their passes, whatever the number of workers."""
    yield from render_passes(render_pass, params, plan(params), workers)


def plan(params: Params) -> list[Pass]:
    """All passes in the order of their images: by person label, then camera."""
    rng = np.random.default_rng([params.seed, ROLES])
    count = params.train_identities + params.test_identities
    train = set((1 + rng.permutation(count)[: params.train_identities]).tolist())
    visits = max(2, round(params.camera_share * params.cameras))
    walks: list[tuple] = []
    for person in range(1, count + 1):
        cameras = 1 + rng.permutation(params.cameras)[:visits]
        role = "train" if person in train else "test"
        walks += [("identity", person, int(camera), person, role) for camera in sorted(cameras)]
    tested = sorted(set(range(1, count + 1)) - train)
    images = len(tested) * visits * (params.images_min + params.images_max) / 2
    for number in range(round(params.distractor_share * images)):
        kind = "background" if rng.random() < params.background_share else "stranger"
        walks.append((kind, EXTRA_PEOPLE + number, _any(rng, params.cameras), 0, "test"))
    for _ in range(round(params.junk_share * images)):
        who = tested[int(rng.integers(len(tested)))]
        walks.append(("junk", who, _any(rng, params.cameras), -1, "test"))
    places = slots(rng, [walk[2] for walk in walks])
    passes = [
        Pass(k, i, c, slot, p, r) for (k, i, c, p, r), slot in zip(walks, places, strict=True)
    ]
    return sorted(passes, key=lambda p: (p.person, p.camera, p.slot))


def _any(rng: np.random.Generator, cameras: int) -> int:
    return int(rng.integers(1, cameras + 1))


@lru_cache(maxsize=32)
def place_of(params: Params, camera: int) -> Place:
    """A camera and its backdrop."""
    rng = np.random.default_rng([params.seed, CAMERA, camera])
    made = draw_camera(
        rng, camera, params.cast_strength, params.noise, params.blur, params.jpeg_quality
    )
    return Place(made, draw_backdrop(made, rng, params.things))


def render_pass(params: Params, one: Pass) -> Rendered:
    """The images of one pass, in the order of their frames."""
    kinds = ("identity", "stranger", "background", "junk")
    seed = [params.seed, PASS, one.identity, one.camera, one.slot, kinds.index(one.kind)]
    rng = np.random.default_rng(seed)
    place = place_of(params, one.camera)
    light = light_of(params, place.camera, 0.1, 0.7, rng)
    images = int(rng.integers(params.images_min, params.images_max + 1))
    gaps = rng.integers(params.gap_min, params.gap_max + 1, images)
    frames = np.cumsum(gaps)[: images if one.kind == "identity" else 1]
    seconds = (frames - frames[-1] / 2) / params.frames_per_second  # 0 in the middle of the pass
    walkers = _walkers(params, one, place.camera, rng)
    solids = join_solids([w.solids for w in walkers])
    own, facing = len(walkers[0].solids.kind), walkers[0].heading
    moments = [_moment(params, one, place.camera, walkers, solids, own, t, rng) for t in seconds]
    if one.kind == "background":
        solids, own, facing = _nothing(solids), 0, None
    size = params.height, params.width
    roles = roles_of(one, len(moments), rng)
    shots = []
    for number, (moment, later) in enumerate(zip(moments, [*moments[1:], None], strict=True)):
        image = picture(place, solids, moment, light, rng, *size)
        truth = truth_of(place, solids, own, moment, later, facing, *size)
        frame = one.slot * params.images_max * params.gap_max + int(frames[number])
        shots.append((_sample(image, one, roles[number], frame, place.camera, truth), truth))
    return shots


def _sample(image, one: Pass, role: str, frame: int, camera: Camera, truth: Truth) -> Sample:
    return Sample(
        image=image, person=one.person, camera=one.camera, role=role, frame=frame,
        tracklet=1 + one.slot % SEQUENCES, viewpoint=truth.viewpoint,
        encoded=encode_jpeg(image, camera.quality),
    )  # fmt: skip


def _nothing(solids: Solids) -> Solids:
    """The same solids far behind the camera, where no ray goes."""
    away = {"start": solids.start * 0 - 1e6, "end": solids.end * 0 - 1e6}
    return Solids(**{**vars(solids), **away})


def _walkers(params: Params, one: Pass, camera: Camera, rng) -> list[Walker]:
    """The person meant, and who or what may be in the way."""
    person = at_phase(person_of(params, one.identity), float(rng.uniform(0, 2 * np.pi)))
    jitter = np.radians(params.heading_jitter_degrees) * rng.normal()
    heading = float(camera.path + np.pi * rng.integers(2) + jitter)
    start = np.array([0, camera.distance]) + rng.uniform([-1.2, -0.8], [1.2, 0.8])
    meant = walker_of(person, start, heading)
    if rng.random() >= params.occluder_probability:
        return [meant]
    kind = str(rng.choice(["crossing", "beside", "car"], p=[0.47, 0.45, 0.08]))
    if kind != "car":
        return [meant, passer_by(params, kind, meant, rng)]
    solids = make_solids(thing("car", rng))
    to_camera = -start / np.linalg.norm(start)
    place = start + 2.2 * to_camera + rng.uniform(-3, 3) * turn(camera.path)[:2, 0]
    return [meant, Walker(solids, None, place, camera.path, float(rng.uniform(-1.5, 1.5)))]


def _moment(params, one: Pass, camera: Camera, walkers, solids, own: int, seconds: float, rng):
    there = [walker.at(float(seconds)) for walker in walkers]
    frames = join_frames([bones for bones, _, _ in there])
    whole = Window(0, 0, params.width, params.height)  # so that the box is in frame pixels
    box = person_box(camera, solids, own, frames, whole, params.height, params.width)
    window = _detect(params, one.kind, box, rng)
    feet = [] if one.kind == "background" else [spot for _, _, spot in there]
    return Moment(frames, there[0][1], np.array(feet), window)


def _detect(params: Params, kind: str, box: np.ndarray, rng: np.random.Generator) -> Window:
    """The window that a detector cuts out for a person's true box (4,) in frame pixels."""
    centre, tall = (box[:2] + box[2:]) / 2, float(box[3] - box[1])
    size = 1.1 * tall * float(np.exp(params.box_jitter * rng.normal()))
    centre = centre + params.box_jitter * tall * rng.normal(0, [0.6, 0.7])
    if rng.random() < params.truncation_probability:  # legs cut off, or the head
        lost = rng.uniform(0.12, 0.3) * tall
        centre = centre + np.array([0, -lost / 2 if rng.random() < 0.75 else lost / 2])
        size -= lost
    if kind == "junk":
        off = rng.uniform(0, 2 * np.pi)
        centre = centre + tall * rng.uniform(0.3, 0.5) * np.array([0.6 * np.cos(off), np.sin(off)])
        size *= rng.uniform(0.5, 1.3)
    if kind == "background":
        centre = centre + tall * rng.uniform([-1.5, -0.3], [1.5, 0.3])
        size *= rng.uniform(0.6, 1.2)
    half = np.array([size * params.width / params.height, size]) / 2
    return Window(*(centre - half), *(centre + half))
