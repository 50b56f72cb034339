"""MATLAB 5 files: what is sound is read here, the rest tried in another process first."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import warnings
import zlib
from pathlib import Path
from random import Random

import numpy as np
import pytest
from scipy import sparse
from scipy.io import loadmat, savemat, whosmat

from pipeline.datasets.layouts import matlab
from pipeline.datasets.layouts.matlab_container import why_unsound
from reid.project.errors import ReidError

PATH = Path("some.mat")
CASES = 400  # of random damage; 20,000 were tried once
WORDS = (0, 1, 2, 3, 4, 5, 16, 17, 1_000, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def values() -> dict[str, object]:
    """One of each kind of array that is looked into."""
    cells = np.empty((3, 2), object)
    parts = ["ab", "", np.arange(3.0), np.ones((1, 2), np.uint8), {"a": 1, "b": "x"}, "é"]
    for i, part in enumerate(parts):
        cells.flat[i] = part
    return {
        "numbers": np.arange(12.0).reshape(3, 4), "complex": np.array([1 + 2j]), "cells": cells,
        "labels": {"name": cells, "data": np.eye(4), "more": {"q": np.ones((2, 1))}},
        "text": "text", "flags": np.array([True, False]), "empty": np.zeros((0, 3)),
    }  # fmt: skip


def saved(packed: bool = False, **variables: object) -> bytes:
    out = io.BytesIO()
    savemat(out, variables or values(), do_compression=packed)
    return out.getvalue()


def variable(order: str, kind: int, size: int, content: bytes) -> bytes:
    """A file with one array x of a class, (size, size), by hand."""
    end = {"<": b"\x00\x01IM", ">": b"\x01\x00MI"}[order]
    flags, sizes = (6, 8, kind, 0), (5, 8, size, size)
    tags = struct.pack(f"{order}8I", *flags, *sizes)
    name = struct.pack(f"{order}2H", 1, 1) + b"x\0\0\0"
    body = tags + name + content
    return b"MATLAB 5.0 MAT-file".ljust(124) + end + struct.pack(f"{order}2I", 14, len(body)) + body


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No other process may be started."""

    def run(*_: object, **__: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(subprocess, "run", run)


@pytest.mark.parametrize("packed", [False, True])
def test_what_is_sound_is_read_without_another_process(alone, packed):
    data = saved(packed)
    assert why_unsound(data) == ""
    result = matlab.variables(PATH, data, "numbers", "none")
    assert {name for name in result if not name.startswith("__")} == {"numbers"}
    assert matlab.variable(PATH, data, "text", "RAP", "annotation").tolist() == ["text"]


def test_a_file_of_the_other_byte_order_is_sound(alone):
    data = variable(">", 6, 1, struct.pack(">IId", 9, 8, 7.0))
    assert why_unsound(data) == ""
    assert matlab.variables(PATH, data, "x")["x"] == 7


@pytest.mark.parametrize(
    "value", [sparse.csc_matrix(np.eye(3)), np.array([["a"]], object)], ids=["sparse", "cell"]
)
def test_kinds_that_are_not_looked_into_are_read_all_the_same(value):
    data = saved(x=value)
    assert ("class 5" in why_unsound(data)) == sparse.issparse(value)
    assert matlab.variables(PATH, data, "x")["x"].shape == value.shape


def at(data: bytes, offset: int, form: str, *numbers: int) -> bytes:
    """The data with other numbers at an offset from the end of the header."""
    changed = bytearray(data)
    struct.pack_into(form, changed, 128 + offset, *numbers)
    return bytes(changed)


def packed_again(behind: bytes, size: int = 0) -> bytes:
    """A packed variable whose tag inside tells another size."""
    data = saved(True, x=np.arange(100.0))
    inner = bytearray(zlib.decompress(data[136:]))
    struct.pack_into("<I", inner, 4, struct.unpack_from("<I", inner, 4)[0] + size)
    body = zlib.compress(bytes(inner)) + behind
    return data[:128] + struct.pack("<II", 15, len(body)) + body


def deep(levels: int) -> np.ndarray:
    made = np.zeros((1, 1))
    for _ in range(levels):
        outer = np.empty((1, 1), object)
        outer[0, 0] = made
        made = outer
    return made


ONE = saved(x=np.array([[1.5, 2.5]]))  # flags at 8, dimensions at 24, name at 40, values at 48
RECORD = saved(x={"a": 1.0})  # length of names at 48, names at 56
UNSOUND = {  # damage: the file, and what is said of it
    "no header": (b"", "no header of MATLAB 5"),
    "MATLAB 4": (bytes(4) + ONE[4:], "no header of MATLAB 5"),
    "another order": (ONE[:126] + b"XX" + ONE[128:], "no header of MATLAB 5"),
    "cut off": (ONE[:-1], "ends behind what it is in"),
    "bytes at the end": (ONE + b"abc", "unpack_from requires"),
    "not a variable": (at(ONE, 0, "<I", 9), "a variable of type 9"),
    "a long short element": (at(ONE, 40, "<HH", 1, 5), "5 bytes in a short element"),
    "no flags": (at(ONE, 8, "<I", 9), "no element of type 6 as number 1"),
    "a negative size": (at(ONE, 32, "<ii", -1, 2), "dimensions"),
    "another size": (at(ONE, 32, "<ii", 1, 3), "16 bytes of type 9 for 3 values"),
    "an unknown type": (at(ONE, 48, "<I", 99), "16 bytes of type 99 for 2 values"),
    "no second part": (at(ONE, 16, "<I", 0x806), "1 elements of values in place of 2"),
    "an unknown class": (at(ONE, 16, "<I", 99), "an array of class 99"),
    "numbers called cells": (at(ONE, 16, "<I", 1), "1 arrays in place of 2"),
    "one number called a cell": (
        at(saved(x=1.5), 16, "<I", 1), "type 9 in place of an array",
    ),
    "names of no length": (at(RECORD, 52, "<i", 0), "bytes of names of fields that have 0 each"),
    "packed, and longer": (packed_again(b"", 8), "not as long as it says"),
    "packed, and shorter": (packed_again(b"", -8), "not as long as it says"),
    "packed, with more behind": (packed_again(b"more"), "not as long as it says"),
    "packed badly": (saved(True)[:200], "ends behind what it is in"),
    "arrays without end": (saved(x=deep(40)), "more than 16 deep"),
    "many structs": (at(RECORD, 32, "<ii", 30_000, 30_000), "1 arrays in place of 900000000"),
    "structs without a field": (
        variable("<", 2, 30_000, struct.pack("<HHi", 5, 4, 32) + struct.pack("<II", 1, 0)),
        "900000000 structs without a field",
    ),
}  # fmt: skip


@pytest.mark.parametrize("damage", UNSOUND)
def test_damage_is_seen(damage):
    data, expected = UNSOUND[damage]
    assert expected in why_unsound(data)


def test_a_file_that_crashes_the_reader_is_one_line():
    """Values of a type that there is not: scipy follows a pointer to nowhere."""
    data = at(ONE, 48, "<I", 0)
    with pytest.raises(ReidError, match=r"16 bytes of type 0 for 2 values; scipy crashes on it"):
        matlab.variables(PATH, data, "x")


def test_an_unsound_file_is_refused_where_no_process_can_be_started(monkeypatch):
    def run(*_: object, **__: object) -> None:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(ReidError, match=r"cannot be read as MATLAB 5 \(.*unavailable"):
        matlab.variables(PATH, saved(x=sparse.csc_matrix(np.eye(3))), "x")


def test_what_is_not_there_is_one_line(monkeypatch):
    with pytest.raises(ReidError, match=r"some.mat: no variable `y`; this is not RAP's annotation"):
        matlab.variable(PATH, ONE, "y", "RAP", "annotation")
    for data in (matlab.HDF5, b"MATLAB 7.3 MAT-file".ljust(512) + matlab.HDF5):
        with pytest.raises(ReidError, match=r"is HDF5 \(MATLAB 7\.3\), .* save it with `-v7`"):
            matlab.variables(PATH, data, "x")
    monkeypatch.setitem(sys.modules, "scipy.io", None)
    with pytest.raises(ReidError, match=r"some.mat needs scipy; run `pip install scipy`"):
        matlab.variables(PATH, ONE, "x")


# ------------------------------------------------------------------------------- damage at random


def damaged(random: Random, data: bytearray) -> bytes:
    """Some bytes flipped, replaced, gone, doubled, or copied from elsewhere."""
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        offset, kind = random.randrange(len(data)), random.randrange(6)
        if kind == 0:
            data[offset] ^= 1 << random.randrange(8)
        elif kind == 1:
            data[offset] = random.choice((0, 1, 2, 5, 14, 15, 16, 17, 127, 128, 255))
        elif kind == 2:
            offset &= ~3
            data[offset : offset + 4] = random.choice(WORDS).to_bytes(4, "little")
        elif kind == 3:
            del data[offset : offset + random.choice((1, 4, 8, 16))]
        elif kind == 4:
            data[offset:offset] = data[offset : offset + random.choice((1, 4, 8, 16))]
        else:
            other = random.randrange(len(data)) & ~7
            data[offset & ~7 : (offset & ~7) + 8] = data[other : other + 8]
    return bytes(data)


def damaged_within(random: Random, data: bytes) -> bytes:
    """A packed file with damage in one of its variables, which is packed again."""
    made, position, variables = data[:128], 128, []
    while position < len(data):
        size = struct.unpack_from("<I", data, position + 4)[0]
        variables.append(zlib.decompress(data[position + 8 : position + 8 + size]))
        position += 8 + size
    chosen = random.randrange(len(variables))
    variables[chosen] = damaged(random, bytearray(variables[chosen]))
    for variable in map(zlib.compress, variables):
        made += struct.pack("<II", 15, len(variable)) + variable
    return made


def test_what_is_seen_as_sound_never_ends_this_process():
    plain, packed = saved(), saved(True)
    sound = 0
    for seed in range(CASES):
        random = Random(seed)
        data = damaged_within(random, packed) if seed % 2 else damaged(random, bytearray(plain))
        if why_unsound(data):
            continue
        sound += 1
        with warnings.catch_warnings(), contextlib.suppress(Exception):
            warnings.simplefilter("ignore")
            loadmat(io.BytesIO(data))
            whosmat(io.BytesIO(data))
    assert sound > CASES // 20  # the others would tell nothing
