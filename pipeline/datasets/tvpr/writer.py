"""Writes samples as extracted TVPR recordings; what is read back is said in `tvpr`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.datasets.base import Sample
from pipeline.datasets.layouts import names
from pipeline.datasets.layouts.rgbd import colour_of, depth_of
from pipeline.datasets.tvpr.tables import HEADER, IDS, Passage, cameras_of
from reid.arrays.images import encode_png
from reid.project.errors import ReidError

FRAMES_PER_SECOND = 30
DEPTH_LATER_US = 440  # the depth camera's clock
LIMITS = {"person": (1, 999_999), "camera": (1, 2), "tracklet": (1, 999), "frame": (0, 999_999_999)}


class Row(NamedTuple):
    """A frame's entry in the tables to come."""

    frame: int
    person: int
    camera: int
    top: tuple[int, int, int]  # height above the lowest reading (mm), x, y of the nearest point


def write(root: Path, samples: Iterable[Sample]) -> Iterator[str]:
    """Write samples as extracted frames with their tables; yields the image_id of each, in order.

    A sample's camera is 1 for its person's first passage and 2 for the second, its tracklet the
    recording, its frame that recording's. Raises `ReidError` where a label does not fit, where a
    frame is written twice, and where a second passage comes before the first.
    """
    names.new_folder(root)
    recordings: dict[int, list[Row]] = {}
    for sample in samples:
        names.check_labels(sample, "TVPR", LIMITS)
        folder = root / f"{sample.tracklet:03d}"
        if sample.tracklet not in recordings:
            recordings[sample.tracklet] = []
            for name in ("img", "depth"):
                names.new_folder(folder / name)
        depth, (ending, data) = depth_of(sample), colour_of(sample)
        if (folder / "depth" / f"{sample.frame}.png").exists():
            raise ReidError(f"{folder}: two frames {sample.frame}")
        names.write_file(folder / "img" / f"{sample.frame}.{ending}", data)
        names.write_file(folder / "depth" / f"{sample.frame}.png", encode_png(depth))
        row = Row(sample.frame, sample.person, sample.camera, _top(depth))
        recordings[sample.tracklet].append(row)
        yield f"{folder.name}/img/{sample.frame}"
    _write_tables(root, recordings)


def _top(depth_mm: np.ndarray) -> tuple[int, int, int]:
    seen = np.where(depth_mm > 0, depth_mm, 65_535)
    y, x = np.unravel_index(int(seen.argmin()), seen.shape)
    return max(int(depth_mm.max()) - int(seen.min()), 0), int(x), int(y)


def _write_tables(root: Path, recordings: dict[int, list[Row]]) -> None:
    """The two tables of each recording, and whose the passages are."""
    persons: dict[Passage, int] = {}
    cameras: dict[Passage, int] = {}
    for recording, rows in sorted(recordings.items()):
        numbers: dict[tuple[int, int], int] = {}  # passages in order of time, from 1
        colour, depth = [], []
        for row in sorted(rows):
            number = numbers.setdefault((row.person, row.camera), len(numbers) + 1)
            start = f"{recording:03d};{number:03d};{row.frame}"
            time = row.frame * 1_000_000 // FRAMES_PER_SECOND
            high, x, y = row.top
            colour.append(f"{start};{time}\n")
            depth.append(f"{start};{time + DEPTH_LATER_US};{high:.1f};{x};{y}\n")
            persons[Passage(recording, number)] = row.person
            cameras[Passage(recording, number)] = row.camera
        start = f"{root}/{recording:03d}/{recording:03d}"
        names.write_file(Path(f"{start}_color.csv"), "".join(colour).encode())
        names.write_file(Path(f"{start}_depth.csv"), "".join(depth).encode())
    for passage, camera in cameras_of(persons).items():
        if camera != cameras[passage]:
            raise ReidError(f"{root}: person {persons[passage]}: passage {camera} in the order of "
                            f"time has camera {cameras[passage]}")  # fmt: skip
    lines = [f"{p.recording:03d};{p.number:03d};{who:03d}" for p, who in sorted(persons.items())]
    names.write_file(root / IDS, "\n".join([HEADER, *lines, ""]).encode())
