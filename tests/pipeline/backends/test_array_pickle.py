"""Pickles of arrays that a stranger hands over: read where they hold numbers, refused otherwise."""

import pickle
import random
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.backends.array_pickle import read_arrays
from pipeline.backends.checkpoints import fill_model, load_state
from reid.project.errors import ReidError

ARRAYS = {
    "float": np.arange(6, dtype=np.float32).reshape(2, 3),
    "columns first": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "big-endian": np.arange(3, dtype=">f4"),
    "half": np.ones((1, 2), np.float16),
    "whole": np.array([[1, -2]], np.int64),
    "none": np.zeros((0, 3), np.float32),
    "one": np.array(2.5),
    "flags": np.array([True, False]),
}


def write(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_come_back_as_python_would_read_them(tmp_path, protocol):
    held = OrderedDict(ARRAYS, scalar=np.float32(3), text="zoo", numbers=[1, 2.5, None, (True, 7)])
    read = read_arrays(write(tmp_path / "w.pkl", pickle.dumps({"model": held}, protocol)))
    for name, array in ARRAYS.items():
        assert np.array_equal(read["model"][name], array)
        assert read["model"][name].dtype == array.dtype.newbyteorder("=")
    assert read["model"]["scalar"] == 3
    assert read["model"]["numbers"] == [1, 2.5, None, (True, 7)]
    state = load_state(tmp_path / "w.pkl", trusted=False)
    assert state.keys() == ARRAYS.keys()


class Calls:
    """Pickles as the call of `function` with `arguments`, and a state where there is one."""

    def __init__(self, function, *arguments, state=None):
        self.called = (function, arguments) if state is None else (function, arguments, state)

    def __reduce__(self):
        return self.called


def reconstructed(shape, dtype, data) -> Calls:
    make = np.empty(0).__reduce__()[0]
    return Calls(make, np.ndarray, (0,), b"b", state=(1, shape, dtype, False, data))


SCALAR = np.float32(1).__reduce__()[0]
FROM_BUFFER = np.empty(0).__reduce_ex__(5)[0]
DEEP = b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"K\x01s."  # {((((...),),),): 1}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(Calls(FROM_BUFFER, b"\1" * 16, np.dtype(object), (2,), "C"), id="buffer"),
        pytest.param(reconstructed((2,), np.dtype(object), b"\1" * 16), id="state"),
        pytest.param(reconstructed((2,), np.dtype(object), [1, "two"]), id="objects"),
        pytest.param(np.array([{}, "two"], object), id="an array of objects"),
        pytest.param(Calls(SCALAR, np.dtype(object), b"\1" * 8), id="scalar"),
        pytest.param(np.array(["two"]), id="texts"),
        pytest.param(np.array([(1, 2.0)], "i4,f4"), id="records"),
        pytest.param(np.array(["2020-01-01"], "datetime64[D]"), id="dates"),
        pytest.param(Calls(np.ndarray, (10**10,)), id="80 GB by its constructor"),
        pytest.param(reconstructed((10**10,), np.dtype("f8"), b"\1" * 8), id="80 GB"),
        pytest.param(reconstructed((4,), np.dtype("f4"), b"\1" * 8), id="beyond its buffer"),
        pytest.param(reconstructed((-1,), np.dtype("f4"), b"\1" * 8), id="a negative size"),
        pytest.param(Calls(FROM_BUFFER, b"\1" * 8, np.dtype("f4"), (3,), "C"), id="short buffer"),
        pytest.param(Calls(SCALAR, np.dtype("f8"), b"\1" * 4), id="a short scalar"),
        pytest.param({("a", "tuple"): 1}, id="a key that is no text"),
        pytest.param(Calls(bytes, 10**11), id="100 GB of nothing"),
        pytest.param(print, id="a function"),
        pytest.param({1, 2}, id="a set"),
    ],
)
def test_what_is_no_array_of_numbers_is_one_line(tmp_path, value):
    path = write(tmp_path / "w.pkl", pickle.dumps({"model": {"a": value}}))
    with pytest.raises(ReidError, match=r"^\S*w\.pkl: ") as refused:
        load_state(path, trusted=False)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x80\x02r\xff\xff\xff\x7f.", id="a memory of 2^31 values"),
        pytest.param(b"\x80\x04\x8e" + b"\xff" * 7 + b"\0.", id="a text of 2^56 bytes"),
        pytest.param(DEEP, id="a key of 200,000 tuples"),
        pytest.param(b"\x80\x02]" + b"]q\0a" * 9 + b"h\0" * 9, id="no end"),
        pytest.param(b"\x80\x02\x85.", id="a tuple of nothing"),
        pytest.param(b"", id="empty"),
    ],
)
def test_operations_that_no_writer_writes_are_one_line(tmp_path, data):
    with pytest.raises(ReidError, match=r"^\S*w\.pkl: "):
        load_state(write(tmp_path / "w.pkl", data), trusted=False)


def test_copies_of_one_text_do_not_grow_beyond_the_file(tmp_path):
    text = b"X" + (10_000).to_bytes(4, "little") + b"x" * 10_000 + b"q\0"
    copy = b"c_codecs\nencode\nh\0\x85Ra"
    path = write(tmp_path / "w.pkl", b"\x80\x02" + text + b"0]" + copy * 1000 + b".")
    with pytest.raises(ValueError, match="more bytes of arrays than the file holds"):
        read_arrays(path)


def mutated(data: bytes, drawn: random.Random) -> bytes:
    """A file with some bytes changed, doubled or cut out, or its end."""
    out = bytearray(data)
    for _ in range(drawn.randint(1, 4)):
        at = drawn.randrange(len(out))
        kind = drawn.randrange(5)
        if kind == 0:
            out[at] = drawn.randrange(256)
        elif kind == 1:
            out[at] ^= 1 << drawn.randrange(8)
        elif kind == 2:
            out[at:at] = out[at : at + drawn.randint(1, 40)]
        elif kind == 3 and len(out) > 50:
            del out[at : at + drawn.randint(1, 20)]
        else:
            out = out[: max(1, at)] if drawn.random() < 0.1 else out
    return bytes(out)


def fuzz(folder: Path, files: int, seed: int) -> tuple[int, int]:
    """(read, refused) of mutated pickles; anything but a value or a `ReidError` is raised."""
    drawn = random.Random(seed)
    held = {"model": {**ARRAYS, "scalar": np.float32(3)}, "by": ["zoo", 1, 2.5]}
    written = [pickle.dumps(held, protocol) for protocol in range(6)]
    path, read = folder / "w.pkl", 0
    refused: list[str] = []
    for _ in range(files):
        write(path, mutated(drawn.choice(written), drawn))
        try:
            load_state(path, trusted=False)
            read += 1
        except ReidError as error:
            refused.append(str(error))
    assert all(line.startswith(f"{path}: ") and "\n" not in line for line in refused)
    return read, len(refused)


def test_no_mutated_file_ends_python(tmp_path):
    read, refused = fuzz(tmp_path, 300, seed=0)
    assert read > 20
    assert refused > 100


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param("no weights", "weight is str, not a tensor", id="text"),
        pytest.param(torch.ones(3, 2, dtype=torch.int64), "weight holds int64, not floats", id="i"),
        pytest.param(torch.full((3, 2), torch.nan), "weight holds NaN or infinity", id="NaN"),
        pytest.param(torch.full((3, 2), -torch.inf), "weight holds NaN or infinity", id="-inf"),
    ],
)
def test_weights_that_are_no_numbers_are_refused_by_name(wrong, says):
    model = torch.nn.Linear(2, 3)
    with pytest.raises(ReidError, match=f"w.pth: {says}"):
        fill_model(model, {**model.state_dict(), "weight": wrong}, "w.pth")
    fill_model(model, {**model.state_dict(), "unused": wrong}, "w.pth")
