"""A tiny data set of tracklets in iLIDS-VID's layout, its flow, and networks of both papers."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from pipeline.commands.build import make_plan
from pipeline.datasets.base import Sample
from pipeline.datasets.ilids_vid import reader as ilids_vid
from pipeline.engine import run as engine
from reid import experiments
from reid.evaluation.evaluate import evaluate
from reid.project.layout import Project
from reid.training.train import train
from tests.pipeline.video import shifted

EVALUATED = ("hall-mutual", "hall-one", "hall-convlstm")
TRAINED = (*EVALUATED, "hall-two", "hall-plain")
SECTIONS = """\
mutual_attention:
  with: {seed: 0}
  scale:
    hall: &small
      backbone: resnet18
      channels: [8, 8, 8, 8]
      weights: ''
      height: 48
      width: 32
      last_stride: 1
      sequence_length: 2
      identities: 2
      tracklets: 2
      epochs: 1
  on:
    hall-one: {dataset: hall, model: one_stream, aggregation: average}
    hall-two: {dataset: hall, model: two_stream}
    hall-mutual: {dataset: hall, model: mutual}
attentive_convlstm:
  with: {seed: 0}
  scale:
    hall:
      channels: [4, 4, 4]
      filters: 4
      feature: 8
      height: 24
      width: 16
      crop: 4
      length: 3
      test_crops: 1
      test_flips: false
      learning_rate: 0.5
      epochs: 1
  on:
    hall-convlstm: {dataset: hall}
    hall-plain: {dataset: hall, attention_filters: 0}
"""
PARAMS = """\
run: {executor: local, workers: 2}
world: {on: {hall: {}}} # as if it were rendered
ingest: {on: {hall: {reader: ilids_vid}}}
flow:
  with: {backend: dis}
  on:
    hall: {}
    hall-lucas: {dataset: hall, backend: lucas_kanade}
"""
SIZE = (48, 24)  # height and width of a frame
FRAMES = {1: (6, 9), 2: (7, 7), 3: (8, 4), 4: (6, 12), 5: (6, 6), 6: (11, 7)}  # by person, cameras
MOTION = {1: (2, 0), 2: (0, 1)}  # pixels a frame to the right and down, by camera


def samples() -> Iterator[Sample]:
    """Coloured noise that moves as `MOTION` says."""
    for person, counts in FRAMES.items():
        for camera, count in enumerate(counts, 1):
            frames = shifted(*SIZE, *MOTION[camera], count, seed=10 * person + camera)
            for number, image in enumerate(frames):
                yield Sample(image, person, camera, "train", frame=100 * camera + number)


def build(project: Project, stage: str, name: str) -> None:
    with contextlib.chdir(project.root):
        engine.run(make_plan(stage, name, project), project, executor="local")


def make_built(root: Path) -> Project:
    """The data set `hall` with its flow by two methods."""
    root.mkdir(parents=True)
    (root / "params.yaml").write_text(PARAMS + SECTIONS)
    project = Project(root.resolve())
    list(ilids_vid.write(project.raw("hall"), samples()))
    for stage, name in (("ingest", "hall"), ("flow", "hall"), ("flow", "hall-lucas")):
        build(project, stage, name)
    return project


def make_trained(root: Path) -> Project:
    """The same with the networks `TRAINED`, of which `EVALUATED` are evaluated."""
    project = make_built(root)
    with contextlib.chdir(project.root):
        for name in TRAINED:
            experiment = experiments.load(project, name)
            train(experiment, project, device="cpu")
            if name in EVALUATED:
                evaluate(experiment, project, device="cpu")
    return project
