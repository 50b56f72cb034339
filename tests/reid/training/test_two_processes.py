"""Training in two processes: the same network as in one, features for validation extracted once."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from reid.data.samplers import IdentityBatches
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.conftest import make_project
from tests.reid.training.test_train import built, change

devices = pytest.importorskip("reid.training.devices")


@pytest.mark.parametrize("ranks", [2, 3, 4])
def test_devices_divide_a_batch_by_identities(ranks: int):
    person = np.repeat(np.arange(12), 5)
    batch = IdentityBatches(person, 4, 3, seed=0).batches(0)[0]
    shares = [devices.share(len(batch), 3, rank, ranks) for rank in range(ranks)]
    assert sorted(np.concatenate(shares).tolist()) == list(range(12))
    for mine in shares:
        assert set(Counter(person[batch[mine]].tolist()).values()) == {3}, "whole identities"


def test_a_batch_that_leaves_a_device_without_samples_is_refused():
    with pytest.raises(ReidError, match="8 samples in groups of 4 cannot be divided among 3"):
        devices.share(8, 4, 0, 3)


# Layers without batch statistics, which each process would take of its own samples alone; and a
# count of the images embedded and of the exchanges between processes.
PROBE = """
import os, torch
from torch import nn
nn.BatchNorm2d = lambda channels: nn.GroupNorm(1, channels)
from reid.evaluation import features
rank, counts = os.environ.get("RANK", "0"), {"embedded": 0, "exchanges": 0}

def counted(name, real, how_many):
    def call(*args):
        counts[name] += how_many(args)
        with open(f"counts-{rank}.json", "w") as file:
            __import__("json").dump(counts, file)
        return real(*args)
    return call

features.embed = counted("embedded", features.embed, lambda args: len(args[3]["whole"]))
exchange = torch.distributed.all_gather_object
torch.distributed.all_gather_object = counted("exchanges", exchange, lambda args: 1)
from pipeline.commands.main import main
main()
"""


def trained(root: Path, processes: int, section: str) -> Project:
    """A project whose `toy-baseline` was trained on the CPU by so many processes."""
    project = built(make_project(root))
    change(project, "with: {seed: 0}", f"with: {{seed: 0, {section}}}")
    script = root / "probe.py"
    script.write_text(PROBE)
    command = [str(script), "train", "toy-baseline", "--device", "cpu"]
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
        command = [*launch, str(processes), *command]
    # One thread: sums of floats are then in one order.
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"}
    done = subprocess.run(
        [sys.executable, *command], cwd=root, env=environment, capture_output=True, text=True,
        timeout=1200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("toy-baseline: epoch 2") == 1, "one process speaks"
    return project


def history(project: Project) -> list[dict[str, float]]:
    path = project.run("toy-baseline") / "train" / "history.csv"
    with path.open() as file:
        return [{k: float(v) for k, v in line.items() if v} for line in csv.DictReader(file)]


def counts(project: Project) -> list[dict[str, int]]:
    return [json.loads(p.read_text()) for p in sorted(project.root.glob("counts-*.json"))]


@pytest.mark.slow
def test_two_processes_train_the_network_of_one(tmp_path: Path):
    from safetensors.numpy import load_file

    # Without random numbers of their own, processes differ from one in the order of sums alone.
    section = "flip: 0, dropout: 0, val_identities: 2, validate_every: 1"
    one, two = (trained(tmp_path / str(n), n, section) for n in (1, 2))
    for of_one, of_two in zip(history(one), history(two), strict=True):
        assert of_one == pytest.approx(of_two, rel=1e-3), "loss, accuracy and validation"
    networks = [load_file(p.run("toy-baseline") / "train/model.safetensors") for p in (one, two)]
    for name, weights in networks[0].items():
        np.testing.assert_allclose(weights, networks[1][name], atol=1e-4, err_msg=name)
    (alone,), shared = counts(one), counts(two)
    assert alone == {"embedded": 2 * 18, "exchanges": 0}, "two validations of 2 x 9 images"
    assert [each["exchanges"] for each in shared] == [2, 2], "one exchange a validation"
    assert sum(each["embedded"] for each in shared) == alone["embedded"]
    assert all(each["embedded"] < alone["embedded"] for each in shared)


@pytest.mark.slow
def test_the_command_starts_its_own_processes(tmp_path: Path):
    project = built(make_project(tmp_path / "project"))
    command = [sys.executable, "-m", "reid", "train", "toy-baseline", "--device", "cpu"]
    done = subprocess.run(
        [*command, "--devices", "2"], cwd=project.root, capture_output=True, text=True,
        timeout=1200, env={**os.environ, "OMP_NUM_THREADS": "1", "NO_COLOR": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [line["steps"] for line in history(project)] == [2, 4]
