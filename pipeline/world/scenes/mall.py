"""Mall: people before the cameras of a shopping mall; each image is a close crop of one of them.

Yields samples for a data set in the manner of RAP: crops of varying size with viewpoint, hidden
sides and part boxes; training persons; test persons with one query for each camera; and people
whom nobody named, person -1.

The background tells persons apart in training and misleads in the test, as far as `background_bias`
says. Training persons and test persons pass different cameras. In training each pass has a spot of
its own, before its own shop; in the test many persons pass the same few spots. So a network that
looks at the background learns something that is wrong for the test.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from pydantic import Field, model_validator

from pipeline.datasets.base import Sample
from pipeline.world import crowd
from pipeline.world.cameras import Camera
from pipeline.world.crowd import Rendered, Scene, Walker
from pipeline.world.scenes.closeups import CloseUps, views_of
from pipeline.world.scenes.interiors import REACH_M, below_ceiling, draw_interior
from pipeline.world.shapes import join_solids
from pipeline.world.shots import Site, picture, truth_of
from pipeline.world.truth import Truth
from reid.arrays.images import decode, encode_jpeg, encode_png

SEQUENCES = 6  # a camera's recording is cut into this many
LEAST_SEEN = 0.35  # of a body; with less of it to see nobody would have drawn a box
STEPS, STEP_M = 4, 0.6  # how often and how far a pass that is mostly hidden is moved


class Params(CloseUps):
    """The mall."""

    images_min: int = Field(6, ge=2)
    images_max: int = Field(10, ge=2)
    gap_min: int = Field(1, ge=1)
    gap_max: int = Field(4, ge=1, le=50)
    jpeg_quality: int = Field(75, ge=20, le=98)  # of the recording; crops are PNG
    occluder_probability: float = Field(0.3, ge=0, le=1)  # for each of two others
    things: int = Field(7, ge=1)
    truncation_probability: float = Field(0.08, ge=0, le=1)
    box_jitter: float = Field(0.02, ge=0)
    cast_strength: float = Field(0.45, ge=0)
    training_cameras: int = Field(6, ge=2)
    test_cameras: int = Field(6, ge=2)
    cameras_per_identity: int = Field(2, ge=2)
    background_bias: float = Field(1.0, ge=0, le=1)  # share of the passes that it holds for
    test_spots: int = Field(3, ge=1)  # of a camera, that its test persons share
    wander_share: float = Field(0.35, ge=0, le=1)  # of the passes: not along the camera's path
    distractor_share: float = Field(0.5, ge=0)  # images of person -1 for each test image

    @model_validator(mode="after")
    def _fitting(self) -> Params:
        if self.cameras_per_identity > min(self.training_cameras, self.test_cameras):
            raise ValueError("cameras_per_identity must not be more than the cameras of a kind")
        return self

    __hash__ = Scene.__hash__

    def render(self, workers: int = 1) -> Iterator[tuple[Sample, Truth]]:
        return crowd.render_passes(render_pass, self, plan(self), workers)


class Pass(NamedTuple):
    """One person before one camera."""

    kind: str  # identity or stranger
    identity: int  # whose body and clothes
    camera: int  # from 1: those of training, then those of the test
    slot: int  # which part of the camera's recording
    person: int  # the label
    role: str  # train, or test for query and gallery
    spot: float  # metres along the camera's path, from its middle


def plan(params: Params) -> list[Pass]:
    """All passes in the order of their images: by person label, then camera."""
    rng = np.random.default_rng([params.seed, crowd.ROLES])
    persons, train = crowd.train_persons(params, rng)
    walks: list[tuple] = []
    for person in persons:
        role = "train" if person in train else "test"
        cameras = _cameras(params, role, rng)
        walks += [("identity", person, camera, person, role) for camera in cameras]
    images = params.test_identities * params.cameras_per_identity
    images *= (params.images_min + params.images_max) / 2
    everywhere = params.training_cameras + params.test_cameras
    for number in range(round(params.distractor_share * images)):
        camera = int(rng.integers(1, everywhere + 1))
        walks.append(("stranger", crowd.EXTRA_PEOPLE + number, camera, -1, "test"))
    order = crowd.slots(rng, [walk[2] for walk in walks])
    spots = _spots(params, walks, rng)
    passes = [
        Pass(k, i, c, slot, p, r, spot)
        for (k, i, c, p, r), slot, spot in zip(walks, order, spots, strict=True)
    ]
    return sorted(passes, key=lambda p: (p.person, p.camera, p.slot))


def _cameras(params: Params, role: str, rng: np.random.Generator) -> list[int]:
    """The cameras that a person passes: those of the role, as far as the bias says."""
    first, last = 1, params.training_cameras + params.test_cameras
    own = range(first, params.training_cameras + 1)
    if role == "test":
        own = range(params.training_cameras + 1, last + 1)
    chosen: list[int] = []
    for _ in range(params.cameras_per_identity):
        biased = rng.random() < params.background_bias
        pool = [c for c in (own if biased else range(first, last + 1)) if c not in chosen]
        chosen.append(int(rng.choice(pool)))
    return sorted(chosen)


def _spots(params: Params, walks: list[tuple], rng: np.random.Generator) -> list[float]:
    """Where each pass is: a training person's own spot, or one that test persons share."""
    own = {}  # spots left, by camera: evenly spread over those who are to be known apart there
    for camera in sorted({walk[2] for walk in walks}):
        walkers = sum(walk[2] == camera and walk[4] == "train" for walk in walks)
        even = np.linspace(-REACH_M, REACH_M, walkers) if walkers > 1 else np.zeros(walkers)
        own[camera] = rng.permutation(even).tolist()
    shared = np.linspace(-0.7 * REACH_M, 0.7 * REACH_M, params.test_spots)
    spots = []
    for kind, _, camera, _, role in walks:
        free, common = float(rng.uniform(-REACH_M, REACH_M)), float(rng.choice(shared))
        biased = kind == "identity" and rng.random() < params.background_bias
        tied = own[camera].pop() if role == "train" else common + 0.1 * rng.normal()
        spots.append(float(tied) if biased else free)
    return spots


@lru_cache(maxsize=32)
def site_of(params: Params, camera: int) -> Site:
    """A camera under the ceiling and the part of the mall that it watches."""
    rng = np.random.default_rng([params.seed, crowd.CAMERA, camera])
    drawn = crowd.camera_of(params, camera, rng)
    height = float(rng.uniform(2.2, 3.2))
    made = below_ceiling(drawn, height, float(rng.uniform(0.62, 1.05)))
    return Site(made, draw_interior(made, rng, params.things))


def render_pass(params: Params, one: Pass) -> Rendered:
    """The images of one pass, in the order of their frames."""
    seed = [params.seed, crowd.PASS, one.identity, one.camera, one.slot, one.kind == "stranger"]
    rng = np.random.default_rng(seed)
    site = site_of(params, one.camera)
    light = crowd.light_of(params, site.camera, 0.15, 0.45, rng)
    frames, seconds = crowd.frames_of(params, one, rng)
    for step in range(STEPS):  # to a spot where enough of the person is seen
        walkers = _walkers(params, one, site.camera, STEP_M * step, rng)
        solids = join_solids([w.solids for w in walkers])
        seen = views_of(params, site, walkers, solids, seconds, rng)
        kept = [number for number, view in enumerate(seen) if view.share >= LEAST_SEEN]
        if 2 * len(kept) >= len(seen):
            break
    kept = kept or [int(np.argmax([view.share for view in seen]))]
    shots = []
    for number, role in zip(kept, crowd.roles_of(one, len(kept), rng), strict=True):
        moment, size, labels, _ = seen[number]
        recorded = picture(site, solids, moment, light, rng, *size)
        image = decode(encode_jpeg(recorded, site.camera.quality))
        own = len(walkers[0].solids.kind)
        truth = truth_of(site, solids, own, moment, None, walkers[0].heading, *size)
        sample = Sample(
            image=image, person=one.person, camera=one.camera, role=role,
            frame=one.slot * params.images_max * params.gap_max + int(frames[number]),
            tracklet=1 + one.slot % SEQUENCES, viewpoint=truth.viewpoint,
            encoded=encode_png(image), extra=labels,
        )  # fmt: skip
        shots.append((sample, truth))
    return shots


def _walkers(params: Params, one: Pass, camera: Camera, aside: float, rng) -> list[Walker]:
    """The person meant, `aside` metres from the pass's spot, and others about them."""
    person = crowd.someone(params, one.identity, rng)
    jitter = np.radians(params.heading_jitter_degrees) * rng.normal()
    turns = rng.integers(4) if rng.random() < params.wander_share else 2 * rng.integers(2)
    along = (one.spot + aside) * np.array([np.cos(camera.path), np.sin(camera.path)])
    start = np.array([0, camera.distance]) + along + rng.normal(0, 0.15, 2)
    meant = crowd.walker_of(person, start, float(camera.path + np.pi / 2 * turns + jitter))
    others = []
    for _ in range(2):
        if rng.random() < params.occluder_probability:
            kind = str(rng.choice(["crossing", "beside", "behind"], p=[0.25, 0.35, 0.4]))
            others.append(crowd.passer_by(params, kind, meant, rng))
    return [meant, *others]
