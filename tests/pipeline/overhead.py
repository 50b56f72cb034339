"""A tiny data set seen from above: people as steps of head, shoulders and legs on a floor."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipeline.commands.build import make_plan
from pipeline.datasets.base import Sample
from pipeline.datasets.opr import reader as opr
from pipeline.datasets.tvpr import reader as tvpr
from pipeline.engine import run as engine
from reid.project.layout import Project
from reid.shards.folder import Shards

HEIGHT, WIDTH, FLOOR_MM = 48, 64, 3000
HEAD_MM, SHOULDERS_MM, LEGS_MM = 1700, 1400, 500  # above the floor
LAYOUTS = {"tvpr": tvpr, "opr": opr}
Person = tuple[int, int]  # x, y of the left top pixel of 12 x 10

PARAMS = """\
run: {{executor: local, workers: 2}}
ingest:
  with: {{shard_rows: 4}}
  on: {{top: {{reader: {layout}}}}}
crops:
  with: {{backend: depth}}
  on:
    top: {{}}
    top-other: {{dataset: top}}
jet:
  on:
    top: {{}}
    top-crops: {{dataset: crops/top}}
"""


def person_box(centre: Person) -> list[float]:
    x, y = centre
    return [x, y, x + 12, y + 10]


def frame_of(people: Sequence[Person], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """(48, 64, 3) RGB and (48, 64) millimetres: noise of 5 mm, and one corner without readings."""
    random = np.random.default_rng(seed)
    height = random.integers(-5, 6, (HEIGHT, WIDTH))
    image = random.integers(90, 120, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for x, y in people:
        for (left, top, right, bottom), above in (
            ((0, 0, 12, 10), LEGS_MM), ((2, 1, 10, 9), SHOULDERS_MM), ((4, 3, 8, 7), HEAD_MM),
        ):  # fmt: skip
            rows = slice(max(0, y + top), max(0, y + bottom))
            columns = slice(max(0, x + left), max(0, x + right))
            height[rows, columns] = above
            image[rows, columns] = (above // 10, 40 + x, 40 + y)
    depth_mm = (FLOOR_MM - height).astype(np.uint16)
    depth_mm[:3, :3] = 0
    return image, depth_mm


def walks(persons: int = 4, frames: int = 6) -> Iterator[tuple[int, int, int, list[Person]]]:
    """(person, camera, frame, who is there): everyone passes to the right, then to the left."""
    for camera in (1, 2):
        for person in range(1, persons + 1):
            for step in range(frames):
                x = 2 + 9 * step
                y = 8 + 5 * person
                yield person, camera, 1000 * camera + 100 * person + step, [(x, y)]


def samples(**sizes: int) -> Iterator[Sample]:
    for person, camera, frame, people in walks(**sizes):
        image, depth_mm = frame_of(people, frame)
        role = "train" if camera == 1 else "query"
        yield Sample(image, person, camera, role, frame=frame, tracklet=1, depth_mm=depth_mm)


def make_overhead(
    root: Path, monkeypatch: pytest.MonkeyPatch, layout: str = "tvpr", **sizes: int
) -> Project:
    """A project with the raw data set `top`; works in its root."""
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(PARAMS.format(layout=layout))
    list(LAYOUTS[layout].write(root / "data/0-raw/top", samples(**sizes)))
    monkeypatch.chdir(root)
    return Project(Path())


def change(old: str, new: str) -> None:
    path = Path("params.yaml")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def build(project: Project, stage: str, name: str = "top", executor: str = "local"):
    return engine.run(make_plan(stage, name, project), project, executor=executor, workers=2)


def rows_of(folder: Path) -> list[dict]:
    return pa.concat_tables([shard.table() for shard in Shards(folder).shards]).to_pylist()
