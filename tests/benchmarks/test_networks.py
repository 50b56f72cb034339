"""What the bench rows of network stages compare, with networks that are made up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.backends import choices
from pipeline.backends.crops.person_box import PersonBox
from pipeline.backends.masks.person_mask import PersonMask
from pipeline.datasets.base import Sample
from reid.arrays.flow import Flow
from reid.shards.schema import ROW
from tests.benchmarks import networks as bench_networks
from tests.benchmarks.networks import CASES, Case, params_of, rows_networks

pytest.importorskip("torch")
BY_STAGE = {case.stage: case for case in CASES}


def shots(count: int, seed: int) -> list[Sample]:
    random = np.random.default_rng(seed)
    depth = np.full((40, 24), 3_000, np.uint16)
    return [
        Sample(random.integers(0, 256, (40, 24, 3), np.uint8), 1, 1, "train", depth_mm=depth)
        for _ in range(count)
    ]


class Fake:
    """A network that counts what it is shown."""

    def __init__(self, stage: str):
        self.stage, self.seen = stage, 0

    def __call__(self, items: Any) -> list[Any]:
        self.seen += len(items)
        return [self.one() for _ in items]

    def one(self) -> Any:
        whole = np.ones((40, 24), bool)
        return {
            "masks": PersonMask(whole, 1.0),
            "joints": np.ones((18, 3), np.float32),
            "crops": [PersonBox((2, 2, 20, 30), 0.9)],
            "flow": Flow(np.zeros((40, 24, 2), np.float32), whole),
        }[self.stage]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few images, which nobody renders, on the CPU."""
    monkeypatch.setattr(bench_networks, "SECONDS", 1e-9)
    monkeypatch.setattr(bench_networks, "ROUNDS", 1)
    monkeypatch.setattr(bench_networks, "_devices", lambda: ["cpu"])
    monkeypatch.setattr(bench_networks, "_passes", lambda _: [shots(5, 0), shots(3, 1)])


@pytest.mark.parametrize("stage", BY_STAGE)
def test_the_stage_and_its_network_alone_do_the_same(
    stage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: None
):
    case, network = BY_STAGE[stage], Fake(stage)
    monkeypatch.setattr(bench_networks, "find_spec", lambda _: True)
    monkeypatch.setattr(
        f"pipeline.backends.{case.name.replace('_', '.', 1)}.build", lambda *_: network
    )
    seen: dict[str, list[int]] = {"alone": [], "whole": []}

    def take_turns(actions: Any, rounds: int) -> list[list[float]]:
        for name, action in zip(seen, actions, strict=True):
            before = network.seen
            action()
            seen[name].append(network.seen - before)
        return [[0.95], [1.0]]

    monkeypatch.setattr(bench_networks, "take_turns", take_turns)
    [row] = rows_networks(tmp_path / "bench", cases=[case])
    assert (row["ratio"], row["goal"], row["holds"]) == (0.95, ">= 0.9", True)
    assert row["name"].startswith(f"{stage} by ")
    assert seen["alone"] == seen["whole"]
    [kept] = (tmp_path / "bench" / "kept").rglob("*.parquet")
    assert pq.read_metadata(kept).num_rows == row["value"]  # in one second
    if stage != "flow":
        assert seen["alone"] == [row["value"]]


def test_a_network_whose_library_is_missing_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(bench_networks, "find_spec", lambda name: name != "mmpose" or None)
    said: list[str] = []
    assert rows_networks(tmp_path, say=said.append, cases=[BY_STAGE["joints"]]) == []
    assert said == ["joints by a network: left out, mmpose is not installed"]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_worlds_weights_are_taken_where_there_are_some(
    case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(choices, "WORLD", tmp_path)
    untrained = params_of(case, "cpu")
    (tmp_path / f"{case.name}.safetensors").touch()
    fitted = params_of(case, "cpu")
    assert (untrained.weights, fitted.weights) == ("random", "world")
    assert untrained.model == fitted.model == choices.NETWORKS[case.name].world
    assert params_of(case, "cuda").batch == bench_networks.CUDA_BATCH > fitted.batch


def test_people_come_again_as_others(quick: None):
    table = bench_networks._table(bench_networks._passes(""), 18)
    assert table.schema.equals(ROW)
    assert table["person"].to_pylist() == [1] * 5 + [2] * 3 + [3] * 5 + [4] * 3 + [5] * 2
    assert table["frame"].to_pylist()[:8] == [0, 1, 2, 3, 4, 0, 1, 2]
    assert len(set(table["image_id"].to_pylist())) == 18
    assert table["depth"].null_count == 0


def test_there_are_whole_batches_and_no_more_than_a_shard(monkeypatch: pytest.MonkeyPatch):
    now = [0.0]

    def network(seconds: float) -> None:
        now[0] += seconds

    monkeypatch.setattr(bench_networks.time, "perf_counter", lambda: now[0])
    assert bench_networks._enough(network, 0.25, 16) == 5 * 16, "five quarters of a second"
    assert bench_networks._enough(network, 9.0, 16) == 16
    assert bench_networks._enough(network, 1e-6, 48) == 2_016


def test_the_people_are_rendered():
    passes = bench_networks._passes("topview")
    assert len(passes) == bench_networks.PASSES
    assert all(shot.depth_mm is not None for shots in passes for shot in shots)
