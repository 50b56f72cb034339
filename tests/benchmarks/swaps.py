"""How close filling in comes to its kernel, and how long the search for partners takes.

Filling in runs over a small rendered street as the engine runs it, in one worker on one thread,
against OpenCV's own over the whole of each squared image. The search is the fit of the
`backgrounds` stage over as many made masks as RAP has training images.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pipeline.engine import plan as stage
from pipeline.engine import run as engine
from pipeline.engine.journal import Journal
from pipeline.stages import backgrounds, ingest, joints, masks
from pipeline.stages import stage as find_stage
from pipeline.world.build import build_world
from pipeline.world.scenes.street import Params as Street
from reid.arrays import images, swaps
from reid.project import params
from reid.project.layout import Project
from reid.shards.folder import Shard
from reid.shards.schema import IMAGE
from tests.benchmarks.turns import row, share, take_turns

IDENTITIES, CAMERAS = 6, 2  # of the training images, some 70
SIDE = 256  # pixels of a squared image
ROUNDS = 5
SEARCHED, PERSONS, VIEWPOINTS = 13_178, 1_295, 4  # training images and persons of RAP
TABLE_ROWS = 1_024
SEARCH_SECONDS = 60.0


def rows_swaps(folder: Path) -> list[dict[str, Any]]:
    """A street below `folder`, filled in by both regions; then partners of many masks."""
    project = Project(folder.resolve())
    _street(project)
    regions = {"full_body": "full bodies", "upper_body": "upper bodies"}
    with _one_thread():
        filled = [_filling(project, region, shown) for region, shown in regions.items()]
    return [*filled, _searching()]


@contextmanager
def _one_thread() -> Iterator[None]:
    """OpenCV on one thread, as in a worker that has one core."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


def _street(project: Project) -> None:
    """A rendered street with its own masks and joints."""
    scene = Street.model_validate(
        {"train_identities": IDENTITIES, "test_identities": 1, "cameras": CAMERAS,
         "height": SIDE, "width": SIDE // 2}
    )  # fmt: skip
    build_world("street", scene, "market1501", project.raw("street").parent, workers=1)
    planned = ingest.plan("street", ingest.Params(reader="market1501"), project)
    engine.run(planned, project, executor="local")
    given = {"path": str(project.raw("street.truth")), "max_reject_rate": 1.0}
    for name, code in {"masks": masks, "joints": joints}.items():
        chosen = code.Params(backend="given", **given)
        engine.run(_planned(name, "street", chosen, project), project, executor="local")


def _planned(name: str, build: str, chosen: params.DerivedParams, project: Project) -> engine.Plan:
    return stage.plan(find_stage(name), build, chosen, project, "cpu")


def _filling(project: Project, region: Any, shown: str) -> dict[str, Any]:
    chosen = backgrounds.Params(
        dataset="street", region=region, side=SIDE, same_viewpoint=False, max_reject_rate=1.0
    )
    planned = _planned("backgrounds", region, chosen, project)
    task = next(t for t in planned.tasks if t.name.startswith("train"))
    engine.run(planned, project, executor="local")
    ready = _kernel_inputs(project, region, task, chosen)
    step = engine.Keeping(planned.work, Journal(project.work / "bench").folder).start()

    def fill() -> None:
        for image, mask, radius in ready:
            cv2.inpaint(image, mask, radius, cv2.INPAINT_TELEA)

    limit, ours = take_turns([fill, lambda: step((region, task.payload))], ROUNDS)
    rate = len(ready) / statistics.median(ours)
    name = f"backgrounds without {shown}, images/s of one worker (filling in whole squares)"
    return row(name, rate, rate / share(limit, ours), 0.9)


def _kernel_inputs(
    project: Project, region: str, task: engine.Task, chosen: backgrounds.Params
) -> list[tuple[np.ndarray, np.ndarray, float]]:
    """Squared image, dilated mask and radius of each row of a shard that was filled in."""
    base = Shard(task.payload["rows"]).table(["image"]).to_pylist()
    built = Shard(project.derived("backgrounds", region) / "rows" / task.name)
    ready = []
    for source, made in zip(base, built.table(["region", "rectangle"]).to_pylist(), strict=True):
        if made["region"] is None:
            continue
        image = swaps.square(images.decode(source["image"]["bytes"]), SIDE)
        mask = images.decode_mask(made["region"]["bytes"])
        around = made["rectangle"] or swaps.bounds(mask)
        assert around is not None
        grown = swaps.dilate(mask, chosen.iterations).astype(np.uint8)
        ready.append((image, grown, swaps.radius_of(around, chosen.radius)))
    return ready


def _searching() -> dict[str, Any]:
    """From masks as they are stored to the partners of each, as a run of the stage searches."""
    tables = list(_masks(np.random.default_rng(0)))
    start = time.perf_counter()
    backgrounds.fit(iter(tables), backgrounds.Params(side=SIDE))
    seconds = time.perf_counter() - start
    name = f"partners among {SEARCHED:,} masks, s ({SEARCH_SECONDS:g} s)"
    return row(name, seconds, SEARCH_SECONDS, 1.0, most=True)


def _masks(random: np.random.Generator) -> Iterator[pa.Table]:
    """What the fit reads of `SEARCHED` training rows, some thousand rows at a time."""
    for first in range(0, SEARCHED, TABLE_ROWS):
        count = min(TABLE_ROWS, SEARCHED - first)
        cells = [
            {"bytes": images.encode_png(body(random, SIDE)), "path": None} for _ in range(count)
        ]
        yield pa.table(
            {
                "image_id": [f"{first + n:06d}" for n in range(count)],
                "height": pa.array([SIDE] * count, pa.int32()),
                "width": pa.array([SIDE // 2] * count, pa.int32()),
                "person": pa.array(random.integers(0, PERSONS, count), pa.int32()),
                "viewpoint": pa.array(random.integers(0, VIEWPOINTS, count), pa.int8()),
                "mask": pa.array(cells, IMAGE),
                "position": pa.array(range(first, first + count), pa.int32()),
            }
        )


def body(random: np.random.Generator, height: int) -> np.ndarray:
    """(height, height / 2) bool: somebody upright, broad or slim, legs and arms here or there."""
    unit = height / 256  # the lengths below are pixels at this height
    mask = np.zeros((height, height // 2), np.uint8)
    broad, lean = random.normal(34, 6), random.normal(0, 4)

    def at(x: float, y: float) -> tuple[int, int]:
        return round((64 + x) * unit), round(y * unit)

    def limb(begin: tuple[int, int], end: tuple[int, int], thick: float) -> None:
        cv2.line(mask, begin, end, 1, max(1, round(thick * unit)))

    for x, y, half_width, half_height in ((lean, 26, 0.4 * broad, 22), (0, 100, broad, 62)):
        size = max(2, round(half_width * unit)), round(half_height * unit)
        cv2.ellipse(mask, at(x, y), size, 0, 0, 360, 1, -1)
    for side in (-1, 1):
        foot = at(side * abs(random.normal(14, 14)), random.normal(246, 6))
        hand = at(side * abs(random.normal(30, 14)), random.normal(140, 15))
        limb(at(side * 12, 140), foot, max(8, 0.6 * broad))
        limb(at(side * 0.8 * broad, 60), hand, max(5, 0.35 * broad))
    return mask.astype(bool)
