"""Whatever a weights file is, it is read, or one line says what is wrong with it."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from reid.nn import caffe_weights
from reid.nn.caffenet import CaffeNet
from reid.nn.weights import fill, read_state
from reid.papers.attention_driven import method
from reid.papers.attention_driven.params import Params
from reid.project.errors import ReidError


class Foreign:
    """An object that only full unpickling can read."""


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


STATE = nn.Linear(2, 3).state_dict()
BROKEN = {
    "empty": (b"", "the file is empty"),
    "cut": (saved(STATE)[:-200], "not readable as weights"),
    "cut early": (saved(STATE)[:40], "not readable as weights"),
    "list": (saved([torch.zeros(2), 3]), "holds no state dict"),
    "number": (saved(7), "holds no state dict"),
    "numbers by name": (saved({"a": 1, "b": "c"}), "holds no state dict"),
    "nested nothing": (saved({"state_dict": {}}), "holds no state dict"),
    "foreign": (saved({"a": Foreign()}), "needs full unpickling"),
    "a pickle": (pickle.dumps({"a": np.ones(2)}), "needs full unpickling|not readable"),
    "a page": (b"<!DOCTYPE html><html>", "needs full unpickling|not readable"),
}


@pytest.fixture(params=BROKEN.items(), ids=BROKEN)
def broken(request, tmp_path: Path) -> tuple[Path, str]:
    _, (data, message) = request.param
    (tmp_path / "w.pt").write_bytes(data)
    return tmp_path / "w.pt", message


def test_a_broken_file_is_one_line(broken):
    path, message = broken
    with pytest.raises(ReidError, match=message) as caught:
        read_state(path)
    assert str(caught.value).startswith(str(path))


def test_a_paper_s_weights_are_one_line_too(broken):
    path, message = broken
    params = Params(width_scale=0.0625, weights=str(path))
    with pytest.raises(ReidError, match=message):
        method.build(params, 3)


@pytest.mark.parametrize("data", [b"", b"\0", b"<html>", saved(STATE)[:500]], ids=len)
def test_a_broken_caffe_model_is_one_line(tmp_path, data):
    path = tmp_path / "bvlc.caffemodel"
    path.write_bytes(data)
    with pytest.raises(ReidError, match=r"not readable as a Caffe model|lacks conv1"):
        caffe_weights.load(CaffeNet(3, width_scale=0.0625), path)


def test_tensors_beside_other_things_are_taken(tmp_path):
    torch.save({"model": {**STATE, "epoch": 3}, "optimizer": {}}, tmp_path / "w.pt")
    assert read_state(tmp_path / "w.pt").keys() == STATE.keys()


def test_what_is_missing_and_too_much_is_named(tmp_path):
    path = Path("w.pt")
    with pytest.raises(ReidError, match=r"w\.pt: not weights of net \(lacks bias; has b\)"):
        fill(nn.Linear(2, 3), {"weight": STATE["weight"], "b": STATE["bias"]}, path, "net")
    with pytest.raises(ReidError, match="size mismatch"):
        fill(nn.Linear(2, 4), STATE, path, "net")
    fill(nn.Linear(2, 3), {"weight": STATE["weight"]}, path, "net", own=("bias",))
