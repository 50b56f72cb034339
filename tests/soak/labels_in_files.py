"""Mutations of labels inside tables, lists, JSON, .mat and HDF5 files, which stay well formed."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

EVIL = (
    "../outside/secret.png", "../../../outside/secret.png", "/etc/passwd", "..", ".", "", " ",
    "-1", "0", "-0", "999999999999999999999999", "2147483648", "-2147483649", "1e400", "nan", "inf",
    "1.5", "0x1", "NULL", "\x00", "\n", "\r", '"', "'", ",", ";", "\t", "\ufeff", "\u202e",
    "\u0663",
    "=cmd()", "<script>", "x" * 100_000, "\\", "#", "a#b", "\u4eba", "[bold red]", "{}", "True",
)  # fmt: skip
NUMBERS = (
    np.nan, np.inf, -np.inf, -1.0, 0.0, 1.5, 1e300, 2.0**31, 2.0**53, -(2.0**63), 255.0, 65_536.0,
)  # fmt: skip


def text(random: Random, path: Path) -> str:
    """One cell of a table or line of a list; or a line twice, gone, or in another place."""
    lines = path.read_bytes().decode("utf-8", "surrogateescape").splitlines(keepends=True)
    if not lines:
        return "no lines"
    at, kind = (
        random.randrange(len(lines)),
        random.choice(("cell",) * 4 + ("twice", "gone", "swap")),
    )
    if kind == "cell":
        parts = re.split(r"([,;\r\n])", lines[at])
        cell = random.randrange(len(parts))
        parts[cell] = random.choice(EVIL)
        lines[at] = "".join(parts)
    elif kind == "twice":
        lines.insert(at, lines[at])
    elif kind == "gone":
        del lines[at]
    else:
        other = random.randrange(len(lines))
        lines[at], lines[other] = lines[other], lines[at]
    path.write_bytes("".join(lines).encode("utf-8", "surrogateescape"))
    return f"{kind} in line {at + 1}: {''.join(lines[at : at + 1])[:60]!r}"


def as_json(random: Random, path: Path) -> str:
    """One value of JSON by another kind of value."""
    try:
        loaded = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return "no JSON"
    places = [*_places(loaded)]
    values: tuple[Any, ...] = (
        *EVIL,
        None,
        True,
        -1,
        1e308,
        10**30,
        [],
        {},
        [[]],
        {"a": 1},
        [1] * 500,
    )
    value = random.choice(values)
    if places:
        owner, key = random.choice(places)
        owner[key] = value
    else:
        loaded = value
    path.write_text(json.dumps(loaded))
    return f"a value is {str(value)[:60]!r}"


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    keys = value.keys() if isinstance(value, dict) else range(len(value) if _is_list(value) else 0)
    for key in [*keys]:
        yield value, key
        yield from _places(value[key])


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def other_array(random: Random, array: np.ndarray) -> np.ndarray:
    """An array in place of another: other values, type, shape, or none at all."""
    plain = array.dtype != object and array.dtype.names is None and array.dtype.kind in "fiub"
    numbers = array.astype(np.float64) if plain else np.arange(6.0).reshape(2, 3)
    one = numbers.copy()
    if one.size:
        one.flat[random.randrange(one.size)] = random.choice(NUMBERS)
    cells = np.empty((2, 1), object)
    cells[:, 0] = [random.choice(EVIL), np.zeros(2)]
    made = (
        one, one, one, one, numbers[:0], numbers.T, numbers.ravel()[:1], numbers * -1, numbers + 1j,
        np.array(random.choice(EVIL) or "x"), cells, np.zeros((2, 2, 2)), np.zeros((1, 100_000)),
        np.array([(1, 2)], dtype=[("a", "f8"), ("b", "f8")]), numbers.astype("float32") * 1e6,
    )  # fmt: skip
    return random.choice(made)


def matlab(random: Random, path: Path) -> str:
    """One array of a MATLAB 5 file, however deep it lies."""
    from scipy.io import loadmat, savemat

    loaded = {k: v for k, v in loadmat(path).items() if not k.startswith("__")}
    places: list[tuple[Any, Any]] = []

    def walk(owner: Any, key: Any) -> None:
        places.append((owner, key))
        value = owner[key]
        if isinstance(value, np.ndarray) and (value.dtype == object or value.dtype.names):
            for index in np.ndindex(value.shape) if value.size < 100 else ():
                for field in value.dtype.names or (None,):
                    walk(value, index) if field is None else walk(value[index], field)

    for name in loaded:
        walk(loaded, name)
    owner, key = random.choice(places)
    old = owner[key]
    new = other_array(random, old if isinstance(old, np.ndarray) else np.zeros(1))
    if random.random() < 0.1:
        loaded = {"other": new}
    elif not isinstance(owner, np.ndarray) or owner.dtype == object:
        owner[key] = new
    savemat(path, loaded, do_compression=random.random() < 0.5)
    return f"{key} is {new.dtype} {new.shape}: {str(new.ravel()[:3])[:60]!r}"


def hdf5(random: Random, path: Path) -> str:
    """One data set or group of an HDF5 file: other values, a link, a bomb, or gone."""
    import h5py

    with h5py.File(path, "r+") as file:
        paths: list[str] = []
        file.visit(paths.append)
        if not paths:
            return "nothing in it"
        name = random.choice(paths)
        item = file[name]
        kinds = ("gone", "outside", "loop", "bomb", "group", "array", "array", "renamed")
        kind = random.choice(kinds)
        array = item[()] if isinstance(item, h5py.Dataset) else np.arange(6.0)
        if kind == "renamed":
            file.move(name, name + random.choice(("x", "-1", "\u4eba", "9" * 30)))
            return f"{name} renamed"
        attributes = dict(item.attrs)
        del file[name]
        if kind == "outside":
            file[name] = h5py.ExternalLink("/etc/passwd", "/")
        elif kind == "loop":
            file[name] = h5py.SoftLink(f"/{name}")
        elif kind == "bomb":
            made = file.create_dataset(
                name, (60_000, 60_000), "u2", chunks=True, compression="gzip"
            )
            made.attrs.update(attributes)
        elif kind == "group":
            file.create_group(f"{name}/deeper/deeper")
        elif kind == "array":
            _put(file, name, other_array(random, np.asarray(array)), attributes)
    return f"{name}: {kind}"


def _put(file: Any, name: str, array: np.ndarray, attributes: dict[str, Any]) -> None:
    if array.dtype.kind in "OU":
        file[name] = [str(value).replace("\0", "") for value in array.ravel()]
    else:
        file[name] = array
    file[name].attrs.update(attributes)


BY_ENDING: dict[str, Callable[[Random, Path], str]] = {
    ".csv": text, ".txt": text, ".json": as_json, ".mat": matlab, ".h5": hdf5,
}  # fmt: skip


def relabel(random: Random, path: Path) -> str:
    """Change a label in a file of labels; in words, what was done."""
    change = BY_ENDING[path.suffix]
    if change is matlab and b"HDF" in path.read_bytes()[:1024]:
        change = hdf5
    return f"{change.__name__}: {path.name!r}: {change(random, path)}"
