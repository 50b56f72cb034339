"""The loop that fits networks: it learns, averages, and publishes halves."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.fit import people, run, training
from pipeline.fit.training import Lesson, Recipe
from reid.code import fingerprint
from reid.project.errors import ReidError
from reid.project.layout import Project, sha256_of

RECIPE = Recipe(steps=150, batch=8, learning_rate=0.3, weight_decay=0)
EXAMPLES = list(np.linspace(-1, 1, 33, dtype=np.float32))


def lesson() -> Lesson[Any, Any]:
    """Learns y = 3 x - 1."""

    def batch(examples, rng):
        del rng
        return torch.tensor(np.array(examples))[:, None]

    def loss(network, x, device, share):
        assert 0 <= share < 1
        return (network(x.to(device)) - (3 * x - 1)).square().mean()

    return Lesson(
        weights="line", sheets={"topview": 1}, defaults=RECIPE, batch=batch, loss=loss,
        network=lambda device: nn.Linear(1, 1).to(device), examples=lambda sheet: EXAMPLES,
    )  # fmt: skip


def test_it_learns_and_averages(tmp_path: Path):
    state, done = training.fit(lesson(), RECIPE, EXAMPLES, tmp_path, device="cpu")
    assert done
    assert state["weight"].item() == pytest.approx(3, abs=0.3)
    assert state["bias"].item() == pytest.approx(-1, abs=0.2)


def test_a_slow_part_has_its_share_of_the_learning_rate(tmp_path: Path):
    def fitted(slow: tuple[str, float] | None):
        def network(device: str) -> nn.Module:
            return nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1)).to(device)

        taught = replace(lesson(), network=network)
        if slow is not None:
            taught = replace(taught, slow=slow)
        torch.manual_seed(0)
        start = {k: torch.ones_like(v) for k, v in taught.network("cpu").state_dict().items()}
        recipe = Recipe(steps=40, batch=8, learning_rate=0.01, weight_decay=0)
        folder = tmp_path / str(slow)
        return training.fit(taught, recipe, EXAMPLES, folder, device="cpu", start=start)[0]

    plain, still, slower = fitted(None), fitted(("0", 0.0)), fitted(("0", 0.1))
    assert still["0.weight"].item() == 1
    assert still["0.bias"].item() == 1
    moved = [abs(state["0.bias"].item() - 1) for state in (plain, slower)]
    assert 0 < moved[1] < 0.3 * moved[0]
    assert still["1.bias"].item() != 1


def test_a_fit_ends_where_it_is_asked_to(tmp_path: Path):
    stop = threading.Event()
    stop.set()
    for done in (False, True):  # the one step of a recipe that is asked to stop is all of it
        recipe = Recipe(steps=1 if done else 2, batch=8, learning_rate=0.3)
        ended = training.fit(lesson(), recipe, EXAMPLES, tmp_path, device="cpu", stop=stop)[1]
        assert ended == done


def test_a_gradient_that_is_no_number_is_one_line(tmp_path: Path):
    taught = replace(
        lesson(), loss=lambda network, x, device, share: (0 * network(x)).sqrt().mean()
    )
    with pytest.raises(ReidError, match="fit-backend line: the loss is not a number at step 1"):
        training.fit(taught, RECIPE, EXAMPLES, tmp_path, device="cpu")


def test_a_fit_begins_with_weights_of_its_own_network_alone(tmp_path: Path):
    begun = {"weight": torch.tensor([[3.0]]), "bias": torch.tensor([-1.0])}
    still = Recipe(steps=1, batch=8, learning_rate=0)
    state, _ = training.fit(lesson(), still, EXAMPLES, tmp_path / "a", device="cpu", start=begun)
    assert state["weight"].item() == 3
    other = {"scale": torch.ones(1)}
    with pytest.raises(ReidError, match="--start: not this model's weights"):
        training.fit(lesson(), still, EXAMPLES, tmp_path / "b", device="cpu", start=other)


def test_a_fit_by_other_code_begins_anew(tmp_path: Path):
    nothing = replace(lesson(), loss=lambda network, x, device, share: 0 * network(x).sum())
    fitted = [
        training.fit(taught, RECIPE, EXAMPLES, tmp_path, device="cpu", code=code)[0]["bias"].item()
        for taught, code in ((lesson(), "a"), (nothing, "a"), (nothing, "b"))
    ]
    assert fitted[0] == fitted[1] != fitted[2]


@pytest.mark.parametrize("backend", run.LESSONS)
def test_the_code_of_a_fit_is_its_own_lesson_s(backend: str):
    modules = fingerprint.of(run.fitted_by(backend)).modules
    assert {name for name in modules if name.startswith("pipeline.fit.")} >= {
        f"pipeline.fit.{backend.partition('_')[0]}", "pipeline.fit.training"
    }  # fmt: skip
    others = {f"pipeline.fit.{name.partition('_')[0]}" for name in run.LESSONS if name != backend}
    assert not modules & others


def test_the_cycle_rises_and_falls_to_nothing():
    assert training.cycle(0) == 0
    assert training.cycle(training.WARM_UP) == 1
    assert training.cycle(1) == pytest.approx(0)
    assert training.cycle(0.3) > training.cycle(0.6)


def test_fit_backend_writes_halves_and_facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from safetensors.torch import load_file, save_file

    monkeypatch.setattr(run, "lesson_of", lambda name: lesson())
    monkeypatch.setattr(people, "PASSES", 1)
    facts = run.fit_backend("line", Project(tmp_path), out=tmp_path / "out", threads=1, steps=12)
    assert facts["done"]
    assert facts["recipe"]["steps"] == 12
    assert facts["examples"] == len(EXAMPLES)
    assert json.loads((tmp_path / "out/line.json").read_text()) == facts
    weights = load_file(tmp_path / "out/line.safetensors")
    assert {name: value.dtype for name, value in weights.items()} == {
        "weight": torch.float16, "bias": torch.float16
    }  # fmt: skip
    assert not list((tmp_path / "out").glob(".*"))
    begun = {name: torch.full_like(value.float(), 9) for name, value in weights.items()}
    save_file(begun, tmp_path / "nine.safetensors")
    project, start = Project(tmp_path), tmp_path / "nine.safetensors"
    again = run.fit_backend("line", project, out=tmp_path / "more", steps=12, start=start)
    assert again["start"] == sha256_of(start)
    assert load_file(tmp_path / "more/line.safetensors")["bias"] > weights["bias"] + 1
    with pytest.raises(ReidError, match=r"no\.safetensors"):
        run.fit_backend("line", project, out=tmp_path, start=tmp_path / "no.safetensors")


def test_an_unknown_backend_names_those_there_are():
    with pytest.raises(ReidError, match=r"no `raft` \(there are masks_torchvision, joints_mmpose"):
        run.lesson_of("raft")


@pytest.mark.parametrize("name", run.LESSONS)
def test_a_lesson_is_whole(name: str):
    taught = run.lesson_of(name)
    assert name == taught.weights
    assert set(taught.sheets) <= set(people.VIEWS)
    assert isinstance(taught.defaults, Recipe)


@pytest.mark.parametrize("name", run.LESSONS)
def test_a_network_learns_from_a_sheet(name: str, tmp_path: Path):
    """A few steps over and over the same few examples bring the library's loss down."""
    taught = run.lesson_of(name)
    view = next(iter(taught.sheets))
    examples = taught.examples(people.read_sheet(people.keep_sheet(tmp_path, view, 0)))[:4]
    torch.manual_seed(0)
    network = taught.network("cpu")
    batch = taught.batch(examples, np.random.default_rng(0))
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4)
    losses = []
    for _ in range(6):
        torch.manual_seed(1)  # torchvision draws its proposals
        optimizer.zero_grad()
        loss = taught.loss(network, batch, "cpu", 0.99)
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.95 * losses[0]
