"""How close the stage `flow` comes to OpenCV's dense search, which is most of its work.

The stage runs over a shard of tracklets as the engine runs it, in one worker: reading, decoding
ahead, pairing, computing, writing with fsync. Frames are made: textures that move.
"""

from __future__ import annotations

import itertools
import statistics
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pyarrow as pa

from pipeline.backends.flow import BACKENDS
from pipeline.engine import plan as stage
from pipeline.engine import run as engine
from pipeline.engine.journal import Journal
from pipeline.stages.flow import STAGE, Pair, Params, batch_rows, in_threads
from reid.arrays import images
from reid.arrays.flow import encode_flow
from reid.shards.folder import with_sizes, write_shard
from reid.shards.schema import ROW
from tests.benchmarks.turns import row, share, take_turns

HEIGHT, WIDTH = 256, 128  # as MARS has it
LENGTH = 16  # frames of a tracklet
TRACKLETS, ROUNDS = 16, 5


def rows_flow(folder: Path) -> list[dict[str, Any]]:
    """The row, in an empty `folder`; seconds on two cores."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_by_search(folder, Params(backend="dis"))]


def _by_search(folder: Path, params: Params) -> dict[str, Any]:
    seconds = _timed(folder, params, TRACKLETS, ROUNDS)
    return _row("flow by DIS, pairs/s (DIS and its PNG on resident pairs)", TRACKLETS, seconds)


def _row(name: str, tracklets: int, seconds: list[list[float]]) -> dict[str, Any]:
    alone, ours = seconds
    rate = tracklets * (LENGTH - 1) / statistics.median(ours)
    return row(name, rate, rate / share(alone, ours), 0.9)


def _timed(folder: Path, params: Params, tracklets: int, rounds: int) -> list[list[float]]:
    """Seconds of the estimator alone, on pairs of whole calls, and of the stage, over rounds."""
    clips = [_frames(seed) for seed in range(tracklets)]
    part = folder / f"{params.backend}.parquet"
    write_shard(part, with_sizes(_table(clips)), {})
    estimator = BACKENDS[params.backend](params, "cpu")
    pairs: list[Pair] = [pair for clip in clips for pair in itertools.pairwise(clip)]
    kept = Journal(folder / "kept").folder
    whole = engine.Keeping(stage.MapWork(STAGE, params, "cpu", None, {}), kept).start()
    call = batch_rows(params)

    def alone() -> None:
        for first in range(0, len(pairs), call):
            fields = estimator(pairs[first : first + call])
            in_threads(lambda flow: encode_flow(*flow), fields)

    return take_turns([alone, lambda: whole((params.backend, {"rows": part}))], rounds)


def _frames(seed: int) -> list[np.ndarray]:
    """A tracklet's frames: a window that moves over a texture."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (HEIGHT // 8 + 8, WIDTH // 8 + 8, 3), dtype=np.uint8)
    field = cv2.resize(coarse, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC)
    return [field[n : n + HEIGHT, 2 * n : 2 * n + WIDTH].copy() for n in range(LENGTH)]


def _table(clips: list[list[np.ndarray]]) -> pa.Table:
    """Rows of tracklets in the base schema."""
    rows = [
        {
            "image_id": f"{person:04d}F{frame:03d}", "person": person, "camera": 1, "tracklet": 1,
            "image": {"bytes": images.encode_jpeg(image), "path": None}, "frame": frame,
            "train": True, "query": False, "gallery": False, "height": HEIGHT, "width": WIDTH,
        }
        for person, clip in enumerate(clips)
        for frame, image in enumerate(clip)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, ROW)
