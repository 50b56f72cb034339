"""Rendered crowds: more than a thousand people each that no world holds, to fit trunks to.

Writes  <folder>/<crowd>-<code>/<view>-<place>-<person>/*.png or *.jpg, a class of `reid pretrain`

A crowd is rendered in places, each with cameras, light and people of its own, and a person passes
several cameras, so that a background does not say who it is. Seeds of places begin at `SEEDS`,
which no world and no sheet of `people` reaches. The crowd from above has of each crop also its
depth as colours. A folder of a person is there when it is whole; what is missing is rendered.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache, lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from pipeline.fit import people
from pipeline.world.scenes.scenes import SCENES
from pipeline.world.truth import Truth
from reid.arrays.depth import colorize
from reid.arrays.images import encode_png
from reid.code.fingerprint import Code, Start, of
from reid.project.progress import Meter
from reid.project.publish import publishing
from reid.project.threads import end_with

SEEDS = 2 * people.SEEDS
PERSONS = 120  # of a place
CROWDS = {"upright": {"street": 4, "mall": 2, "hall": 3}, "above": {"topview": 9}}  # places
JPEG = b"\xff\xd8"  # begins a file
NEAR_MM, FAR_MM = 1_900, 3_900  # that colours span, from above
TWO_EACH = {"images_min": 2, "images_max": 2}  # images of a person before each
SCENE: dict[str, dict[str, Any]] = {  # how a place differs from a world of its scene
    "street": {**TWO_EACH, "test_identities": 1, "cameras": 12, "camera_share": 1 / 4},
    "mall": {
        **TWO_EACH, "test_identities": 1, "training_cameras": 8, "test_cameras": 4,
        "cameras_per_identity": 3, "background_bias": 0, "distractor_share": 0, "gap_max": 20,
    },
    "hall": {**TWO_EACH, "cameras": 3, "frames_per_second": 3},
    "topview": {"images_min": 3, "images_max": 3, "height": 180, "width": 240},
}  # fmt: skip

Person = tuple[str, int, int]  # view, place and number


def persons_of(crowd: str) -> list[Person]:
    """Everybody of a crowd."""
    places = [(view, place) for view, count in CROWDS[crowd].items() for place in range(count)]
    return [(view, place, n) for view, place in places for n in sorted(_passes(view, place))]


@lru_cache(maxsize=32)
def scene_of(view: str, place: int) -> Any:
    """The parameters of a place's scene."""
    seed = SEEDS + len(people.VIEWS) * place + people.VIEWS.index(view)
    drawn = {"seed": seed, "train_identities": PERSONS, **SCENE[view]}
    return SCENES[view]().params.model_validate(drawn)


@lru_cache(maxsize=32)
def _passes(view: str, place: int) -> dict[int, list[Any]]:
    """The passes of each person of a place; people to test on are left out."""
    found: dict[int, list[Any]] = {}
    for one in SCENES[view]().plan(scene_of(view, place)):
        if getattr(one, "role", "train") == "train":
            found.setdefault(one.person, []).append(one)
    return found


def images_of(person: Person) -> Iterator[tuple[str, bytes]]:
    """The names and bytes of a person's images."""
    view, place, number = person
    scene, rendered = scene_of(view, place), SCENES[view]()
    for one in _passes(view, place)[number]:
        for index, (sample, truth) in enumerate(rendered.render_pass(scene, one)):
            name = f"{one.camera:02}-{index}"
            if sample.depth_mm is not None:
                yield from _from_above(name, sample, truth)
            else:
                data = sample.encoded or encode_png(sample.image)
                yield f"{name}.{'jpg' if data.startswith(JPEG) else 'png'}", data


def _from_above(name: str, sample: Any, truth: Truth) -> Iterator[tuple[str, bytes]]:
    """A frame's crop of the person meant, and its depth as colours."""
    assert truth.people
    x1, y1, x2, y2 = truth.people[0]["box"]
    yield f"{name}.png", encode_png(sample.image[y1:y2, x1:x2])
    depth_mm = sample.depth_mm[y1:y2, x1:x2]
    yield f"{name}-depth.png", encode_png(colorize(depth_mm, NEAR_MM, FAR_MM, "nearest"))


def render(folder: Path, crowd: str, workers: int) -> Path:
    """The folder of a crowd, below which everybody missing is rendered, by so many processes."""
    root = folder / f"{crowd}-{code_of(crowd).fingerprint[:8]}"
    everybody = persons_of(crowd)
    missing = [person for person in everybody if not _folder(root, person).is_dir()]
    with (
        Meter(
            f"render {crowd}", len(everybody), len(everybody) - len(missing), unit="people"
        ) as meter,
        ProcessPoolExecutor(workers, get_context("spawn"), end_with, (os.getpid(),)) as pool,
    ):
        for _ in pool.map(_render, [root] * len(missing), missing):
            meter.added += 1
    return root


def _folder(root: Path, person: Person) -> Path:
    return root / "{}-{}-{:03}".format(*person)


def _render(root: Path, person: Person) -> None:
    target = _folder(root, person)
    with publishing(target, root.parent / "making" / target.name) as made:
        for name, data in images_of(person):
            (made / name).write_bytes(data)


@cache
def code_of(crowd: str) -> Code:
    """The code that decides what a crowd's images are."""
    roots = tuple(f"{__name__}:{name}" for name in ("persons_of", "images_of"))
    return of(Start(roots, {"pipeline.world.scenes.scenes:SCENES": tuple(CROWDS[crowd])}))
