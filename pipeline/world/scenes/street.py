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
from pipeline.world import crowd
from pipeline.world.backdrops import draw_backdrop
from pipeline.world.cameras import Camera, Window
from pipeline.world.crowd import Rendered, Scene, Walker
from pipeline.world.gait import turn
from pipeline.world.shapes import Solids, join_solids, make_solids
from pipeline.world.shots import Moment, Site, person_box, picture, truth_of
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
        return crowd.render_passes(render_pass, self, plan(self), workers)


class Pass(NamedTuple):
    """One person before one camera, or nobody."""

    kind: str  # identity, stranger, background or junk
    identity: int  # whose body and clothes
    camera: int  # from 1
    slot: int  # which part of the camera's recording
    person: int  # the label
    role: str  # train, or test for query and gallery


def plan(params: Params) -> list[Pass]:
    """All passes in the order of their images: by person label, then camera."""
    rng = np.random.default_rng([params.seed, crowd.ROLES])
    persons, train = crowd.train_persons(params, rng)
    visits = max(2, round(params.camera_share * params.cameras))
    walks: list[tuple] = []
    for person in persons:
        cameras = 1 + rng.permutation(params.cameras)[:visits]
        role = "train" if person in train else "test"
        walks += [("identity", person, int(camera), person, role) for camera in sorted(cameras)]
    tested = [person for person in persons if person not in train]
    images = len(tested) * visits * (params.images_min + params.images_max) / 2
    for number in range(round(params.distractor_share * images)):
        kind = "background" if rng.random() < params.background_share else "stranger"
        walks.append((kind, crowd.EXTRA_PEOPLE + number, _any(rng, params.cameras), 0, "test"))
    for _ in range(round(params.junk_share * images)):
        who = tested[int(rng.integers(len(tested)))]
        walks.append(("junk", who, _any(rng, params.cameras), -1, "test"))
    order = crowd.slots(rng, [walk[2] for walk in walks])
    passes = [Pass(k, i, c, slot, p, r) for (k, i, c, p, r), slot in zip(walks, order, strict=True)]
    return sorted(passes, key=lambda p: (p.person, p.camera, p.slot))


def _any(rng: np.random.Generator, cameras: int) -> int:
    return int(rng.integers(1, cameras + 1))


@lru_cache(maxsize=32)
def site_of(params: Params, camera: int) -> Site:
    """A camera and its backdrop."""
    rng = np.random.default_rng([params.seed, crowd.CAMERA, camera])
    made = crowd.camera_of(params, camera, rng)
    return Site(made, draw_backdrop(made, rng, params.things))


def render_pass(params: Params, one: Pass) -> Rendered:
    """The images of one pass, in the order of their frames."""
    kinds = ("identity", "stranger", "background", "junk")
    seed = [params.seed, crowd.PASS, one.identity, one.camera, one.slot, kinds.index(one.kind)]
    rng = np.random.default_rng(seed)
    site = site_of(params, one.camera)
    light = crowd.light_of(params, site.camera, 0.1, 0.7, rng)
    frames, seconds = crowd.frames_of(params, one, rng)
    walkers = _walkers(params, one, site.camera, rng)
    solids = join_solids([w.solids for w in walkers])
    own, facing = len(walkers[0].solids.kind), walkers[0].heading
    moments = [_moment(params, one, site.camera, walkers, solids, own, t, rng) for t in seconds]
    if one.kind == "background":
        solids, own, facing = _nothing(solids), 0, None
    size = params.height, params.width
    roles = crowd.roles_of(one, len(moments), rng)
    shots = []
    for number, (moment, later) in enumerate(zip(moments, [*moments[1:], None], strict=True)):
        image = picture(site, solids, moment, light, rng, *size)
        truth = truth_of(site, solids, own, moment, later, facing, *size)
        frame = one.slot * params.images_max * params.gap_max + int(frames[number])
        shots.append((_sample(image, one, roles[number], frame, site.camera, truth), truth))
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
    person = crowd.someone(params, one.identity, rng)
    jitter = np.radians(params.heading_jitter_degrees) * rng.normal()
    heading = float(camera.path + np.pi * rng.integers(2) + jitter)
    start = np.array([0, camera.distance]) + rng.uniform([-1.2, -0.8], [1.2, 0.8])
    meant = crowd.walker_of(person, start, heading)
    if rng.random() >= params.occluder_probability:
        return [meant]
    kind = str(rng.choice(["crossing", "beside", "car"], p=[0.47, 0.45, 0.08]))
    if kind != "car":
        return [meant, crowd.passer_by(params, kind, meant, rng)]
    solids = make_solids(thing("car", rng))
    to_camera = -start / np.linalg.norm(start)
    spot = start + 2.2 * to_camera + rng.uniform(-3, 3) * turn(camera.path)[:2, 0]
    return [meant, Walker(solids, None, spot, camera.path, float(rng.uniform(-1.5, 1.5)))]


def _moment(params, one: Pass, camera: Camera, walkers, solids, own: int, seconds: float, rng):
    frames, joints, feet = crowd.everyone_at(walkers, seconds)
    window = _detect(params, one.kind, person_box(camera, solids, own, frames), rng)
    return Moment(frames, joints, feet[:0] if one.kind == "background" else feet, window)


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
