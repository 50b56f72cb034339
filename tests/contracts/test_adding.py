"""A data set, a stage and a paper are added to a copy of the project, as docs/adding.md says.

Each is its own files, of tests/toys, and lines in at most four others. What is added then runs
through `dvc repro`, from a rendered world to the metrics of a trained network.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from ruamel.yaml import YAML

import reid
from reid.arrays.images import decode
from tests.copies import ROOT, copy_project
from tests.test_flow import ran

TOYS = ROOT / "tests/toys"
MOST = 4  # files beside its own

READER = """\
def _toy_persons() -> Reader:
    from pipeline.datasets.toy_persons import reader

    return reader.READER


"""
STAGE = """\
def _toy_colour() -> AnyStage:
    from pipeline.stages import toy_colour

    return toy_colour.STAGE


"""
PAPER = """\
def _toy_paper() -> Paper[Any, Any]:
    from reid.papers.toy_paper.paper import PAPER

    return PAPER


def _toy_paper_full_size() -> Mapping[str, FullSize]:
    from reid.papers.toy_paper.full_size import FULL_SIZE

    return FULL_SIZE


"""
DATA_SET_PARAMS = """\
world:
  on:
    toys:
      {scene: street, layout: toy_persons, cameras: 2, train_identities: 4, test_identities: 3,
       images_min: 3, images_max: 3}
ingest:
  on:
    toys: {reader: toy_persons}
"""
STAGE_PARAMS = """\
toy_colour:
  with: {}
  on:
    toys: {dataset: toys}
"""
PAPER_PARAMS = """\
toy_paper:
  with: {seed: 0}
  scale:
    toys: {width: 4}
  on:
    toys-colour: {dataset: toys}
"""
STAGE_FLOW = """\
stages:
  toy_colour:
    foreach: ${toy_colour.on}
    do:
      cmd: reid toy_colour ${key}
      params: [toy_colour.with, "toy_colour.on.${key}"]
      deps:
        - data/1-shards/${item.dataset}
        - pipeline/engine
        - pipeline/stages/toy_colour.py
        - reid/arrays
        - reid/shards
      outs: ["data/2-derived/toy_colour/${key}"]
"""
PAPER_FLOW = """\
stages:
  toy_paper:
    foreach: ${toy_paper.on}
    do:
      cmd: reid train ${key}
      params:
        - toy_paper.with
        - toy_paper.scale.${item.dataset}
        - toy_paper.on.${key}
      deps:
        - data/1-shards/${item.dataset}
        - data/2-derived/toy_colour/${item.dataset}
        - reid/arrays
        - reid/data
        - reid/evaluation
        - reid/experiments.py
        - reid/nn
        - reid/papers/contract.py
        - reid/papers/toy_paper
        - reid/shards
        - reid/training
      outs: ["data/3-runs/${key}/train"]
  toy_paper_evaluate:
    foreach: ${toy_paper.on}
    do:
      cmd: reid evaluate ${key}
      params:
        - toy_paper.with
        - toy_paper.scale.${item.dataset}
        - toy_paper.on.${key}
      deps:
        - data/3-runs/${key}/train
        - data/1-shards/${item.dataset}
        - data/2-derived/toy_colour/${item.dataset}
        - reid/arrays
        - reid/data
        - reid/evaluation
        - reid/experiments.py
        - reid/nn
        - reid/papers/contract.py
        - reid/papers/toy_paper
        - reid/shards
      outs:
        - data/3-runs/${key}/evaluate/features.parquet
        - data/3-runs/${key}/evaluate/ranked.parquet
      metrics:
        - data/3-runs/${key}/evaluate/metrics.json: {cache: false}
      plots:
        - data/3-runs/${key}/evaluate/cmc.csv: {x: rank, y: share}
"""


def run(*command: str, cwd: Path) -> str:
    """Run a program in the copy, with the copy's code and this environment's commands."""
    binaries = Path(sys.executable).parent
    path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(cwd)}
    done = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def list_in(path: Path, name: str, entry: str, functions: str = "") -> None:
    """Write `entry` as the last line of the dict `name`, and `functions` above the dict."""
    text = path.read_text()
    match = re.search(rf"^{name}\b[^\n]* = {{.*?^}}$", text, re.MULTILINE | re.DOTALL)
    assert match is not None, name
    listed = f"{match[0][:-1]}    {entry},\n}}"
    path.write_text(text[: match.start()] + functions + listed + text[match.end() :])


def merge(path: Path, excerpt: str) -> None:
    """Add an excerpt's keys to a YAML file, whose comments stay."""
    yaml = YAML()
    whole = yaml.load(path)
    _merge(whole, YAML().load(excerpt))
    yaml.dump(whole, path)


def _merge(into: dict[str, object], new: Mapping[str, object]) -> None:
    for key, value in new.items():
        old = into.setdefault(key, value)
        if old is not value:
            assert isinstance(old, dict), key
            assert isinstance(value, dict), key
            _merge(old, value)


def add_data_set(home: Path) -> None:
    shutil.copytree(TOYS / "toy_persons", home / "pipeline/datasets/toy_persons")
    readers = home / "pipeline/datasets/__init__.py"
    list_in(readers, "READERS", '"toy_persons": _toy_persons', READER)
    merge(home / "params.yaml", DATA_SET_PARAMS)


def add_stage(home: Path) -> None:
    shutil.copy(TOYS / "toy_colour.py", home / "pipeline/stages")
    stages = home / "pipeline/stages/__init__.py"
    list_in(stages, "STAGES", '"toy_colour": Listed(_toy_colour, "An image\'s colour.")', STAGE)
    merge(home / "params.yaml", STAGE_PARAMS)
    merge(home / "dvc.yaml", STAGE_FLOW)


def add_paper(home: Path) -> None:
    shutil.copytree(TOYS / "toy_paper", home / "reid/papers/toy_paper")
    papers = home / "reid/papers/__init__.py"
    list_in(papers, "PAPERS", '"toy_paper": _toy_paper', PAPER)
    list_in(papers, "FULL_SIZE", '"toy_paper": _toy_paper_full_size')
    merge(home / "params.yaml", PAPER_PARAMS)
    merge(home / "dvc.yaml", PAPER_FLOW)


def git(*arguments: str, cwd: Path) -> str:
    who = ("-c", "user.name=tests", "-c", "user.email=tests@localhost")
    return run("git", *who, *arguments, cwd=cwd)


def touched(home: Path, *own: str) -> set[str]:
    """The files that differ from the last commit, but for its own; commits them."""
    run(sys.executable, "-m", "tests.generated_pages", cwd=home)
    lines = git("status", "--porcelain", "--untracked-files=all", cwd=home).splitlines()
    git("add", "--all", cwd=home)
    git("commit", "-qm", "a toy", cwd=home)
    return {line[3:] for line in lines if not line[3:].startswith(own)}


class Added(NamedTuple):
    """A copy of the project with all three, and the files touched for each beside its own."""

    home: Path
    data_set: set[str]
    stage: set[str]
    paper: set[str]


@pytest.fixture(scope="module")
def added(tmp_path_factory: pytest.TempPathFactory) -> Added:
    """A new repository with the project's own files, and a commit for each that is added."""
    home = tmp_path_factory.mktemp("adding") / "copy"
    copy_project(home)
    for name in ("params.yaml", "dvc.yaml"):
        merge(home / name, "{}")  # as the YAML library lays it out
    git("init", "-q", cwd=home)
    git("add", "--all", cwd=home)
    git("commit", "-qm", "the project", cwd=home)
    add_data_set(home)
    data_set = touched(home, "pipeline/datasets/toy_persons/")
    add_stage(home)
    stage = touched(home, "pipeline/stages/toy_colour.py")
    add_paper(home)
    paper = touched(home, "reid/papers/toy_paper/", "docs/papers/toy_paper.md")
    return Added(home, data_set, stage, paper)


@pytest.mark.slow
def test_at_most_four_files_are_touched_beside_its_own(added: Added):
    flow = {"params.yaml", "dvc.yaml"}
    assert added.data_set == {"pipeline/datasets/__init__.py", "params.yaml", "docs/data-sets.md"}
    assert added.stage == {"pipeline/stages/__init__.py", *flow, "docs/commands.md"}
    assert added.paper == {"reid/papers/__init__.py", *flow, "docs/data-sets.md"}
    assert all(len(files) <= MOST for files in added[1:])


@pytest.mark.slow
def test_what_is_added_runs_from_a_rendered_world_to_metrics(added: Added):
    copy = added.home
    experiment = "toy_paper_evaluate@toys-colour"
    needed = {"world@toys", "ingest@toys", "toy_colour@toys", "toy_paper@toys-colour", experiment}
    assert ran(run("dvc", "repro", experiment, cwd=copy)) == needed
    data = reid.open(copy / "data", "toys", columns=["image", "toy_colour"])
    raw = [*(copy / "data/0-raw/toys").rglob("*.png")]
    assert len(data) == len(raw) > 0
    for row in data[0], data[len(data) - 1]:
        image = decode((copy / "data/0-raw/toys" / f"{row['image_id']}.png").read_bytes())
        assert (row["image"] == image).all()
        top, left = image.shape[0] // 4, image.shape[1] // 4
        inner = image[top : image.shape[0] - top, left : image.shape[1] - left]
        np.testing.assert_allclose(row["toy_colour"], inner.mean((0, 1)), rtol=1e-5)
    trained = copy / "data/3-runs/toys-colour"
    assert (trained / "train/model.safetensors").is_file()
    metrics = json.loads((trained / "evaluate/metrics.json").read_text())
    assert 0 <= metrics["rank1"] <= 1
    assert metrics["queries"] == len(data.role("query")) > 0

    assert ran(run("dvc", "repro", experiment, cwd=copy)) == set(), "nothing changed"


@pytest.mark.slow
def test_the_project_s_tests_know_what_is_added(added: Added):
    """Its blocks depend on the rooms that it is computed in, and its pages are reached."""
    files = ("test_docs", "test_tree", "contracts/test_flow_dependencies", "contracts/test_stages")
    paths = [f"tests/{name}.py" for name in files]
    chosen = "(toy and not tests_of_its_own) or structure or reached or left_over or list"
    run(sys.executable, "-m", "pytest", "-q", *paths, "-k", chosen, cwd=added.home)
