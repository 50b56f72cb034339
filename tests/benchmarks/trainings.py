"""`python -m tests.benchmarks.trainings`: the demo's trainings against their bare networks.

Each experiment of params.yaml trains on a small rendered world whose joints, masks and flow need no
network; then the same steps of its network alone: forward, loss, backward and update, on one batch
that lies ready. Seconds are those of the processor, on one thread.
"""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from pipeline.commands.console import show, table
from reid import experiments
from reid.papers import PAPERS
from reid.project import params
from reid.project.layout import Project
from reid.training.checkpoint import State
from reid.training.devices import launched
from reid.training.experiment_task import ExperimentTask, Samples
from tests.benchmarks.turns import row, share
from tests.tiny import build_tiny

IDENTITIES = 24
STEPS, ROUNDS = 12, 5
HERE = Path(__file__).parents[2]


def rows_trainings(folder: Path, names: Sequence[str] = ()) -> list[dict[str, Any]]:
    """A row for each experiment of the demo, or for those named."""
    demo = params.load(HERE)
    project = build_tiny(folder, IDENTITIES, {paper: demo[paper] for paper in PAPERS})
    names = names or [name for paper in PAPERS for name in demo[paper]["on"]]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with contextlib.chdir(project.root):
            return [_against_its_network(name, project) for name in names]
    finally:
        torch.set_num_threads(threads)


def _against_its_network(name: str, project: Project) -> dict[str, Any]:
    experiment = experiments.load(project, name)
    devices = launched("cpu", experiment.params.precision)
    task = ExperimentTask(experiment, project, project.work / "bench" / name, devices)
    state = State()
    ready = next(_batches(task, state))
    alone = _bare(task, ready)

    def whole() -> int:
        trained = 0
        for batch in _batches(task, State()):
            task.step(batch, state)
            trained += len(batch.target)
            if trained >= STEPS * len(ready.target):
                break
        return trained

    whole()
    alone()
    limits, ours = [], []
    for _ in range(ROUNDS):
        seconds, samples = _timed(whole)
        ours.append(seconds / samples)
        begin = time.process_time()
        for _ in range(STEPS):
            alone()
        limits.append((time.process_time() - begin) / (STEPS * len(ready.target)))
    rate = 1 / sorted(limits)[ROUNDS // 2]
    return row(f"training {name}, samples/s (its network)", rate * share(limits, ours), rate, 0.95)


def _timed(call: Callable[[], int]) -> tuple[float, int]:
    start = time.process_time()
    count = call()
    return time.process_time() - start, count


def _batches(task: ExperimentTask, state: State) -> Iterator[Samples]:
    """Batches of the first epoch, over and over: later epochs may train other parts."""
    while True:
        yield from task.batches(state)


def _bare(task: ExperimentTask, samples: Samples) -> Callable[[], None]:
    """One step of the network on a batch that is augmented and normalised once."""
    augmented = task.method.augment(task.params, samples.views, torch.Generator().manual_seed(0))
    batch = task.method.normalize(task.params, augmented, task.mean)

    def step() -> None:
        output = task.network(batch)
        loss = task.method.loss(task.params, output, samples.target)["loss"]
        task.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        task.optimizer.step()

    return step


def main(names: Annotated[list[str] | None, typer.Argument(help="Experiments.")] = None) -> None:
    """Measure, and print a table; some minutes."""
    with tempfile.TemporaryDirectory() as folder:
        rows = rows_trainings(Path(folder) / "project", names or ())
    columns = ["name", "value", "limit", "ratio", "goal", "holds"]
    lines = [[one[c] for c in columns] for one in rows]
    show(rows, False, lambda: table("trainings", columns, lines))


if __name__ == "__main__":
    typer.run(main)
