"""Speed against limits that are measured in the same run, taking turns: ratios, not clock times.

Each row is {name, value, limit, ratio, goal, holds}; `holds` compares the ratio with the goal.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from reid.arrays import images
from reid.project.layout import sha256_of
from reid.shards import folder as shards
from reid.shards import schema

ROUNDS = 7
SAMPLE = 200  # images decoded in one turn
SHARD_ROWS = 2_048
OPENING_SECONDS = 0.04  # for 100,000 rows


def row(
    name: str, value: float, limit: float, goal: float | None, *, most: bool = False
) -> dict[str, Any]:
    """One line of the report; the ratio must reach the goal, or stay below it where `most`."""
    ratio = value / limit
    reached = None if goal is None else bool(ratio <= goal if most else ratio >= goal)
    shown = "" if goal is None else f"{'<=' if most else '>='} {goal:g}"
    return {
        "name": name,
        "value": float(f"{value:.4g}"),
        "limit": float(f"{limit:.4g}"),
        "ratio": float(f"{ratio:.4g}"),
        "goal": shown,
        "holds": reached,
    }


def take_turns(
    actions: Sequence[Callable[[], object]],
    rounds: int = ROUNDS,
    before: Callable[[], object] = lambda: None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[list[float]]:
    """Seconds of each action, (actions, rounds), run A B, B A, A B ... after one warm-up each.

    `before` runs ahead of each round, outside the clock.
    """
    seconds: list[list[float]] = [[] for _ in actions]
    before()
    for action in actions:
        action()
    for turn in range(rounds):
        before()
        for i in range(len(actions))[:: 1 if turn % 2 == 0 else -1]:
            start = clock()
            actions[i]()
            seconds[i].append(clock() - start)
    return seconds


def share(limit: Sequence[float], ours: Sequence[float]) -> float:
    """Speed against the limit's: the median over rounds of limit seconds / our seconds."""
    return statistics.median(a / b for a, b in zip(limit, ours, strict=True))


def pictures(count: int, seed: int = 0) -> list[bytes]:
    """`count` textured 256x128 images as JPEG of about 10 KB."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        coarse = rng.integers(0, 256, (16, 8, 3), dtype=np.uint8)
        image = images.resize(coarse, 256, 128).astype(np.int16)
        image += rng.normal(0, 9, image.shape).astype(np.int16)
        made.append(images.encode_jpeg(image.clip(0, 255).astype(np.uint8)))
    return made


def rows_table(encoded: Sequence[bytes], first: int, count: int) -> pa.Table:
    """Rows `first` ... of a data set in the base schema, its images taken in turn."""
    data = [encoded[i % len(encoded)] for i in range(first, first + count)]
    numbers = np.arange(first, first + count)
    columns = {
        "image_id": [
            f"bounding_box_train/{i // 20:04d}_c{i % 6 + 1}s1_{i:06d}_00" for i in numbers
        ],
        "image": pa.array([{"bytes": d, "path": None} for d in data], schema.IMAGE),
        "image_size": [len(d) for d in data],
        "depth": pa.nulls(count, schema.IMAGE),
        "depth_size": pa.nulls(count, pa.int32()),
        "person": numbers // 20,
        "train": numbers % 2 == 0,
        "query": numbers % 10 == 1,
        "gallery": numbers % 2 == 1,
        "camera": numbers % 6 + 1,
        "tracklet": pa.nulls(count, pa.int32()),
        "frame": pa.nulls(count, pa.int32()),
        "viewpoint": pa.nulls(count, pa.int8()),
        "height": np.full(count, 256),
        "width": np.full(count, 128),
    }
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in schema.ROW}, schema.ROW)


def write_data_set(folder: Path, encoded: Sequence[bytes], count: int) -> shards.Shards:
    """A built folder of `count` rows in shards of `SHARD_ROWS`."""
    (folder / "rows").mkdir(parents=True)
    of = -(-count // SHARD_ROWS)
    for n in range(of):
        first = n * SHARD_ROWS
        table = rows_table(encoded, first, min(SHARD_ROWS, count - first))
        shards.write_shard(folder / "rows" / f"all-{n:05d}-of-{of:05d}.parquet", table, {})
    return shards.Shards(folder)


def rows_io(folder: Path, count: int = 20_000) -> list[dict[str, Any]]:
    """Reading and writing shards, in an empty `folder` with room for some 500 MB."""
    encoded = pictures(300)
    opened = write_data_set(folder / "data", encoded, count)
    return [
        *_reading(opened),
        _random_against_groups(opened),
        _writing(folder, rows_table(encoded, 0, SHARD_ROWS)),
        _storage(opened, encoded),
        _opening(folder / "tiny"),
    ]


def _reading(opened: shards.Shards) -> list[dict[str, Any]]:
    data = opened.read_many("image", range(len(opened)))  # the limit: its own memory, like the file
    rng = np.random.default_rng(1)
    picked: list[int] = []

    def from_memory() -> None:
        for index in picked:
            images.decode(data[index] or b"")

    def at_random() -> None:
        for index in picked:
            images.decode(opened.read("image", index) or b"")

    def in_order() -> None:
        for one in opened.in_order("image", picked[0], picked[-1] + 1):
            images.decode(one or b"")

    def pick_at_random() -> None:
        picked[:] = rng.integers(0, len(opened), SAMPLE).tolist()

    def pick_in_order() -> None:
        first = int(rng.integers(0, len(opened) - SAMPLE))
        picked[:] = range(first, first + SAMPLE)

    return [
        _decoding("random read + decode, images/s", 0.97, pick_at_random, from_memory, at_random),
        _decoding("sequential read + decode, images/s", 0.95, pick_in_order, from_memory, in_order),
    ]


def _decoding(
    name: str,
    goal: float,
    pick: Callable[[], object],
    limit: Callable[[], object],
    ours: Callable[[], object],
) -> dict[str, Any]:
    # Many short turns: what else the machine does then falls on both alike.
    limits, seconds = take_turns((limit, ours), 100, before=pick)
    rate = SAMPLE / statistics.median(limits)
    return row(name, rate * share(limits, seconds), rate, goal)


def _random_against_groups(opened: shards.Shards) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    many, few = rng.integers(0, len(opened), 4_000).tolist(), rng.integers(0, len(opened), 25)
    files = [pq.ParquetFile(s.path) for s in opened.shards]

    def by_offset() -> None:
        for index in many:
            opened.read("image", index)

    def by_group() -> None:
        for index in few:
            file = files[index // SHARD_ROWS]
            group, inside = divmod(int(index) % SHARD_ROWS, shards.ROW_GROUP_ROWS)
            file.read_row_group(group, columns=["image"]).column(0)[inside].as_py()

    groups, ours = take_turns((by_group, by_offset))
    rate = len(few) / statistics.median(groups)
    ratio = share(groups, ours) * len(many) / len(few)
    return row("random read against read_row_group, rows/s", rate * ratio, rate, 150)


def _writing(folder: Path, table: pa.Table) -> dict[str, Any]:
    path, raw = folder / "written.parquet", folder / "written.raw"
    shards.write_shard(path, table, {})
    data = path.read_bytes()

    def write_raw() -> None:
        with raw.open("wb") as file:
            file.write(data)
            os.fsync(file.fileno())
        sha256_of(raw)

    def write_ours() -> None:
        shards.write_shard(path, table, {})

    def remove() -> None:  # as in a build: each shard is a new file
        path.unlink(missing_ok=True)
        raw.unlink(missing_ok=True)

    limit, ours = take_turns((write_raw, write_ours), 3 * ROUNDS, before=remove)
    rate = len(data) / 1e6 / statistics.median(limit)
    name = "shard write, MB/s (raw write, sync, hash)"
    return row(name, rate * share(limit, ours), rate, 0.9)


def _storage(opened: shards.Shards, encoded: list[bytes]) -> dict[str, Any]:
    stored = sum(Path(str(s.path)).stat().st_size for s in opened.shards)
    held = sum(len(encoded[i % len(encoded)]) for i in range(len(opened)))
    return row("storage, bytes against encoded images", stored, held, 1.005, most=True)


def _opening(folder: Path, count: int = 100_000) -> dict[str, Any]:
    write_data_set(folder, [b"\xff\xd8\xff"], count)

    def open_all() -> None:
        for shard in shards.Shards(folder).shards:
            shard.read("image", 0)

    (seconds,) = take_turns((open_all,))
    return row(
        "opening 100,000 rows, s", statistics.median(seconds), OPENING_SECONDS, 1.0, most=True
    )
