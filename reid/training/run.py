"""Runs the training of an experiment from where it was stopped, and publishes it.

Every step draws its random numbers from (seed, step) alone, and every epoch its order from
(seed, epoch): see `loop`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reid.code.fingerprint import Code
from reid.experiments import Experiment
from reid.project.layout import Project
from reid.project.progress import log_file
from reid.training.checkpoint import State
from reid.training.devices import first_locks, launched, wait_for_all
from reid.training.experiment_task import ExperimentTask
from reid.training.loop import Loop
from reid.training.published import (
    CHECKPOINT,
    FINISHED,
    folder_of,
    other_code,
    publish,
    save_weights,
)


def run(
    experiment: Experiment, project: Project, work: Path, *,
    key: str, code: Code, device: str, say: Callable[[str], None],
) -> None:  # fmt: skip
    """Train in the folder `work`, or go on there, and publish under `key`."""
    devices = launched(device, experiment.params.precision)
    with (
        first_locks(devices, work / "lock", f"train {experiment.name}"),
        log_file(project.work / "logs" / f"train-{experiment.name}.log") as log,
    ):
        log.disabled = not devices.first
        if devices.first:
            target = folder_of(experiment.name, project)
            for line in other_code(experiment.name, target, work, code):
                log.info(line)
                say(line)
        task = ExperimentTask(experiment, project, work, devices)
        every = experiment.params.checkpoint_every
        state = Loop(task, work / CHECKPOINT, log, every_epochs=every).run()
        if task.trained_s:
            waited = 100 * task.waited_s / task.trained_s
            log.info("waited for data %.1f %% of the time", waited)
        if devices.first:
            files = [work / "model.safetensors", work / "best.safetensors"]
            save_weights(files[0], task.network)
            described = {"key": key, "code": code.fingerprint}
            described |= description(experiment, task, state)
            weights = [path for path in files if path.is_file()]
            publish(experiment.name, project, work, described, weights, state.history, code)
            (work / FINISHED).touch()
        wait_for_all(devices)


def description(experiment: Experiment, task: ExperimentTask, state: State) -> dict[str, Any]:
    """The experiment, data and last figures of a finished training, for experiment.json."""
    last = state.history[-1]
    return {
        "experiment": experiment.name, "paper": experiment.paper.name,
        "params": experiment.described(), "people": task.people.tolist(),
        "channel_mean": task.mean.tolist(), "images": len(task.data), "steps": state.step,
        "train_accuracy": last["accuracy"], "train_loss": last["loss"],
    }  # fmt: skip


def overfit_batch(experiment: Experiment, project: Project, steps: int = 200) -> float:
    """Train on one batch up to `steps` times; returns its accuracy (1.0 where all is well)."""
    work = project.work / "overfit" / experiment.name
    with log_file(project.work / "logs" / f"overfit-{experiment.name}.log") as log:
        devices = launched("auto", experiment.params.precision)
        task, state = ExperimentTask(experiment, project, work, devices), State()
        rows = task.sampler.batches(0)[0]
        draw = task.draw(rows, 0)
        views = task.combined(task.views.get(draw.needed), draw)
        batch, accuracy = task.samples(views, draw, len(rows), 0.0), 0.0
        task.network.train()
        while state.step < steps and accuracy < 1.0:
            _, correct, samples = task.step(batch, state).tolist()
            accuracy = correct / samples
            state.step += 1
        log.info("accuracy %.3f after %d steps", accuracy, state.step)
    return accuracy
