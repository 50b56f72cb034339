"""info/ of MARS: which names are a tracklet, and which tracklets are queries; read and written.

    train_name.txt         the images of bbox_train, a file name a line, sorted by folder and name
    tracks_train_info.mat  track_train_info (T, 4): first and last line of a tracklet, from 1; its
                           person; its camera
    query_IDX.mat          query_IDX (1, Q): rows of the test's tracklets, from 1

and test_name.txt and tracks_test_info.mat (track_test_info) alike. The .mat are MATLAB 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.datasets.base import Reject
from pipeline.datasets.layouts import matlab, names
from reid.project.errors import ReidError

FOLDER = "info"
QUERIES, QUERIES_VARIABLE = f"{FOLDER}/query_IDX.mat", "query_IDX"
MARK = b"\xef\xbb\xbf"  # some editors begin a text with it
ROWS = "whole numbers (T, 4): first line, last line, person, camera"


def list_of(part: str) -> str:
    """The file, below the data set's folder, that lists the names of `train` or `test`."""
    return f"{FOLDER}/{part}_name.txt"


def table_of(part: str) -> str:
    """The file that says which of these names are a tracklet."""
    return f"{FOLDER}/tracks_{part}_info.mat"


@dataclass(frozen=True)
class Part:
    """What info/ says of the images of one part."""

    name: str  # train or test
    lines: list[str]  # file names, unchecked
    tracks: np.ndarray  # (T, 4) int64 first and last line from 1, person, camera; unchecked


def load(home: Path, part: str) -> Part:
    """The names and tracklets of `train` or `test`. Raises `ReidError` where they have no form."""
    lines = _lines(home / list_of(part))
    path, name = home / table_of(part), f"track_{part}_info"
    tracks = _whole_numbers(path, name, ROWS)
    if tracks.ndim != 2 or tracks.shape[1] != 4:
        raise ReidError(f"{path}: `{name}` is {matlab.form(tracks)}; expected {ROWS}")
    if not len(tracks):
        raise ReidError(f"{path}: `{name}` has no tracklet")
    inside = tracks[(tracks[:, 0] >= 1) & (tracks[:, 1] <= len(lines))]
    spanned = int((inside[:, 1] - inside[:, 0] + 1).clip(0).sum())
    if spanned > 2 * len(lines):  # a few overlaps are rejects; these would be millions
        raise ReidError(f"{path}: `{name}` has {spanned:,} lines in its tracklets, of a list of "
                        f"{len(lines):,}; it is of another list, or damaged")  # fmt: skip
    return Part(part, lines, tracks)


def load_queries(home: Path, tracks: np.ndarray) -> tuple[list[int], list[Reject]]:
    """Rows of the test's `tracks` (T, 4), from 0, that are queries, and the entries that are not.

    Raises `ReidError` where none is left.
    """
    path = home / QUERIES
    rows = np.ravel(_whole_numbers(path, QUERIES_VARIABLE, "rows of the test's tracklets, from 1"))
    queries: dict[int, None] = {}
    rejects: list[Reject] = []
    for position, value in enumerate(rows.tolist(), 1):
        reason = ""
        if not 1 <= value <= len(tracks):
            reason = f"{value} is no tracklet; the test has 1 to {len(tracks):,}"
        elif value - 1 in queries:
            reason = f"names tracklet {value} a second time"
        elif tracks[value - 1, 2] <= 0:
            reason = f"tracklet {value} is of person {tracks[value - 1, 2]}, who cannot be searched"
        if reason:
            rejects.append(Reject(f"{QUERIES}#{position}", reason))
        else:
            queries[value - 1] = None
    if not queries:
        raise ReidError(f"{path}: names no tracklet of the test as a query")
    return list(queries), rejects


def _lines(path: Path) -> list[str]:
    """The lines of a list of names, blank ones among them kept: tracklets count them."""
    data = _bytes(path).removeprefix(MARK).replace(b"\r\n", b"\n").rstrip()
    if not data:
        raise ReidError(f"{path}: lists no names")
    return data.decode("utf-8", "surrogateescape").split("\n")


def _bytes(path: Path) -> bytes:
    hint = "; info/ comes with github.com/liangzheng06/MARS-evaluation"
    return names.read_labels(path, hint)


def _whole_numbers(path: Path, name: str, expected: str) -> np.ndarray:
    """An array variable as int64 of any shape. Raises `ReidError` where it is something else."""
    value = matlab.variable(path, _bytes(path), name, "MARS", "file of this name")
    array = matlab.numbers(path, name, value, expected)
    values = array.astype(np.float64)
    if not ((np.abs(values) < 2**31) & (values == np.rint(values))).all():  # nor NaN
        raise ReidError(f"{path}: `{name}` has numbers that are not whole, or beyond 32 bits; "
                        f"expected {expected}")  # fmt: skip
    return array.astype(np.int64)


def save(
    home: Path, lines: Mapping[str, Sequence[str]], tracks: Mapping[str, Sequence[Sequence[int]]],
    queries: list[int],
) -> None:  # fmt: skip
    """Write info/ of names and tracklets by part; equal values give equal bytes."""
    for part, texts in lines.items():
        names.write_file(home / list_of(part), "".join(f"{n}\r\n" for n in texts).encode())
        rows = np.array(tracks[part], np.int32).reshape(-1, 4)
        _save(home / table_of(part), f"track_{part}_info", rows)
    kind = np.uint16 if max(queries, default=0) < 2**16 else np.uint32
    _save(home / QUERIES, QUERIES_VARIABLE, np.array([queries], kind))


def _save(path: Path, name: str, values: np.ndarray) -> None:
    names.write_file(path, matlab.saved({name: values}, packed=True))
