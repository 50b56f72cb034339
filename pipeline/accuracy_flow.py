"""How near built flow comes to the true flow of a rendered world: end-point errors.

Reads   2-derived/flow/<build>, 0-raw/<world>.truth
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.core.errors import ReidError
from pipeline.core.flow import Flow, decode_known_flow
from pipeline.core.images import decode_mask
from pipeline.core.shards import Shards

FAR_PX = 3.0  # an error above it is a miss
BINS_PER_PX, LARGEST_PX = 64, 128  # of the histogram that medians come from
TRUTH = ["image_id", "flow", "flow_to", "mask"]


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


def flow(built: Path, truth: Path) -> dict[str, Any]:
    """Built flow against true flow, over the pixels whose true flow is known.

    frames      whose true flow leads to the row that follows theirs
    missing     of these, frames that have no built flow; they are left out of what follows
    epe         mean end-point error, pixels
    median      of the same, to 1/128 pixel
    far         share of pixels whose error is more than 3 pixels
    known       share of pixels that the built flow knows; the others count as motionless
    ..._person, ..._elsewhere   of the pixels of the person's mask, and of all others
    epe_still   what no motion at all would reach; likewise _person
    """
    ours, person, elsewhere, still, still_person = (Errors() for _ in range(5))
    frames = missing = known = pixels = 0
    for found, true, mask in _frames(Shards(built), truth):
        frames += 1
        if found is None:
            missing += 1
            continue
        error = np.hypot(*np.moveaxis(found.px - true.px, -1, 0))  # (H, W)
        motion = np.hypot(*np.moveaxis(true.px, -1, 0))
        known += int(np.count_nonzero(found.valid & true.valid))
        pixels += int(np.count_nonzero(true.valid))
        for errors, values, where in (
            (ours, error, true.valid), (person, error, true.valid & mask),
            (elsewhere, error, true.valid & ~mask), (still, motion, true.valid),
            (still_person, motion, true.valid & mask),
        ):  # fmt: skip
            errors.add(values[where])
    if not frames:
        raise ReidError(f"{truth}: has no flow from any frame of {built} to the one that follows")
    return {
        "frames": frames, "missing": missing, **ours.summary(),
        "known": round(known / pixels, 4) if pixels else None,
        **person.summary("_person"), **elsewhere.summary("_elsewhere"),
        "epe_still": still.summary()["epe"], "epe_still_person": still_person.summary()["epe"],
    }  # fmt: skip


def _frames(built: Shards, truth: Path) -> Iterator[tuple[Flow | None, Flow, np.ndarray]]:
    """Built flow, true flow and the person's mask of each frame that has both."""
    names = built.scalars(["image_id"])["image_id"].to_pylist()
    number = {name: index for index, name in enumerate(names)}
    for row in _rows(truth):
        index = number.get(row["image_id"])
        if index is None or row["flow"] is None or names[index + 1 : index + 2] != [row["flow_to"]]:
            continue
        true = decode_known_flow(row["flow"]["bytes"])
        data = built.read("flow", index)
        found = None if data is None else decode_known_flow(data)
        if found is not None and found.px.shape != true.px.shape:
            sizes = "flow of {1} x {0} pixels, the truth has {3} x {2}".format(
                *found.valid.shape, *true.valid.shape
            )
            raise ReidError(f"{built.folder}: {row['image_id']}: {sizes}")
        yield found, true, decode_mask(row["mask"]["bytes"])


def _rows(truth: Path) -> Iterator[Mapping[str, Any]]:
    """Rows of a world's truth, a file at a time."""
    paths = sorted((truth / "rows").glob("*.parquet"))
    if not paths:
        raise ReidError(f"{truth}: not the truth of a rendered world: no rows/*.parquet")
    for path in paths:
        try:
            yield from pq.read_table(path, columns=TRUTH).to_pylist()
        except (OSError, pa.ArrowException) as error:
            raise ReidError(f"{path}: not the truth of a rendered world: {error}") from None
