"""How near built flow comes to the true flow of a rendered world: end-point errors.

Reads   2-derived/flow/<build>, 0-raw/<world>.truth; 1-shards/<world>, to compare with DIS
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.accuracy.truth import Measured, decoded, rows
from pipeline.backends.flow.dis import PRESETS, Searcher
from reid.arrays.flow import Flow, decode_known_flow
from reid.arrays.images import decode, decode_mask
from reid.project.errors import ReidError
from reid.shards.folder import Shards

FAR_PX = 3.0  # an error above it is a miss
BINS_PER_PX, LARGEST_PX = 64, 128  # of the histogram that medians come from
TRUTH = ["image_id", "flow", "flow_to", "mask"]
DIS_PRESET = "medium"  # of what built flow is compared with


class Errors:
    """End-point errors of any number of pixels."""

    def __init__(self) -> None:
        self.counts = np.zeros(BINS_PER_PX * LARGEST_PX + 1, np.int64)
        self.sum, self.far = 0.0, 0

    def add(self, errors_px: np.ndarray) -> None:
        bins = (errors_px * BINS_PER_PX).astype(np.int64).clip(max=len(self.counts) - 1)
        self.counts += np.bincount(bins, minlength=len(self.counts))
        self.sum += float(errors_px.sum(dtype=np.float64))
        self.far += int(np.count_nonzero(errors_px > FAR_PX))

    def summary(self, name: str = "") -> dict[str, Any]:
        pixels = int(self.counts.sum())
        if not pixels:
            return dict.fromkeys((f"epe{name}", f"median{name}", f"far{name}"))
        middle = int(np.searchsorted(np.cumsum(self.counts), pixels / 2))
        return {
            f"epe{name}": round(self.sum / pixels, 4),
            f"median{name}": round((middle + 0.5) / BINS_PER_PX, 4),
            f"far{name}": round(self.far / pixels, 4),
        }


class Pair(NamedTuple):
    """A frame whose true flow leads to the row that follows its own."""

    image_id: str
    index: int  # of its row
    estimated: Flow | None
    true: Flow
    mask: np.ndarray  # (H, W) bool: the person


def measured(built: Path, truth: Path, frames: Path | None = None) -> Measured:
    """Built flow against true flow, over the pixels whose true flow is known, and each frame's epe.

    frames      whose true flow leads to the row that follows theirs
    missing     of these, frames that have no built flow; they are left out of what follows
    epe         mean end-point error, pixels
    median      of the same, to 1/128 pixel
    far         share of pixels whose error is more than 3 pixels
    known       share of pixels that the built flow knows; the others count as motionless
    ..._person, ..._elsewhere   of the pixels of the person's mask, and of all others
    epe_still   what no motion at all would reach; likewise _person
    dis_epe     what OpenCV's DIS reaches on the same pixels; only with `frames`, the folder of the
                shards that the flow is of
    """
    sums = Sums()
    each: dict[str, float] = {}
    search = None if frames is None else Dis(frames)
    for pair in _pairs(Shards(built), truth):
        sums.frames += 1
        if pair.estimated is None:
            sums.missing += 1
            continue
        error = _lengths(pair.estimated.px - pair.true.px)
        sums.add(pair, error)
        if search is not None:
            sums.dis.add(_lengths(search(pair) - pair.true.px)[pair.true.valid])
        if pair.true.valid.any():
            each[pair.image_id] = float(error[pair.true.valid].mean())
    if not sums.frames:
        raise ReidError(f"{truth}: has no flow from any frame of {built} to the one that follows")
    compared = {} if search is None else {"dis_epe": sums.dis.summary()["epe"]}
    return Measured({**sums.numbers(), **compared}, each)


class Sums:
    """Errors over all frames."""

    def __init__(self) -> None:
        self.frames = self.missing = self.known = self.pixels = 0
        self.ours, self.person, self.elsewhere, self.still, self.still_person, self.dis = (
            Errors() for _ in range(6)
        )

    def add(self, pair: Pair, error: np.ndarray) -> None:
        """A frame with its (H, W) end-point errors."""
        assert pair.estimated is not None
        valid, person = pair.true.valid, pair.true.valid & pair.mask
        motion = _lengths(pair.true.px)
        self.known += int(np.count_nonzero(pair.estimated.valid & valid))
        self.pixels += int(np.count_nonzero(valid))
        self.ours.add(error[valid])
        self.person.add(error[person])
        self.elsewhere.add(error[valid & ~pair.mask])
        self.still.add(motion[valid])
        self.still_person.add(motion[person])

    def numbers(self) -> dict[str, Any]:
        return {
            "frames": self.frames, "missing": self.missing, **self.ours.summary(),
            "known": round(self.known / self.pixels, 4) if self.pixels else None,
            **self.person.summary("_person"), **self.elsewhere.summary("_elsewhere"),
            "epe_still": self.still.summary()["epe"],
            "epe_still_person": self.still_person.summary()["epe"],
        }  # fmt: skip


def _lengths(px: np.ndarray) -> np.ndarray:
    """(H, W) of (H, W, 2)."""
    return np.hypot(px[..., 0], px[..., 1])


class Dis:
    """DIS on the frames of shards; two of them are in memory, and OpenCV's threads search one."""

    def __init__(self, folder: Path):
        self.folder, self.frames = folder, Shards(folder)
        self.search = Searcher(PRESETS[DIS_PRESET])
        self.last: tuple[int, np.ndarray] | None = None  # the frame that the last pair ended with

    def __call__(self, pair: Pair) -> np.ndarray:
        """(H, W, 2) flow from the pair's frame to the row that follows."""
        if self.last is not None and self.last[0] == pair.index:
            first = self.last[1]
        else:
            first = self._frame(pair.index, pair.image_id)
        following = self._frame(pair.index + 1, f"the frame after {pair.image_id}")
        self.last = pair.index + 1, following
        return self.search([(first, following)])[0].px

    def _frame(self, index: int, name: str) -> np.ndarray:
        data = self.frames.read("image", index)
        return decoded(decode, data or b"", self.folder, name)


def _pairs(built: Shards, truth: Path) -> Iterator[Pair]:
    names = built.scalars(["image_id"])["image_id"].to_pylist()
    number = {name: index for index, name in enumerate(names)}
    for row in rows(truth, TRUTH):
        name = row["image_id"]
        index = number.get(name)
        if index is None or row["flow"] is None or names[index + 1 : index + 2] != [row["flow_to"]]:
            continue
        true = decode_known_flow(row["flow"]["bytes"])
        data = built.read("flow", index)
        estimated = None if data is None else decode_known_flow(data)
        if estimated is not None and estimated.px.shape != true.px.shape:
            (height, width), (h, w) = estimated.valid.shape, true.valid.shape
            raise ReidError(
                f"{built.folder}: {name}: flow of {width} x {height} pixels, the ground truth has "
                f"{w} x {h}"
            )
        yield Pair(name, index, estimated, true, decode_mask(row["mask"]["bytes"]))
