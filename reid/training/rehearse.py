"""A few steps of an experiment at its full size: memory, speed, and how long all of it would take.

Nothing is kept. The first step also sets up, so the speed is measured without it where there are
more.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from reid.experiments import Experiment
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.training.checkpoint import State
from reid.training.devices import launched
from reid.training.experiment_task import ExperimentTask


def rehearse(
    experiment: Experiment, project: Project, *, steps: int = 10, device: str = "auto"
) -> dict[str, Any]:
    """Figures of the first `steps` steps. Times in seconds or hours, memory in 1e9 bytes."""
    if steps < 1:
        raise ReidError(f"steps: {steps}, must be at least 1")
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        devices = launched(device, experiment.params.precision)
        task = ExperimentTask(experiment, project, Path(folder), devices)
        whole = task.sampler.batches(0)
        prepared = time.perf_counter() - begun
        taken, waited = _run(task, whole[:steps])
    timed = slice(1, None) if len(taken) > 1 else slice(None)
    step = sum(taken[timed]) / len(taken[timed])
    hours = step * len(whole) / 3600
    batch = sum(map(len, whole)) / len(whole)
    return {
        "steps": len(taken), "device": str(devices.device),
        "precision": devices.precision, "batch": round(batch, 1),
        "prepare_s": prepared, "step_s": step, "images_per_second": batch / step,
        "waited_share": sum(waited[timed]) / sum(taken[timed]),
        "memory_gb": memory(devices.device) / 1e9,
        "steps_per_epoch": len(whole), "hours_per_epoch": hours,
        "epochs": experiment.params.epochs, "hours": hours * experiment.params.epochs,
    }  # fmt: skip


def _run(task: ExperimentTask, batches: list[Any]) -> tuple[list[float], list[float]]:
    """For each step its seconds, and those of them that were spent waiting for data."""
    drawn = [task.draw(rows, i) for i, rows in enumerate(batches)]
    source = task.views.batches(draw.needed for draw in drawn)
    taken, waited = [], []
    task.network.train()
    for i, draw in enumerate(drawn):
        start = time.perf_counter()
        views = task.combined(next(source)[1], draw)
        waited.append(time.perf_counter() - start)
        batch = task.samples(views, draw, len(batches[i]), i / len(batches))
        task.step(batch, State(step=i)).cpu()  # waits for the device
        taken.append(time.perf_counter() - start)
    return taken, waited


def memory(device: torch.device) -> int:
    """The most bytes in use so far: of the GPU's memory, else of this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
