"""The training loop on a task of its own: sums, checkpoints in time, stops."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from reid.training.checkpoint import Checkpoint, Part, State
from reid.training.devices import launched
from reid.training.loop import Loop, Stopped, step_seed

LOG = logging.getLogger("test")
LOSSES = np.random.default_rng(0).normal(1, 1, 30)  # of three epochs of ten steps


class Noted:
    """Counts its steps in a weight; its losses are `LOSSES`."""

    title, epochs, check_every, per_epoch = "noted", 3, 4, (10, 10)

    def __init__(self, stop_at: int = 0):
        self.devices, self.stop = launched("cpu", "32-true"), threading.Event()
        self.stop_at, self.network = stop_at, nn.Linear(1, 1, bias=False)
        nn.init.zeros_(self.network.weight)
        self.parts: Mapping[str, Part] = {"network": self.network}

    def batches(self, state: State) -> Generator[int]:
        yield from range(10 * state.epoch + state.batch, 10 * state.epoch + 10)

    def step(self, batch: int, state: State) -> Tensor:
        assert batch == state.step
        self.network.weight.data += 1
        if batch + 1 == self.stop_at:
            self.stop.set()
        return torch.tensor([LOSSES[batch], 1.0], dtype=torch.float64)

    def end_epoch(self, state: State) -> dict[str, Any]:
        assert state.sums[1] == 10
        return {"epoch": state.epoch + 1, "loss": state.sums[0]}


def run(path: Path, stop_at: int = 0, **settings: Any) -> tuple[Noted, State]:
    task = Noted(stop_at)
    return task, Loop(task, path, LOG, stop=task.stop, **settings).run()


def test_sums_are_the_same_wherever_a_training_was_stopped(tmp_path: Path):
    _, whole = run(tmp_path / "whole.pt")
    expected = [LOSSES[10 * i : 10 * i + 10].sum() for i in range(3)]
    assert [line["loss"] for line in whole.history] == pytest.approx(expected)
    for at in range(1, 30):
        path = tmp_path / f"{at}.pt"
        with pytest.raises(Stopped, match=f"noted: stopped after step {at}, in epoch"):
            run(path, at)
        task, state = run(path)
        assert state.history == whole.history, "to the last bit"
        assert task.network.weight.item() == 30


def test_a_stop_in_the_last_step_of_all_leaves_nothing_to_do_but_the_end(tmp_path: Path):
    with pytest.raises(Stopped):
        run(tmp_path / "a.pt", 30)
    task, state = run(tmp_path / "a.pt")
    assert (task.network.weight.item(), len(state.history)) == (30, 3)


@pytest.mark.parametrize(
    ("settings", "steps"),
    [
        pytest.param({}, [10, 20, 30], id="each epoch"),
        pytest.param({"every_epochs": 2}, [20, 30], id="every other epoch, and at the end"),
        pytest.param({"every_minutes": 0}, [4, 8, 10, 14, 18, 20, 24, 28, 30], id="in time"),
    ],
)
def test_when_checkpoints_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], steps: list[int]
):
    saved, real = [], Checkpoint.save

    def save(self: Checkpoint) -> None:
        saved.append(self.state.step)
        real(self)

    monkeypatch.setattr(Checkpoint, "save", save)
    run(tmp_path / "a.pt", **settings)
    assert saved == steps


def test_step_seeds_differ_and_fit_a_generator():
    seeds = [step_seed(seed, step) for seed in range(3) for step in range(50)]
    assert len(set(seeds)) == 150
    torch.Generator().manual_seed(max(seeds))
    assert min(seeds) >= 0
