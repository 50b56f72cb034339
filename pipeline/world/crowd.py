"""What every scene shares: its parameters, who walks there, and rendering by several workers.

A pass is one person before one camera, and has its own random generator, so the images of a scene
do not depend on the number of workers.
"""

from __future__ import annotations

import multiprocessing
import os
from abc import abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np
from pydantic import Field, model_validator

from pipeline.datasets.base import Sample
from pipeline.world.bodies import Outfit, Person, at_phase, draw_outfit, draw_person, solids_of
from pipeline.world.cameras import Camera, draw_camera
from pipeline.world.gait import turn, walk
from pipeline.world.paint import Light
from pipeline.world.shapes import Frames, Solids, join_frames
from pipeline.world.truth import Truth
from reid.project.params import Strict
from reid.project.progress import advance, expect
from reid.project.threads import end_with

PERSON, CAMERA, PASS, OUTFIT, ROLES = range(5)  # what a random generator is for
EXTRA_PEOPLE = 1_000_000  # passers-by and distractors are numbered from here
TASK_PASSES = 4  # passes that a worker renders at a time

Rendered = list[tuple[Sample, Truth]]


class Scene(Strict):
    """What every scene has; shares and probabilities are 0 to 1."""

    seed: int = Field(1, ge=0)  # of a world below 10^9: from there on are those of the fits' people
    train_identities: int = Field(60, ge=1)
    test_identities: int = Field(40, ge=1)
    images_min: int = Field(4, ge=2)  # of one pass: a person before a camera
    images_max: int = Field(7, ge=2)
    jpeg_quality: int = Field(85, ge=20, le=98)  # mean over the cameras
    frames_per_second: float = Field(25.0, gt=0)
    gap_min: int = Field(6, ge=1)  # frames between two images of a pass
    gap_max: int = Field(20, ge=1, le=50)
    shared_outfit_share: float = Field(0.3, ge=0, le=1)  # of the persons, in clothes of others too
    outfit_people: int = Field(3, ge=1)  # who wear the same clothes, on average
    saturated_share: float = Field(0.45, ge=0, le=1)  # of the garments that are not muted
    heading_jitter_degrees: float = Field(18.0, ge=0)  # of a walk against its camera's path
    occluder_probability: float = Field(0.2, ge=0, le=1)  # of a pass: someone or a thing in the way
    things: int = Field(6, ge=1)  # that stand about in each camera's scene
    box_jitter: float = Field(0.05, ge=0)  # of the detector's boxes, in box heights
    truncation_probability: float = Field(0.06, ge=0, le=1)  # of a box: legs or head cut off
    light_variation: float = Field(0.14, ge=0)  # log standard deviation of a pass's brightness
    cast_strength: float = Field(0.35, ge=0)  # how much the cameras' colours differ
    noise: float = Field(3.0, ge=0)  # standard deviation, gray levels; mean over the cameras
    blur: float = Field(0.7, ge=0)  # standard deviation, pixels; mean over the cameras

    @model_validator(mode="after")
    def _ordered(self) -> Scene:
        if self.images_max < self.images_min or self.gap_max < self.gap_min:
            raise ValueError("images_max and gap_max must not be below images_min and gap_min")
        return self

    def __hash__(self) -> int:
        return hash(tuple(self.model_dump().values()))  # equal scenes share their drawn sites

    @abstractmethod
    def render(self, workers: int = 1) -> Iterator[tuple[Sample, Truth]]:
        """All images with their ground truth, in the order of their passes."""


class Walker(NamedTuple):
    """Someone, or a car, on a straight way through a camera's scene."""

    solids: Solids
    person: Person | None  # None: a thing
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


def render_passes(
    render_pass: Callable[[Any, Any], Rendered], scene: Scene, passes: Sequence[Any], workers: int
) -> Iterator[tuple[Sample, Truth]]:
    """The images of all passes, in their order, whatever the number of workers.

    One worker renders in this process; more are spawned.
    """
    tasks = [passes[i : i + TASK_PASSES] for i in range(0, len(passes), TASK_PASSES)]
    expect(len(passes))
    if workers == 1:
        for task in tasks:
            yield from _render_task(render_pass, scene, task)
            advance(len(task))
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _begin, (os.getpid(),)) as pool:
        waiting: deque = deque()  # bounded: a large world does not pile up before its writer
        for task in tasks:
            waiting.append((len(task), pool.submit(_render_task, render_pass, scene, task)))
            if len(waiting) >= 4 * workers:
                yield from _result(*waiting.popleft())
        while waiting:
            yield from _result(*waiting.popleft())


def _result(passes: int, future: Future[Rendered]) -> Rendered:
    rendered = future.result()
    advance(passes)
    return rendered


def _render_task(render_pass, scene: Scene, task: Sequence[Any]) -> Rendered:
    return [shot for one in task for shot in render_pass(scene, one)]


def _begin(parent: int) -> None:
    end_with(parent)
    cv2.setNumThreads(1)


def slots(rng: np.random.Generator, cameras: list[int]) -> list[int]:
    """For each pass its position in its camera's recording: a random order without gaps."""
    orders = {c: list(rng.permutation(cameras.count(c))) for c in sorted(set(cameras))}
    return [int(orders[camera].pop()) for camera in cameras]


def roles_of(one: Any, images: int, rng: np.random.Generator) -> list[str]:
    """The role of each image of a pass: of a test person's, one at random is the query."""
    query = int(rng.integers(images))
    if one.role == "train" or one.kind != "identity":
        return ["train" if one.role == "train" else "gallery"] * images
    return ["query" if number == query else "gallery" for number in range(images)]


@lru_cache(maxsize=4096)
def person_of(scene: Scene, identity: int) -> Person:
    """The looks of a person: own clothes, or those of one of the shared outfits."""
    rng = np.random.default_rng([scene.seed, PERSON, identity])
    outfit = draw_outfit(rng, scene.saturated_share)
    if rng.random() < scene.shared_outfit_share:
        people = scene.shared_outfit_share * (scene.train_identities + scene.test_identities)
        outfits = max(1, round(people / scene.outfit_people))
        outfit = _shared_outfit(scene, int(rng.integers(outfits)))
    return draw_person(rng, outfit, scene.saturated_share)


def _shared_outfit(scene: Scene, number: int) -> Outfit:
    rng = np.random.default_rng([scene.seed, OUTFIT, number])
    return draw_outfit(rng, scene.saturated_share)


def someone(scene: Scene, identity: int, rng: np.random.Generator) -> Person:
    """A person anywhere in the walking cycle."""
    return at_phase(person_of(scene, identity), float(rng.uniform(0, 2 * np.pi)))


def stranger(scene: Scene, rng: np.random.Generator, first: int = 2 * EXTRA_PEOPLE) -> Person:
    """A passer-by, of those who are numbered from `first`."""
    return someone(scene, first + int(rng.integers(EXTRA_PEOPLE)), rng)


def walker_of(person: Person, start: np.ndarray, heading: float) -> Walker:
    """A person who walks at the speed of their steps."""
    return Walker(solids_of(person), person, start, heading, person.gait.speed(person.body))


def passer_by(scene: Scene, kind: str, meant: Walker, rng: np.random.Generator) -> Walker:
    """Somebody else: `beside` the person meant, `crossing` before them, or `behind` them."""
    other = stranger(scene, rng)
    start, heading = meant.start, meant.heading
    if kind == "beside":
        aside = turn(heading)[:2, 1] * rng.choice([-1, 1]) * rng.uniform(0.45, 0.7)
        start = start + aside + rng.uniform(-0.3, 0.3) * turn(heading)[:2, 0]
        return Walker(solids_of(other), other, start, heading, meant.speed)
    to_camera = -start / np.linalg.norm(start)
    nearer = rng.uniform(-1.9, -0.8) if kind == "behind" else rng.uniform(0.7, 1.6)
    start = start + nearer * to_camera + rng.normal(0, 0.2, 2)
    return walker_of(other, start, float(heading + np.pi + 0.4 * rng.normal()))


def train_persons(scene: Scene, rng: np.random.Generator) -> tuple[list[int], set[int]]:
    """All persons, numbered from 1, and which of them are drawn for training."""
    count = scene.train_identities + scene.test_identities
    train = 1 + rng.permutation(count)[: scene.train_identities]
    return list(range(1, count + 1)), set(train.tolist())


def frames_of(scene: Scene, one: Any, rng: np.random.Generator) -> tuple[np.ndarray, list[float]]:
    """Frame numbers of a pass's images, and their seconds, 0 in its middle.

    A pass of a person has several images; one of a stranger, of junk or of nobody has one.
    """
    images = int(rng.integers(scene.images_min, scene.images_max + 1))
    gaps = rng.integers(scene.gap_min, scene.gap_max + 1, images)
    frames = np.cumsum(gaps)[: images if one.kind == "identity" else 1]
    return frames, ((frames - frames[-1] / 2) / scene.frames_per_second).tolist()


def everyone_at(walkers: Sequence[Walker], seconds: float) -> tuple[Frames, np.ndarray, np.ndarray]:
    """Bones of all walkers, joints (18, 3) of the first, ground points (A, 2) of all, at a time."""
    frames, joints, feet = zip(*(walker.at(seconds) for walker in walkers), strict=True)
    assert joints[0] is not None  # the first is a person
    return join_frames(frames), joints[0], np.array(feet)


def camera_of(scene: Scene, number: int, rng: np.random.Generator) -> Camera:
    """A random street camera with the scene's differences, noise, blur and quality."""
    return draw_camera(
        rng, number, scene.cast_strength, scene.noise, scene.blur, scene.jpeg_quality
    )


def light_of(scene: Scene, camera: Camera, low: float, high: float, rng) -> Light:
    """A pass's light; `low` and `high` bound how much of it comes directly from the sun."""
    tint = np.exp(scene.light_variation * (0.7 * rng.normal() + 0.25 * rng.normal(size=3)))
    return Light(np.array(camera.sun), float(rng.uniform(low, high)), 1.1 * tint.clip(0.6, 1.5))
