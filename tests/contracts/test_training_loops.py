"""What training, pretraining and fitting have in common: stops, kills, bad losses, checkpoints."""

from __future__ import annotations

import contextlib
import pickle
import shutil
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pipeline.fit import training as fitting
from reid import experiments
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.training.checkpoint import Checkpoint
from reid.training.experiment_task import ExperimentTask
from reid.training.loop import Stopped
from reid.training.pretrain import PretrainTask
from reid.training.train import train
from tests.conftest import contents, make_project
from tests.pipeline.fit.test_training import EXAMPLES, lesson
from tests.reid.training import test_pretrain as pretraining
from tests.reid.training.test_train import built

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def trained(root: Path) -> dict[str, bytes]:
    with contextlib.chdir(root):
        project = Project(Path())
        folder = train(experiments.load(project, "toy-inter"), project, device="cpu")
        return contents(folder)


def pretrained(root: Path) -> dict[str, bytes]:
    recipe = pretraining.RECIPE.model_copy(update={"epochs": 2, "batch": 8})
    return contents(pretraining.run(root, root / "net", recipe))


def fitted(root: Path) -> dict[str, bytes]:
    recipe = fitting.Recipe(steps=5, batch=8, learning_rate=0.3)
    state, done = fitting.fit(lesson(), recipe, EXAMPLES, root / ".work", device="cpu")
    if not done:  # which is no error here
        raise Stopped("fit-backend: run the same command to go on")
    return {name: value.numpy().tobytes() for name, value in state.items()}


@dataclass(frozen=True)
class Training:
    task: type[Any]
    steps: int
    run: Callable[[Path], dict[str, bytes]]  # in a folder; what comes of it
    made: Path  # what lies in the folder before
    whole: dict[str, bytes]  # what comes of it without a stop


@pytest.fixture(scope="module", params=["experiment", "pretraining", "fit"])
def training(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Training:
    made = tmp_path_factory.mktemp(request.param) / "made"
    task, steps, run = {
        "experiment": (ExperimentTask, 4, trained),
        "pretraining": (PretrainTask, 4, pretrained),
        "fit": (fitting.FitTask, 5, fitted),
    }[request.param]
    made.mkdir()
    if request.param == "experiment":
        built(make_project(made))
    if request.param == "pretraining":
        pretraining.make_folder(made)
    whole = Path(shutil.copytree(made, made.with_name("whole")))
    return Training(task, steps, run, made, run(whole))


@contextlib.contextmanager
def changed(owner: Any, name: str, at: int, change: Callable[[Any], Any]) -> Iterator[list[int]]:
    """What the `at`-th call of a method returns goes through `change`; yields the calls so far."""
    real, calls = getattr(owner, name), [0]

    def method(*given: Any) -> Any:
        calls[0] += 1
        result = real(*given)
        return change(result) if calls[0] == at else result

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, method)
        yield calls


def signalled(number: int) -> Callable[[Any], Any]:
    def change(result: Any) -> Any:
        signal.raise_signal(number)
        return result

    return change


def crash(_: Any) -> Any:
    raise MemoryError("no memory left")


def stopped(training: Training, root: Path, at: int, number: int = signal.SIGINT) -> Path:
    """A copy whose training was stopped in a step; its checkpoint."""
    shutil.copytree(training.made, root)
    with (
        changed(training.task, "step", at, signalled(number)) as calls,
        pytest.raises(Stopped, match="run the same command to go on"),
    ):
        training.run(root)
    assert calls == [at], "it stops after the step"
    (path,) = (root / ".work").rglob("*.pt")
    return path


def test_stopped_in_any_step_it_goes_on_to_the_same_bytes(training: Training, tmp_path: Path):
    for at in range(1, training.steps):
        number = signal.SIGTERM if at == 1 else signal.SIGINT
        before = signal.getsignal(number)
        stopped(training, tmp_path / str(at), at, number)
        assert signal.getsignal(number) is before
        with changed(training.task, "step", 0, crash) as calls:
            assert training.run(tmp_path / str(at)) == training.whole
        assert calls == [training.steps - at], "no step is done twice"


@pytest.mark.parametrize(
    ("owner", "name", "at"),
    [
        pytest.param(None, "step", 1, id="in the first step"),
        pytest.param(None, "step", 3, id="in a later one"),
        pytest.param(Checkpoint, "save", 1, id="after a checkpoint"),
    ],
)
def test_broken_off_it_goes_on_to_the_same_bytes(
    training: Training, tmp_path: Path, owner: Any, name: str, at: int
):
    root = tmp_path / "broken"
    shutil.copytree(training.made, root)
    with (
        changed(owner or training.task, name, at, crash),
        pytest.raises(MemoryError, match="no memory left"),
    ):
        training.run(root)
    assert training.run(root) == training.whole


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_no_number_keeps_the_last_checkpoint(
    training: Training, tmp_path: Path, value: float
):
    root = tmp_path / "nan"
    path = stopped(training, root, 2)
    with (
        changed(training.task, "step", 1, lambda sums: sums * value),
        pytest.raises(ReidError, match=r"the loss is not a number at step 3; the last checkpoint"),
    ):
        training.run(root)
    kept = Checkpoint.load(path, "")
    assert kept is not None
    assert kept.state.step == 2
    assert training.run(root) == training.whole


def test_a_damaged_checkpoint_is_one_line(training: Training, tmp_path: Path):
    root = tmp_path / "damaged"
    path = stopped(training, root, 2)
    whole = path.read_bytes()
    for data in (whole[: len(whole) // 2], b"", b"step 3\n", pickle.dumps([1, 2])):
        path.write_bytes(data)
        with pytest.raises(ReidError, match=r"\.pt: truncated, damaged, .* delete this file"):
            training.run(root)
    path.unlink()
    assert training.run(root) == training.whole


def test_a_checkpoint_under_another_identity_is_refused(training: Training, tmp_path: Path):
    root = tmp_path / "other"
    path = stopped(training, root, 2)
    kept = Checkpoint.load(path, "")
    assert kept is not None
    replace(kept, identity="loss-2").save()
    with pytest.raises(
        ReidError, match=r"other code or parameters \(loss-2, now unnamed\); delete"
    ):
        training.run(root)


def test_a_checkpoint_of_another_network_is_refused(training: Training, tmp_path: Path):
    root = tmp_path / "other"
    path = stopped(training, root, 2)
    kept = Checkpoint.load(path, "")
    assert kept is not None
    network = {name: torch.zeros(7) for name in kept.parts["network"]}
    replace(kept, parts={**kept.parts, "network": network}).save()
    with pytest.raises(ReidError, match="of another network or optimizer; delete"):
        training.run(root)
