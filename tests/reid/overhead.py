"""A tiny data set from above with crops, depth as colours and trained networks of both."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.commands.build import make_plan
from pipeline.datasets.base import Sample
from pipeline.datasets.tvpr import reader as tvpr
from pipeline.engine import run as engine
from reid import experiments
from reid.evaluation.evaluate import evaluate
from reid.project.layout import Project
from reid.training.train import train
from tests.pipeline.overhead import frame_of

EVALUATED = ("top-mat", "top-rgb-d")
SECTION = """\
multimodal_attention:
  with: {seed: 0}
  scale:
    crops/top:
      resized: 84
      side: 75
      width_scale: 0.03125
      pixel_scale: 0.03
      encoder_epochs: 1
      encoder_batch: 8
      fusion_epochs: 1
      fusion_batch: 8
      pool: max
      builds: {jet: top-crops}
  on:
    top-mat: {dataset: crops/top, rows: 2-derived/crops/top, model: mat}
    top-rgb-d: {dataset: crops/top, rows: 2-derived/crops/top, model: rgb_d_cnn}
"""
PARAMS = """\
run: {executor: local, workers: 2}
world: {on: {top: {}}} # as if it were rendered
ingest: {on: {top: {reader: tvpr}}}
crops:
  with: {backend: depth, max_reject_rate: 0.5}
  on:
    top: {}
    top-others: {dataset: top, others: junk}
    top-whole: {dataset: top, nobody: whole_frame, margin: 0.5}
jet:
  on:
    top: {}
    top-crops: {dataset: crops/top}
"""
BESIDE = (50, 34)  # where somebody else stands, and one more
FAR = (2, 34)
EMPTY = {(1, 3, 4), (2, 3, 0)}  # (camera, person, step) in which nobody is there


def people_of(camera: int, person: int, step: int) -> list[tuple[int, int]]:
    """Who is in a frame: the one who passes is always the most central."""
    if (camera, person, step) in EMPTY:
        return []
    others = {(1, 1): [BESIDE], (2, 2): [BESIDE, FAR]}.get((camera, person), [])
    return [(11 + 6 * step, 11 + 3 * person), *(others if step == 2 else [])]


def samples(persons: int = 4, frames: int = 5) -> Iterator[Sample]:
    for camera, role in ((1, "train"), (2, "query")):
        for person in range(1, persons + 1):
            for step in range(frames):
                frame = 1000 * camera + 100 * person + step
                image, depth_mm = frame_of(people_of(camera, person, step), frame)
                yield Sample(
                    image, person, camera, role, frame=frame, tracklet=1, depth_mm=depth_mm
                )


def build(project: Project, stage: str, name: str) -> None:
    with contextlib.chdir(project.root):
        engine.run(make_plan(stage, name, project), project, executor="local")


def make_trained(root: Path) -> Project:
    """The data set `top` with all builds of `PARAMS`, and the experiments `EVALUATED`."""
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(PARAMS + SECTION)
    project = Project(root.resolve())
    list(tvpr.write(project.raw("top"), samples()))
    for stage, name in (
        ("ingest", "top"), ("crops", "top"), ("crops", "top-others"), ("crops", "top-whole"),
        ("jet", "top"), ("jet", "top-crops"),
    ):  # fmt: skip
        build(project, stage, name)
    with contextlib.chdir(project.root):
        for name in EVALUATED:
            experiment = experiments.load(project, name)
            train(experiment, project, device="cpu")
            evaluate(experiment, project, device="cpu")
    return project
