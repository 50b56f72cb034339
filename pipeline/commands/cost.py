"""What a large build costs on paper: shards, bytes, hours, money by stage; and what breaks first.

Rates and sizes are measured ones, of one core and of the rendered worlds, and can be given anew for
one's own images and machines. Prices have no default. Limits are measured here at small scale, on
the file system of the given folder, and extrapolated in proportion.
"""

from __future__ import annotations

import hashlib
import math
import time
import tracemalloc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from reid.project.errors import ReidError

SHARD_ROWS, SHARD_BYTES = 2_048, 256e6  # a shard ends at the first of both
IMAGE_BYTES = 12_500  # of a 256x128 JPEG, as in the README's table of speed


@dataclass(frozen=True)
class Rate:
    """Images a second of one core, or of one GPU."""

    images: float
    unit: str = "core"


# ingest, joints, backgrounds: the README's table of speed; parts, jet, crops: a shard of the demo's
# world, without its writing, in seconds of CPU, in images of 128x64 (parts) and 240x180.
RATES: dict[str, Rate] = {
    "ingest": Rate(5273),
    "joints": Rate(164.3 / 2),  # YOLO's smallest, which ran on both cores
    "parts": Rate(3257),
    "backgrounds": Rate(16.1),  # without full bodies
    "crops": Rate(465),  # backend depth
    "jet": Rate(1805),
}
# Bytes a row, of the demo's shards; an ingested row's are beside its image's own.
ROW_BYTES = {
    "ingest": 40, "joints": 151, "parts": 52, "masks": 323, "backgrounds": 6_579,
    "crops": 3_451, "jet": 1_347,
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """The cost of one stage; money is None where no price was given."""

    stage: str
    shards: int
    gigabytes: float
    unit: str
    unit_hours: float  # of one core or one GPU
    hours: float  # with as many as there are
    money: float | None


def estimate(
    images: int,
    stages: Sequence[str],
    *,
    rates: Mapping[str, Rate] | None = None,
    row_bytes: Mapping[str, float] | None = None,
    image_bytes: float = IMAGE_BYTES,
    units: Mapping[str, int] | None = None,
    prices: Mapping[str, float] | None = None,
) -> list[Line]:
    """One line a stage.

    `rates` and `row_bytes` replace the measured ones of a stage, `units` says how many cores and
    GPUs there are, `prices` what an hour of one costs. `ReidError` for a stage without a rate.
    """
    if images < 1 or image_bytes <= 0:
        raise ReidError(f"cost: {images} images of {image_bytes:g} bytes; both must be above 0")
    speed, size = {**RATES, **(rates or {})}, {**ROW_BYTES, **(row_bytes or {})}
    shards = math.ceil(images / max(1, min(SHARD_ROWS, SHARD_BYTES // image_bytes)))
    lines = []
    for stage in stages:
        if stage not in speed:
            raise ReidError(
                f"cost: no measured rate of {stage} (there are {', '.join(RATES)}); time a shard "
                f"of your own and give --rate {stage}=IMAGES_A_SECOND"
            )
        rate = speed[stage]
        held = size.get(stage, 0.0) + (image_bytes if stage == "ingest" else 0)
        unit_hours = images / rate.images / 3600
        price = (prices or {}).get(rate.unit)
        lines.append(
            Line(
                stage, shards, images * held / 1e9, rate.unit, unit_hours,
                unit_hours / (units or {}).get(rate.unit, 1),
                None if price is None else unit_hours * price,
            )
        )  # fmt: skip
    return lines


def parse_rates(given: Sequence[str]) -> dict[str, Rate]:
    """`masks=12` images/s of a core, `joints=900:gpu` of a GPU."""
    found = {}
    for text in given:
        stage, _, value = text.partition("=")
        number, _, unit = value.partition(":")
        try:
            rate = Rate(float(number), unit or "core")
        except ValueError:
            rate = Rate(0)
        if not stage or not rate.images > 0 or rate.unit not in ("core", "gpu"):
            raise ReidError(f"cost: --rate {text}: must be STAGE=NUMBER or STAGE=NUMBER:gpu")
        found[stage] = rate
    return found


@dataclass(frozen=True)
class Limit:
    """What grows with a data set, measured at small scale and in proportion at full scale."""

    what: str
    measured: str
    amount: float
    unit: str


def limits(images: int, folder: Path, *, shards: int = 500, files: int = 8_000) -> list[Limit]:
    """What would break first at so many images, by trials in an empty `folder`."""
    count = math.ceil(images / SHARD_ROWS)
    manifest, seconds = _manifest_bytes(), _look_seconds(folder / "journal", shards)
    listing, listing_seconds = _listing(folder / "raw", files)
    hashing = _hash_rate()
    return [
        Limit("manifest.json", f"{manifest:.0f} bytes a shard", manifest * count / 1e6, "MB"),
        Limit("files in one folder of .work", "2 a shard, and 1 published", 2.0 * count, "files"),
        Limit("a rerun's look for finished shards", f"{1e3 * seconds:.2f} s for 1,000 shards",
              seconds * count, "s"),
        Limit("listing and sizes of raw files", f"{1e6 * listing_seconds:.1f} us an image",
              listing_seconds * images / 60, "minutes"),
        Limit("the driver's memory while it plans", f"{listing:.0f} bytes an image",
              listing * images / 1e9, "GB"),
        Limit("DVC's digest of the base shards", f"{hashing / 1e6:.0f} MB/s of one core",
              images * IMAGE_BYTES / hashing / 60, "minutes"),
    ]  # fmt: skip


def _manifest_bytes() -> float:
    """Bytes of a manifest for each shard more."""
    from reid.project.layout import as_json

    def size(count: int) -> int:
        digest = hashlib.sha256(b"").hexdigest()
        entries: list[dict[str, Any]] = [
            {"name": f"train-{i:05d}-of-{count:05d}.parquet", "rows": SHARD_ROWS,
             "bytes": 25_000_000, "sha256": digest}
            for i in range(count)
        ]  # fmt: skip
        return len(as_json({"shards": entries}))

    return (size(1_100) - size(100)) / 1_000


def _look_seconds(folder: Path, shards: int) -> float:
    """Seconds of `Journal.outcome` for one shard, as every run looks for what is finished."""
    from pipeline.engine.journal import Journal, Outcome
    from reid.project.layout import as_json

    folder.mkdir(parents=True)
    journal, keys = Journal(folder), [f"{i:032x}" for i in range(shards)]
    for key in keys:
        journal.shard(key).write_bytes(b"whole")
        noted = vars(Outcome(SHARD_ROWS, 5, "0" * 64, []))
        (folder / f"{key}.json").write_bytes(as_json(noted))
    begin = time.perf_counter()
    assert all(journal.outcome(key) is not None for key in keys)
    return (time.perf_counter() - begin) / shards


def _listing(root: Path, files: int) -> tuple[float, float]:
    """Bytes and seconds of planning an ingest in the driver, for each image more."""
    few = files // 4
    _planned(root / "first", few)  # what is imported on the way is no part of it
    small, large = _planned(root / "few", few), _planned(root / "all", files)
    held, seconds = ((b - a) / (files - few) for a, b in zip(small, large, strict=True))
    return max(held, 0.0), max(seconds, large[1] / files / 10)  # a busy machine may swap them


def _planned(root: Path, files: int) -> tuple[float, float]:
    """Most bytes held, and seconds, of planning an ingest of so many empty files."""
    import pyarrow as pa

    from pipeline.datasets.market1501 import FOLDERS
    from pipeline.stages import ingest
    from reid.project.layout import Project

    project = Project(root)
    for name in FOLDERS.values():
        (project.raw("made") / name).mkdir(parents=True)
    train = project.raw("made") / FOLDERS["train"]
    for i in range(files):
        (train / f"{1 + i // 20:04d}_c{1 + i % 6}s1_{i:06d}_00.jpg").touch()
    params = ingest.Params(reader="market1501")
    begin = time.perf_counter()
    plan = ingest.plan("made", params, project)
    seconds = time.perf_counter() - begin
    assert sum(task.rows for task in plan.tasks) == files
    del plan
    before = pa.total_allocated_bytes()
    tracemalloc.start()
    plan = ingest.plan("made", params, project)
    held = tracemalloc.get_traced_memory()[1] + pa.total_allocated_bytes() - before
    tracemalloc.stop()
    assert plan.tasks  # held until it was measured
    return float(held), seconds


def _hash_rate(blocks: int = 64) -> float:
    """Bytes a second of MD5, which DVC takes."""
    block, digest = bytes(1 << 20), hashlib.md5(usedforsecurity=False)
    begin = time.process_time()
    for _ in range(blocks):
        digest.update(block)
    return blocks * len(block) / (time.process_time() - begin)
