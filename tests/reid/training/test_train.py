"""Training an experiment: what is published, kills, Ctrl-C, held-out identities."""

from __future__ import annotations

import contextlib
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid import experiments
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.training import experiment_task, published, run, train
from tests.conftest import contents, make_project, reid

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def built(project: Project) -> Project:
    with contextlib.chdir(project.root):  # as the command does
        for name in ("ingest", "joints", "parts"):
            engine.run(make_plan(name, "toy", project), project, executor="local")
    return project


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose `toy-inter` was trained without interruption."""
    project = built(make_project(tmp_path_factory.mktemp("train") / "whole"))
    done = reid("train", "toy-inter", cwd=project.root)
    assert done.returncode == 0, done.stderr
    return project


def copy_of(whole: Project, root: Path) -> Project:
    """The same built data without the training."""
    project = built(make_project(root))
    assert contents(project.shards("toy")) == contents(whole.shards("toy"))
    return project


def change(project: Project, old: str, new: str) -> None:
    path = project.root / "params.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))


def test_what_is_published(whole: Project):
    folder = whole.run("toy-inter") / "train"
    assert {p.name for p in folder.iterdir()} == {
        "model.safetensors", "history.csv", "experiment.json", "code.json",
    }  # fmt: skip
    history = list(csv.DictReader((folder / "history.csv").open()))
    assert [line["epoch"] for line in history] == ["1", "2"]
    steps = [line["steps"] for line in history]
    assert steps == ["2", "4"], "36 images, 16 at a time, full batches only"
    described = json.loads((folder / "experiment.json").read_text())
    assert described["people"] == [1, 3, 5, 7]
    assert described["params"]["model"] == "inter"


def test_training_again_does_nothing(whole: Project):
    before = (whole.run("toy-inter") / "train/model.safetensors").stat().st_mtime_ns
    assert reid("train", "toy-inter", cwd=whole.root).returncode == 0
    assert (whole.run("toy-inter") / "train/model.safetensors").stat().st_mtime_ns == before


def test_what_dvc_removed_is_published_again(whole: Project, tmp_path: Path, monkeypatch):
    project = Project(Path(shutil.copytree(whole.root, tmp_path / "copy")))
    shutil.rmtree(project.run("toy-inter"))
    monkeypatch.setattr("reid.training.run.run", lambda *_, **__: pytest.fail("it trains"))
    train.train(experiments.load(project, "toy-inter"), project)
    assert contents(project.run("toy-inter")) == contents(whole.run("toy-inter"))


KILL = """
import os, signal
from reid.training import checkpoint, experiment_task
owner = {{"step": experiment_task.ExperimentTask, "save": checkpoint.Checkpoint}}["{name}"]
real, count = owner.{name}, [0]
def killer(*a, **k):
    count[0] += 1
    if count[0] == {n}: os.kill(os.getpid(), signal.{signal})
    return real(*a, **k)
owner.{name} = killer
"""


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n"), [("step", 3), ("save", 2)])
def test_a_killed_training_resumes_to_the_same_bytes(whole: Project, tmp_path: Path, name, n):
    project = copy_of(whole, tmp_path / "killed")
    patch = KILL.format(name=name, n=n, signal="SIGKILL")
    assert reid("train", "toy-inter", cwd=project.root, patch=patch).returncode == -9
    resumed = reid("train", "toy-inter", cwd=project.root)
    assert resumed.returncode == 0, resumed.stderr
    assert contents(project.run("toy-inter")) == contents(whole.run("toy-inter"))


def test_ctrl_c_from_a_terminal_stops_cleanly(whole: Project, tmp_path: Path):
    project = copy_of(whole, tmp_path / "long")
    change(project, "epochs: 2", "epochs: 5000")
    command = [sys.executable, "-m", "reid", "train", "toy-inter"]
    with subprocess.Popen(command, cwd=project.root, stderr=subprocess.PIPE, text=True) as run:
        deadline = time.monotonic() + 600
        while not list(project.work.glob("train/*/checkpoint.pt")):
            assert run.poll() is None, run.stderr.read() if run.stderr else ""
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.kill(run.pid, signal.SIGINT)
        _, errors = run.communicate(timeout=600)
    assert run.returncode == 2
    assert "run the same command to go on" in errors
    assert "Traceback" not in errors


def test_one_batch_can_be_learnt_by_heart(whole: Project):
    experiment = experiments.load(whole, "toy-inter")
    assert run.overfit_batch(experiment, whole) == 1.0


def test_best_is_chosen_on_held_out_training_identities(whole: Project, tmp_path: Path):
    project = copy_of(whole, tmp_path / "held")
    change(project, "with: {seed: 0}", "with: {seed: 0, val_identities: 2, validate_every: 1}")
    folder = train.train(experiments.load(project, "toy-inter"), project, device="cpu")
    history = list(csv.DictReader((folder / "history.csv").open()))
    assert all(0 <= float(line["val_map"]) <= 1 for line in history)
    assert (folder / "best.safetensors").is_file()
    people = json.loads((folder / "experiment.json").read_text())["people"]
    assert len(people) == 2
    assert set(people) <= {1, 3, 5, 7}


def test_too_many_held_out_identities_are_refused(whole: Project, tmp_path: Path):
    project = copy_of(whole, tmp_path / "held")
    change(project, "with: {seed: 0}", "with: {seed: 0, val_identities: 3}")
    with pytest.raises(ReidError, match="val_identities 3 leaves fewer than 2 of 4"):
        train.train(experiments.load(project, "toy-inter"), project, device="cpu")


@pytest.mark.parametrize("resident", ["memory", "off"])
def test_where_samples_are_held_changes_no_result(whole: Project, tmp_path: Path, resident: str):
    project = copy_of(whole, tmp_path / resident)
    change(project, "with: {seed: 0}", f"with: {{seed: 0, resident: {resident}}}")
    done = reid("train", "toy-inter", cwd=project.root)
    assert done.returncode == 0, done.stderr
    assert contents(project.run("toy-inter")) == contents(whole.run("toy-inter"))


def test_channel_mean_is_the_mean_of_the_training_pixels(whole: Project):
    trainer = experiments.load(whole, "toy-baseline")
    data = trainer.open(whole).role("train")
    pixels = [row["image"] for batch in data.batches(8) for row in batch]
    views = experiment_task.Views(data, lambda row: {"whole": row["image"]}, torch.device("cpu"))
    expected = np.concatenate([p.reshape(-1, 3) for p in pixels]).mean(0)
    np.testing.assert_allclose(experiment_task.channel_mean(views).numpy(), expected, atol=1e-3)
    assert trainer.params.model == "baseline"


DAMAGES = {
    "cut": lambda path: os.truncate(path, 80),
    "an epoch less": lambda path: path.write_bytes(b"".join(path.open("rb").readlines()[:2])),
    "binary": lambda path: path.write_bytes(bytes(range(256))),
    "other columns": lambda path: path.write_text("a,b\n1\n"),
    "empty": lambda path: path.write_bytes(b""),
}
LOST = {
    "": lambda work: None,
    "no checkpoint": lambda work: (work / "checkpoint.pt").unlink(),
    "no work": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("lost", LOST)
def test_a_damaged_history_costs_no_training(
    whole: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, lost: str
):
    shutil.copytree(whole.root, tmp_path / "copy")
    project, said = Project(tmp_path / "copy"), list[str]()
    folder = project.run("toy-inter") / "train"
    (work,) = (project.work / "train").iterdir()
    kept = work / "published" / "history.csv"  # another name of the file, until it was copied
    kept.unlink()
    os.link(folder / "history.csv", kept)
    before = contents(folder)
    DAMAGES[damage](folder / "history.csv")
    LOST[lost](work)
    with pytest.raises(ReidError, match=r"history.csv: damaged .*; run `reid train toy-inter`"):
        published.read_history(project.run("toy-inter"))
    experiment = experiments.load(project, "toy-inter")
    monkeypatch.setattr(experiment_task.ExperimentTask, "step", None)  # nothing is trained
    train.train(experiment, project, device="cpu", say=said.append)
    if lost:
        assert len(said) == 1
        assert "no checkpoint holds it: it is removed, what was trained is kept" in said[0]
        del before["history.csv"]
    assert contents(folder) == before
    train.train(experiment, project, device="cpu", say=said.append)
    assert len(said) == bool(lost)
    assert len(published.read_history(project.run("toy-inter"))) == (0 if lost else 2)
