"""Street: people walk past several cameras; each image is one detector's crop of one person.

Yields samples for a data set in the manner of Market-1501: training persons, and test persons with
one query for each camera they pass and the rest in the gallery, beside distractors (other people
and empty background, person 0) and junk (badly cut crops, person -1).

Every pass of a person before a camera has its own random generator, so the images do not depend on
the number of workers.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np
from pydantic import Field, model_validator

from pipeline.core.images import encode_jpeg
from pipeline.core.params import Strict
from pipeline.datasets.base import Sample
from pipeline.world.backdrops import draw_backdrop, thing
from pipeline.world.bodies import Outfit, Person, at_phase, draw_outfit, draw_person, solids_of
from pipeline.world.cameras import Camera, Window, draw_camera
from pipeline.world.gait import turn, walk
from pipeline.world.paint import Light
from pipeline.world.shapes import Frames, Solids, join_frames, join_solids, make_solids
from pipeline.world.shots import Moment, Place, person_box, picture, truth_of
from pipeline.world.truth import Truth

PERSON, CAMERA, PASS, OUTFIT, ROLES = range(5)  # what a random generator is for
EXTRA_PEOPLE = 1_000_000  # passers-by and distractors are numbered from here
SEQUENCES = 6  # a camera's recording is cut into this many
TASK_PASSES = 4  # passes that a worker renders at a time


class Params(Strict):
    """The street. Shares and probabilities are 0 to 1."""

    seed: int = Field(1, ge=0)
    train_identities: int = Field(60, ge=1)
    test_identities: int = Field(40, ge=1)
    cameras: int = Field(6, ge=2)
    images_min: int = Field(4, ge=2)  # of one pass: a person before a camera
    images_max: int = Field(7, ge=2)
    camera_share: float = Field(0.75, ge=0, le=1)  # of the cameras that a person passes, at least 2
    height: int = Field(128, ge=16)  # pixels of an image
    width: int = Field(64, ge=8)
    jpeg_quality: int = Field(85, ge=20, le=98)  # mean over the cameras
    frames_per_second: float = Field(25.0, gt=0)
    gap_min: int = Field(6, ge=1)  # frames between two images of a pass
    gap_max: int = Field(20, ge=1, le=50)
    distractor_share: float = Field(0.15, ge=0)  # distractor images for each test image
    background_share: float = Field(0.4, ge=0, le=1)  # of the distractors: nobody in them
    junk_share: float = Field(0.08, ge=0)  # junk images for each test image
    shared_outfit_share: float = Field(0.3, ge=0, le=1)  # of the persons, in clothes of others too
    outfit_people: int = Field(3, ge=1)  # who wear the same clothes, on average
    saturated_share: float = Field(0.45, ge=0, le=1)  # of the garments that are not muted
    heading_jitter_degrees: float = Field(18.0, ge=0)  # of a walk against its camera's path
    occluder_probability: float = Field(0.2, ge=0, le=1)  # of a pass: someone or a car in the way
    things: int = Field(6, ge=1)  # posts, trees, bins and parked cars about each camera
    box_jitter: float = Field(0.05, ge=0)  # of the detector's boxes, in box heights
    truncation_probability: float = Field(0.06, ge=0, le=1)  # of a box: legs or head cut off
    light_variation: float = Field(0.14, ge=0)  # log standard deviation of a pass's brightness
    cast_strength: float = Field(0.35, ge=0)  # how much the cameras' colours differ
    noise: float = Field(3.0, ge=0)  # standard deviation, gray levels; mean over the cameras
    blur: float = Field(0.7, ge=0)  # standard deviation, pixels; mean over the cameras

    @model_validator(mode="after")
    def _ordered(self) -> Params:
        if self.images_max < self.images_min or self.gap_max < self.gap_min:
            raise ValueError("images_max and gap_max must not be below images_min and gap_min")
        return self

    def __hash__(self) -> int:
        return hash(tuple(self.model_dump().values()))  # equal streets share their drawn places


class Pass(NamedTuple):
    """One person before one camera, or nobody."""

    kind: str  # identity, stranger, background or junk
    identity: int  # whose body and clothes
    camera: int  # from 1
    slot: int  # which part of the camera's recording
    person: int  # the label
    role: str  # train, or test for query and gallery


Rendered = list[tuple[Sample, Truth]]


def render_street(params: Params, workers: int = 1) -> Iterator[tuple[Sample, Truth]]:
    """All images with their truth, in the order of their passes, whatever the number of workers.

    One worker renders in this process; more are spawned.
    """
    passes = plan(params)
    tasks = [passes[i : i + TASK_PASSES] for i in range(0, len(passes), TASK_PASSES)]
    if workers == 1:
        for task in tasks:
            yield from render_task(params, task)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _quiet) as pool:
        waiting: deque = deque()  # bounded: a large world does not pile up before its writer
        for task in tasks:
            waiting.append(pool.submit(render_task, params, task))
            if len(waiting) >= 4 * workers:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()


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
    slots = _slots(rng, [walk[2] for walk in walks])
    passes = [Pass(k, i, c, slot, p, r) for (k, i, c, p, r), slot in zip(walks, slots, strict=True)]
    return sorted(passes, key=lambda p: (p.person, p.camera, p.slot))


def _any(rng: np.random.Generator, cameras: int) -> int:
    return int(rng.integers(1, cameras + 1))


def _slots(rng: np.random.Generator, cameras: list[int]) -> list[int]:
    """For each pass its place in its camera's recording: a random order without gaps."""
    orders = {c: list(rng.permutation(cameras.count(c))) for c in sorted(set(cameras))}
    return [int(orders[camera].pop()) for camera in cameras]


def render_task(params: Params, task: list[Pass]) -> Rendered:
    """The images of a few passes."""
    return [shot for one in task for shot in render_pass(params, one)]


def _quiet() -> None:
    cv2.setNumThreads(1)


@lru_cache(maxsize=32)
def place_of(params: Params, camera: int) -> Place:
    """A camera and its backdrop."""
    rng = np.random.default_rng([params.seed, CAMERA, camera])
    made = draw_camera(
        rng, camera, params.cast_strength, params.noise, params.blur, params.jpeg_quality
    )
    return Place(made, draw_backdrop(made, rng, params.things))


@lru_cache(maxsize=4096)
def person_of(params: Params, identity: int) -> Person:
    """The looks of a person: own clothes, or those of one of the shared outfits."""
    rng = np.random.default_rng([params.seed, PERSON, identity])
    outfit = draw_outfit(rng, params.saturated_share)
    if rng.random() < params.shared_outfit_share:
        people = params.shared_outfit_share * (params.train_identities + params.test_identities)
        outfits = max(1, round(people / params.outfit_people))
        outfit = _shared_outfit(params, int(rng.integers(outfits)))
    return draw_person(rng, outfit, params.saturated_share)


def _shared_outfit(params: Params, number: int) -> Outfit:
    rng = np.random.default_rng([params.seed, OUTFIT, number])
    return draw_outfit(rng, params.saturated_share)


class Walker(NamedTuple):
    """Someone, or a car, on a straight way through a camera's place."""

    solids: Solids
    person: Person | None  # None: a car
    start: np.ndarray  # (2,) at time 0
    heading: float
    speed: float  # metres a second

    def at(self, seconds: float) -> tuple[Frames, np.ndarray | None, np.ndarray]:
        """World frames of the bones, joints of a person, and the ground point (2,)."""
        forward = np.array([np.cos(self.heading), np.sin(self.heading)])
        spot = self.start + self.speed * seconds * forward
        if self.person is None:
            return Frames(np.array([[*spot, 0.0]]), turn(self.heading)[None]), None, spot
        pose = walk(self.person.body, self.person.gait, spot, self.heading, seconds)
        return pose.bones, pose.joints, spot


def render_pass(params: Params, one: Pass) -> Rendered:
    """The images of one pass, in the order of their frames."""
    kinds = ("identity", "stranger", "background", "junk")
    seed = [params.seed, PASS, one.identity, one.camera, one.slot, kinds.index(one.kind)]
    rng = np.random.default_rng(seed)
    place, light = place_of(params, one.camera), _light(params, one, rng)
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
    roles = _roles(one, len(moments), rng)
    shots = []
    for number, (moment, later) in enumerate(zip(moments, [*moments[1:], None], strict=True)):
        image = picture(place, solids, moment, light, rng, *size)
        truth = truth_of(place, solids, own, moment, later, facing, *size)
        frame = one.slot * params.images_max * params.gap_max + int(frames[number])
        shots.append((_sample(image, one, roles[number], frame, place.camera, truth), truth))
    return shots


def _roles(one: Pass, images: int, rng: np.random.Generator) -> list[str]:
    """The role of each image of a pass: of a test person's, one at random is the query."""
    query = int(rng.integers(images))
    if one.role == "train" or one.kind != "identity":
        return ["train" if one.role == "train" else "gallery"] * images
    return ["query" if number == query else "gallery" for number in range(images)]


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


def _light(params: Params, one: Pass, rng: np.random.Generator) -> Light:
    camera = place_of(params, one.camera).camera
    tint = np.exp(params.light_variation * (0.7 * rng.normal() + 0.25 * rng.normal(size=3)))
    return Light(np.array(camera.sun), float(rng.uniform(0.1, 0.7)), 1.1 * tint.clip(0.6, 1.5))


def _walkers(params: Params, one: Pass, camera: Camera, rng) -> list[Walker]:
    """The person meant, and who or what may be in the way."""
    person = at_phase(person_of(params, one.identity), float(rng.uniform(0, 2 * np.pi)))
    jitter = np.radians(params.heading_jitter_degrees) * rng.normal()
    heading = float(camera.path + np.pi * rng.integers(2) + jitter)
    start = np.array([0, camera.distance]) + rng.uniform([-1.2, -0.8], [1.2, 0.8])
    meant = Walker(solids_of(person), person, start, heading, person.gait.speed(person.body))
    if rng.random() >= params.occluder_probability:
        return [meant]
    kind = str(rng.choice(["crossing", "beside", "car"], p=[0.47, 0.45, 0.08]))
    to_camera = -start / np.linalg.norm(start)
    if kind == "car":
        solids = make_solids(thing("car", rng))
        place = start + 2.2 * to_camera + rng.uniform(-3, 3) * turn(camera.path)[:2, 0]
        return [meant, Walker(solids, None, place, camera.path, float(rng.uniform(-1.5, 1.5)))]
    other = person_of(params, 2 * EXTRA_PEOPLE + int(rng.integers(EXTRA_PEOPLE)))
    other = at_phase(other, float(rng.uniform(0, 2 * np.pi)))
    if kind == "beside":
        aside = turn(heading)[:2, 1] * rng.choice([-1, 1]) * rng.uniform(0.45, 0.7)
        place = start + aside + rng.uniform(-0.3, 0.3) * turn(heading)[:2, 0]
        return [meant, Walker(solids_of(other), other, place, heading, meant.speed)]
    place = start + rng.uniform(0.7, 1.6) * to_camera + rng.normal(0, 0.2, 2)
    way = float(heading + np.pi + 0.4 * rng.normal())
    return [meant, Walker(solids_of(other), other, place, way, other.gait.speed(other.body))]


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
