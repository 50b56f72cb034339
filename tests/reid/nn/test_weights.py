"""Whatever a weights file is, it is read, or one line says what is wrong with it."""

from __future__ import annotations

import io
import pickle
import zipfile
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


def nested(depth: int) -> bytes:
    """A pickle of {((...)): 1}, tuples in tuples: to hash the key takes the C stack."""
    return b"\x80\x02}(" + b")" + b"\x85" * depth + b"K\x01u."


def archived(data: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    """A pickle as torch.save's archive holds it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
    return file.getvalue()


STATE = nn.Linear(2, 3).state_dict()
OLD_MAGIC = 0x1950A86A20F9469CFC6C  # of torch.save before 1.6
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
    "deep": (archived(nested(200_000)), "nested deeper than 100"),
    "deep, of old": (
        b"".join(pickle.dumps(part, 2) for part in (OLD_MAGIC, 1001, {})) + nested(200_000),
        "nested deeper than 100",
    ),
    "packed": (archived(pickle.dumps("a" * 9_000, 2), zipfile.ZIP_DEFLATED), "are packed"),
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


@pytest.mark.parametrize("new", [True, False])
def test_names_of_several_devices_and_files_of_old_are_read(tmp_path, new):
    state = {f"module.{name}": tensor for name, tensor in STATE.items()}
    kept = {"state_dict": state, "epoch": 3}
    torch.save(kept, tmp_path / "w.pth", _use_new_zipfile_serialization=new)
    assert read_state(tmp_path / "w.pth").keys() == STATE.keys()


@pytest.mark.filterwarnings("ignore:Validating sparse tensor")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(1).expand(10**11), "size mismatch"),  # 400 GB of a file with four bytes
        (torch.zeros(3, 2).to_sparse(), "weight is a sparse, nested or empty tensor"),
        (torch.empty(3, 2, device="meta"), "weight is a sparse, nested or empty tensor"),
        (torch.zeros(3, 2, dtype=torch.complex64), "weight holds complex64, not floats"),
        (torch.zeros(3, 2, dtype=torch.int8), "weight holds int8, not floats"),
        (torch.full((3, 2), torch.nan, dtype=torch.float8_e4m3fn), "weight holds NaN"),
    ],
    ids=["huge", "sparse", "no values", "complex", "whole", "NaN of 8 bits"],
)
def test_tensors_that_are_no_networks_values_are_one_line(tmp_path, value, message):
    path = tmp_path / "w.pth"
    torch.save({**STATE, "weight": value}, path)
    with pytest.raises(ReidError, match=message):
        fill(nn.Linear(2, 3), read_state(path), path, "net")
