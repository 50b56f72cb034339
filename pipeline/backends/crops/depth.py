"""People below a camera by depth alone: what stands high over the floor. Needs no weights.

The floor, with all that always stands there, is learnt: each pixel's median reading over frames of
one camera that does not move, in less than half of which somebody is at that pixel. A person is a
blob of pixels at least `top_mm` above it, a head and shoulders, with all pixels at least `body_mm`
above it that hang together with the blob and lie nearer to it than to another one's. Small gaps
between readings are closed. The score is the share of these pixels that have a reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

import cv2
import numpy as np
import pyarrow as pa

from pipeline.backends.crops.person_box import Detected, Frame, PersonBox
from pipeline.engine.run import generator
from reid.arrays.depth import nearest_of
from reid.arrays.images import BadImage, decode_depth

LEAST_TOP = 0.001  # of the frame's pixels: what is smaller is no head and shoulders
GAP = 1 / 120  # of the frame's height: as far as gaps are closed
STRIP_ROWS = 16  # of a floor are computed at a time


class Settings(Protocol):
    """What this backend takes from the stage's parameters."""

    @property
    def top_mm(self) -> int: ...
    @property
    def body_mm(self) -> int: ...


def draw_frames(tables: Iterable[pa.Table], limit: int, seed: int) -> Iterator[np.ndarray]:
    """Depth maps of `limit` rows at most, which the seed and their image_ids alone choose.

    Rows without depth, or with one that cannot be decoded, are left out.
    """
    drawn: list[tuple[float, bytes]] = []
    for table in tables:
        there = table.filter(table["depth"].is_valid())
        number = np.array([generator(seed, i).random() for i in there["image_id"].to_pylist()])
        first = np.argsort(number)[:limit]
        cells = there["depth"].take(pa.array(first)).to_pylist()
        drawn += zip(number[first].tolist(), [cell["bytes"] for cell in cells], strict=True)
        drawn = sorted(drawn)[:limit]
    for _, data in drawn:
        try:
            yield decode_depth(data)
        except BadImage:
            continue  # the stage's step says why


def learn_floors(frames: Iterable[np.ndarray]) -> list[tuple[np.ndarray, int]]:
    """The floor of each size of frame, and of how many frames it comes."""
    by_size: dict[tuple[int, ...], list[np.ndarray]] = {}
    for depth_mm in frames:
        by_size.setdefault(depth_mm.shape, []).append(depth_mm)
    return [(learn_floor(alike), len(alike)) for _, alike in sorted(by_size.items())]


def learn_floor(frames: list[np.ndarray]) -> np.ndarray:
    """(H, W) uint16 depths of one size to the floor's, 0 where no frame has a reading."""
    floor = np.zeros(frames[0].shape, np.uint16)
    for top in range(0, len(floor), STRIP_ROWS):
        strip = np.stack([depth_mm[top : top + STRIP_ROWS] for depth_mm in frames])
        strip.sort(0)  # missing readings first
        missing = (strip == 0).sum(0)
        middle = np.minimum((missing + len(frames)) // 2, len(frames) - 1)
        floor[top : top + STRIP_ROWS] = np.take_along_axis(strip, middle[None], 0)[0]
    return floor


def build(
    settings: Settings, floors: Iterable[np.ndarray]
) -> Callable[[list[Frame]], list[Detected]]:
    """What finds people above floors of one size each: boxes, or why a frame cannot have any."""
    known = {floor.shape: floor for floor in floors}

    def find(frame: Frame) -> Detected:
        if frame.depth_mm is None:
            return "no depth"
        floor = known.get(frame.depth_mm.shape)
        if floor is None:
            height, width = frame.depth_mm.shape
            return f"no floor of {width} x {height} pixels was learnt"
        return people_above(frame.depth_mm, floor, settings.top_mm, settings.body_mm)

    return lambda frames: [find(frame) for frame in frames]


def people_above(
    depth_mm: np.ndarray, floor_mm: np.ndarray, top_mm: int, body_mm: int
) -> list[PersonBox]:
    """The people in an (H, W) depth map above its floor, the one with the most pixels first."""
    read = (depth_mm > 0) & (floor_mm > 0)
    above = np.where(read, floor_mm.astype(np.int32) - depth_mm, 0)  # (H, W) mm
    tops, bodies = _closed(above >= top_mm), _closed(above >= body_mm)
    blob = np.asarray(cv2.connectedComponents(tops.astype(np.uint8))[1], np.int32)  # (H, W)
    large = np.bincount(blob.ravel()) >= LEAST_TOP * depth_mm.size
    large[0] = False  # what is no top
    is_top = large[blob]
    if not is_top.any():
        return []
    owner = blob[is_top][nearest_of(is_top)]  # (H, W): each pixel's nearest blob
    boxes = [_box(owner == one, is_top, bodies, above >= body_mm) for one in np.flatnonzero(large)]
    return [box for _, box in sorted(boxes, key=lambda b: (-b[0], b[1].box))]


def _box(
    own: np.ndarray, is_top: np.ndarray, bodies: np.ndarray, seen: np.ndarray
) -> tuple[int, PersonBox]:
    """The pixels of one person, and the box around them; `own` are nearest to its top."""
    _, part = cv2.connectedComponents((own & (bodies | is_top)).astype(np.uint8))
    joined = np.isin(part, np.unique(part[own & is_top]))
    rows, columns = np.flatnonzero(joined.any(1)), np.flatnonzero(joined.any(0))
    x1, y1, x2, y2 = (int(v) for v in (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    pixels = int(joined.sum())
    return pixels, PersonBox((x1, y1, x2, y2), np.count_nonzero(joined & seen) / pixels)


def _closed(mask: np.ndarray) -> np.ndarray:
    """A mask whose small gaps are filled."""
    size = 2 * max(1, round(GAP * len(mask))) + 1
    kernel = np.ones((size, size), np.uint8)
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_CLOSE, kernel).astype(bool)
