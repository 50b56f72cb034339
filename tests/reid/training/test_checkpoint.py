"""The checkpoint's file: what is none, whole or in part, is one line that says what to do."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from reid.project.errors import ReidError
from reid.training.checkpoint import Checkpoint, State


def saved(path: Path) -> nn.Linear:
    network = nn.Linear(3, 2)
    state = State(step=7, sums=[0.1, 2.0], recent=[[0.3, 1.0]], history=[{"epoch": 1, "map": ""}])
    Checkpoint(path, "loss-1", state, {"network": network.state_dict()}).save()
    return network


def file_of(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


class Item:
    pass


def test_what_is_saved_is_loaded(tmp_path: Path):
    path = tmp_path / "folder/checkpoint.pt"
    assert Checkpoint.load(path, "loss-1") is None
    network, other = saved(path), nn.Linear(3, 2)
    checkpoint = Checkpoint.load(path, "loss-1")
    assert checkpoint is not None
    assert checkpoint.state == State(7, 0, 0, [0.1, 2.0], [[0.3, 1.0]], [{"epoch": 1, "map": ""}])
    checkpoint.restore({"network": other})
    assert torch.equal(network.weight, other.weight)
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


@pytest.mark.parametrize("length", [0, 1, 2, 4, 30, 100, 500, 0.25, 0.5, 0.75, 0.9, -22, -1])
def test_a_truncated_file_is_one_line(tmp_path: Path, length: float):
    path = tmp_path / "checkpoint.pt"
    saved(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(length * len(whole)) if isinstance(length, float) else length])
    refused(path)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"step 3\n", id="text"),
        pytest.param("é\n".encode() * 10_000, id="long text"),
        pytest.param(bytes(5000), id="zeros"),
        pytest.param(b"PK\x03\x04" + bytes(500), id="the beginning of an archive"),
        pytest.param(pickle.dumps([1, 2]), id="a pickled list"),
        pytest.param(pickle.dumps(Item()), id="a pickled object"),
        pytest.param(file_of([1, 2]), id="a list"),
        pytest.param(file_of({"identity": "loss-1", "state": {"steps": 1}, "parts": {}}),
                     id="another state"),
        pytest.param(file_of({"identity": "loss-1", "state": {"step": "x"}, "parts": {}}),
                     id="a step that is a word"),
        pytest.param(file_of({"identity": "loss-1", "state": {"epoch": -5}, "parts": {}}),
                     id="epochs below none"),
        pytest.param(file_of({"identity": "loss-1", "state": {"sums": ["a"]}, "parts": {}}),
                     id="losses that are words"),
        pytest.param(file_of({"model": {}, "optimizer": {}, "done": {}}), id="other names"),
    ],
)  # fmt: skip
def test_what_is_no_checkpoint_is_one_line(tmp_path: Path, data: bytes):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(data)
    refused(path)


def refused(path: Path) -> None:
    with pytest.raises(ReidError) as raised:
        Checkpoint.load(path, "loss-1")
    assert str(raised.value) == (
        f"{path}: truncated, damaged, or no checkpoint of this version; delete this file to begin "
        "anew"
    )


def test_another_identity_is_refused(tmp_path: Path):
    path = tmp_path / "checkpoint.pt"
    saved(path)
    with pytest.raises(ReidError, match=r"\(loss-1, now loss-2\); delete this file to begin anew"):
        Checkpoint.load(path, "loss-2")


@pytest.mark.parametrize("network", [nn.Linear(4, 2), nn.Linear(3, 2, bias=False), nn.PReLU()])
def test_another_network_is_refused(tmp_path: Path, network: nn.Module):
    path = tmp_path / "checkpoint.pt"
    saved(path)
    checkpoint = Checkpoint.load(path, "loss-1")
    assert checkpoint is not None
    for parts in ({"network": network}, {"average": network}):
        with pytest.raises(ReidError, match="of another network or optimizer; delete this file"):
            checkpoint.restore(parts)
