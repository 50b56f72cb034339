"""The tables of extracted TVPR recordings; what they hold is said in `tvpr`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from pipeline.datasets.base import Reject
from pipeline.datasets.layouts import names
from reid.project.errors import ReidError

IDS, HEADER = "id.csv", "recording;passage;person"
ID = re.compile(r"([0-9]{1,4});([0-9]{1,4});([0-9]{1,6})")
ROW = re.compile(r"([0-9]{1,4});(NULL|[0-9]{1,4});([0-9]{1,9});([0-9]{1,18})(?:;.*)?")
APART_US = 100_000  # colour and depth of one frame are never this far apart: 3 frames

Seen = tuple[int | None, int]  # passage, None where nobody passes; microseconds


class Passage(NamedTuple):
    """Somebody's walk through one recording."""

    recording: int
    number: int


def read_ids(path: Path) -> dict[Passage, int]:
    """The person of each passage. One broken line could swap first and second: `ReidError`."""
    example = f"write a line such as 009;001;41 ({HEADER}) for each passage"
    persons: dict[Passage, int] = {}
    for number, line in _lines(path, example):
        match = ID.fullmatch(line)
        if number == 1 and line.lower() == HEADER:
            continue
        if match is None or int(match[3]) < 1:
            shown = names.printable(line[:40])
            raise ReidError(f"{path}: line {number} is `{shown}`; {example}, persons from 1")
        passage = Passage(int(match[1]), int(match[2]))
        if passage in persons:
            raise ReidError(f"{path}: line {number} names passage {match[1]};{match[2]} again")
        persons[passage] = int(match[3])
    if not persons:
        raise ReidError(f"{path}: no line; {example}")
    return persons


def _lines(path: Path, hint: str) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not empty. Raises `ReidError` where the file cannot be read."""
    text = names.read_labels(path, f"; {hint}").decode("utf-8", "backslashreplace")
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        if line.strip():
            yield number, line.strip()


def cameras_of(persons: dict[Passage, int]) -> dict[Passage, int]:
    """The number of each passage among those of its person, from 1, in the order of time."""
    seen: dict[int, int] = {}
    cameras = {}
    for passage, person in sorted(persons.items()):
        cameras[passage] = seen[person] = seen.get(person, 0) + 1
    return cameras


def read_table(path: Path, recording: int, rejects: list[Reject]) -> dict[int, Seen]:
    """Passage and microseconds of each frame; rows that do not fit are rejects."""
    frames: dict[int, Seen] = {}
    below = f"{path.parent.name}/{path.name}"
    for number, line in _lines(path, "each recording has its two tables"):
        match, reason = ROW.fullmatch(line), ""
        if match is None:
            reason = "not a row such as 009;001;84;2915892"
        elif int(match[1]) != recording:
            reason = f"of recording {match[1]}, in the folder of {recording}"
        elif int(match[3]) in frames:
            reason = f"frame {match[3]} a second time"
        if match is None or reason:
            rejects.append(Reject(f"{below}#{number}", reason))
        else:
            passage = None if match[2] == "NULL" else int(match[2])
            frames[int(match[3])] = passage, int(match[4])
    return frames


def joined(
    folder: str, colour: dict[int, Seen], depth: dict[int, Seen]
) -> tuple[dict[int, int], list[Reject]]:
    """The passage of each frame on which both tables agree, and the other frames of somebody."""
    passages: dict[int, int] = {}
    rejects = []
    for frame in sorted(colour.keys() | depth.keys()):
        one, other = colour.get(frame), depth.get(frame)
        reason = _why_not_joined(one, other)
        if reason:
            rejects.append(Reject(f"{folder}/img/{frame}", reason))
        elif one is not None and one[0] is not None:
            passages[frame] = one[0]
    return passages, rejects


def _why_not_joined(colour: Seen | None, depth: Seen | None) -> str:
    if colour is None or depth is None:
        known, missing = (depth, "_color.csv") if colour is None else (colour, "_depth.csv")
        return "" if known is None or known[0] is None else f"no row in {missing}"
    if colour[0] != depth[0]:
        one, other = (seen[0] or "NULL" for seen in (colour, depth))
        return f"passage {one} in _color.csv, {other} in _depth.csv"
    apart = abs(colour[1] - depth[1])
    if colour[0] is not None and apart > APART_US:
        return f"colour and depth are {apart:,} microseconds apart"
    return ""
