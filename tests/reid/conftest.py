"""A tiny project with trained and evaluated experiments, made once for all tests that only read."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from pipeline.commands.build import make_plan
from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from pipeline.engine import run as engine
from reid import experiments
from reid.evaluation.evaluate import evaluate
from reid.project.layout import Project
from reid.training.train import train
from tests.conftest import make_project, standing_joints, toy_samples

TRAINED = ("toy-baseline", "toy-intra")
CHANGES = {  # of the parameters of `make_project`
    "{toy: {reader: market1501}}": "{toy: {reader: market1501}, other: {reader: market1501}}",
    "path: joints.csv}": "path: joints.csv}, other: {backend: given, path: other.csv}",
    "on: {toy: {}}": "on: {toy: {}, other: {}}",
    "  on:\n": "  on:\n    toy-intra: {dataset: toy, model: intra_inter}\n",
}


def other_samples() -> Iterator[Sample]:
    """Four persons in two cameras, and junk and distractors in the gallery."""
    yield from toy_samples(persons=4, cameras=2)
    for person in (-1, 0):
        for sample in toy_samples(persons=2, cameras=2):
            if sample.person == 2:
                yield Sample(sample.image, person, sample.camera, "gallery", sample.frame, 1)


def make_other(project: Project) -> None:
    """The raw folder `other` with given joints, and its lines in params.yaml."""
    ids = list(market1501.write(project.raw("other"), other_samples()))
    joints = ",".join(f"{value:.2f}" for value in standing_joints(64, 32).ravel())
    header = "image_id," + ",".join(f"{a}{i}" for i in range(18) for a in "xyc")
    lines = [header, *(f"{image_id},{joints}" for image_id in ids)]
    (project.root / "other.csv").write_text("\n".join(lines) + "\n")
    text = (project.root / "params.yaml").read_text()
    for old, new in CHANGES.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    (project.root / "params.yaml").write_text(text)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Data sets `toy` and `other`; the experiments `TRAINED` on `toy`, `toy-inter` untrained.

    Its tests change nothing in it but what they write themselves.
    """
    project = make_project(tmp_path_factory.mktemp("trained") / "project")
    make_other(project)
    with contextlib.chdir(project.root):  # as the command does
        for dataset in ("toy", "other"):
            for stage in ("ingest", "joints", "parts"):
                engine.run(make_plan(stage, dataset, project), project, executor="local")
        for name in TRAINED:
            experiment = experiments.load(project, name)
            train(experiment, project, device="cpu")
            evaluate(experiment, project, device="cpu")
    return project


def copy_of(trained: Project, root: Path) -> Project:
    """A project of a test's own, to write into."""
    shutil.copytree(trained.root, root)
    return Project(root)


def distances(query: np.ndarray, gallery: np.ndarray) -> list[float]:
    """Cosine distances of one feature (D,) to others (G, D), one by one."""
    return [
        1 - float(query @ other) / float(np.linalg.norm(query) * np.linalg.norm(other))
        for other in gallery
    ]
