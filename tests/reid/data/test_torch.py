"""torch data sets of built data: workers, samplers, and batches that go on where they stopped."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from torch.utils.data import DataLoader

import reid
from pipeline.commands.build import make_plan
from pipeline.engine import run as engine
from reid.data.samplers import IdentityBatches, Shuffle
from reid.data.torch import TorchData
from reid.project.errors import ReidError
from tests.conftest import make_project
from tests.served import served

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    project = make_project(tmp_path_factory.mktemp("torch") / "project")
    with contextlib.chdir(project.root):
        engine.run(make_plan("ingest", "toy", project), project, executor="local")
    return project.root / "data"


@pytest.fixture
def data(root: Path) -> reid.Data:
    return reid.open(root, "toy").role("train")


def name_and_mean(row: dict[str, Any]) -> tuple[str, float]:
    return row["image_id"], float(row["image"].mean())


def loader_of(data: reid.Data, workers: int, seed: int = 0, **options: Any) -> reid.StatefulLoader:
    sampler = IdentityBatches(data.labels("person"), identities=2, images=3, seed=seed)
    rows = data.torch(transform=name_and_mean)
    return reid.StatefulLoader(rows, sampler, workers=workers, collate=list, **options)


def test_batches_of_p_persons_with_k_images(data: reid.Data):
    sampler = IdentityBatches(data.labels("person"), identities=2, images=3, seed=0)
    rows = data.torch(transform=lambda row: row["person"])
    batches = list(DataLoader(rows, batch_sampler=sampler.batches(0), collate_fn=list))  # type: ignore[arg-type]
    assert len(batches) == len(sampler.batches(0)) > 2
    for people in batches:
        assert sorted(people.count(person) for person in set(people)) == [3, 3]


def test_a_batch_is_read_in_one_go(data: reid.Data, monkeypatch: pytest.MonkeyPatch):
    asked: list[list[int]] = []
    read = reid.Data.each
    monkeypatch.setattr(
        reid.Data, "each", lambda self, rows: asked.append(list(rows)) or read(self, rows)
    )
    assert len(list(DataLoader(data.torch(len), batch_size=10))) == 4
    assert [len(rows) for rows in asked] == [10, 10, 10, 6]
    assert TorchData(data)[3]["image_id"] == data[3]["image_id"]


@FORKS
def test_a_row_beyond_the_last_is_an_index_error_and_the_last_is_minus_one(data: reid.Data):
    rows, count = data.torch(), len(data)
    assert rows[-1]["image_id"] == data[count - 1]["image_id"]
    for position in (count, -count - 1):
        with pytest.raises(IndexError, match="no row"):
            rows[position]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_goes_on_with_the_very_next_row(data: reid.Data, workers: int):
    straight = loader_of(data, 0)
    whole = [batch for _ in range(3) for batch in straight]
    assert straight.epoch == 3
    each = len(straight.sampler.batches(0))
    for stop in (1, each - 1, each, each + 2):
        first, found, states = loader_of(data, workers), [], []
        while len(found) < stop:
            for batch in first:
                found.append(batch)
                if len(found) == stop:
                    states.append(json.dumps(first.state_dict()))
                    break
        second = loader_of(data, workers)
        second.load_state_dict(json.loads(states[0]))
        while second.epoch < 3:
            found += list(second)
        assert found == whole, f"stopped after {stop} of {each} batches an epoch"


def test_the_state_of_another_sampler_is_refused(data: reid.Data):
    state = loader_of(data, 0).state_dict()
    with pytest.raises(ReidError, match="the state is of other rows or another sampler"):
        loader_of(data, 0, seed=1).load_state_dict(state)
    other = reid.StatefulLoader(data.torch(), Shuffle(len(data), 6, 0))
    with pytest.raises(ReidError, match="the state is of other rows or another sampler"):
        other.load_state_dict(state)


@FORKS
@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_workers_read_a_remote_data_set(data: reid.Data, root: Path, start: str):
    pytest.importorskip("aiohttp")
    with served(root) as server:
        remote = reid.open(server.url, "toy").role("train")
        assert remote[0]["image_id"] == data[0]["image_id"], "connections are open before the fork"
        loader = loader_of(remote, 1, multiprocessing_context=start)
        assert list(loader) == list(loader_of(data, 0))
