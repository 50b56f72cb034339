"""How close stages come to their kernels alone: ingest, a network stage, and a rerun of nothing.

The function that a worker runs over a shard is timed as the engine runs it (reading, checking,
decoding ahead, computing, writing with fsync) against the kernel on what already lies in memory.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pipeline.bench import pictures, row, share, take_turns
from pipeline.core import engine, images, stage
from pipeline.core.journal import Journal
from pipeline.core.project import Project
from pipeline.core.shards import Shard
from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from pipeline.derive import joints
from pipeline.ingest import IngestWork, Params, plan

IMAGES = 2_048
NETWORK_IMAGES = 192
ROUNDS = 5


def rows_stages(folder: Path) -> list[dict[str, Any]]:
    """A small Market-1501 folder below `folder`, ingested; then a network over its first shard."""
    project = Project(folder)
    encoded = pictures(256)
    blank = images.decode(encoded[0])
    samples = (
        Sample(blank, 1 + i // 20, 1 + i % 6, "train", frame=i, encoded=encoded[i % len(encoded)])
        for i in range(IMAGES)
    )
    count = sum(1 for _ in market1501.write(project.raw("made"), samples))
    found = plan("made", Params(reader="market1501"), project)
    engine.run(found, project, executor="local")
    return [_ingest(found, project, encoded, count), _network(project), _nothing(folder)]


def _kept(work: Any, folder: Path) -> Callable[[Any], Any]:
    """A worker's step as the engine runs it, shard written and synced."""
    return engine.Keeping(work, Journal(folder).folder).start()


def _ingest(
    found: engine.Plan, project: Project, encoded: Sequence[bytes], count: int
) -> dict[str, Any]:
    assert isinstance(found.work, IngestWork)
    step, task = _kept(found.work, project.work / "bench"), found.tasks[0]
    chosen = [encoded[i % len(encoded)] for i in range(task.rows)]

    def decode() -> None:
        for data in chosen:
            images.decode(data)

    limit, ours = take_turns([decode, lambda: step(("ingest", task.payload))], ROUNDS)
    rate = task.rows / statistics.median(ours)
    name = f"ingest, images/s of one worker, {count:,} images (decoding alone)"
    return row(name, rate, rate / share(limit, ours), 0.9)


def _network(project: Project) -> dict[str, Any]:
    params = joints.Params(backend="ultralytics", weights="random", person_score=0)
    source = next((project.shards("made") / "rows").iterdir())
    table = Shard(source).table(["image_id", "image"], 0, NETWORK_IMAGES)
    part = project.root / "part.parquet"
    from pipeline.core.shards import with_sizes, write_shard

    write_shard(part, with_sizes(table), {})
    work = stage.MapWork("joints", params, "cpu", None, {})
    whole = _kept(work, project.work / "bench")
    step = joints.build(params, "cpu", None)
    batch = joints.batch_rows(params)
    ready = [step.prepare(table.slice(start, batch)) for start in range(0, NETWORK_IMAGES, batch)]  # type: ignore[union-attr]
    limit, ours = take_turns(
        [lambda: [step(r) for r in ready], lambda: whole(("network", {"rows": part}))], ROUNDS
    )
    rate = NETWORK_IMAGES / statistics.median(ours)
    name = "joints by a network, images/s (the network on decoded batches)"
    return row(name, rate, rate / share(limit, ours), 0.9)


def _nothing(folder: Path) -> dict[str, Any]:
    """A rerun of a built stage, as a command, against 3 seconds."""
    (folder / "params.yaml").write_text("ingest: {on: {made: {reader: market1501}}}\n")
    command = [sys.executable, "-m", "reid", "ingest", "made"]
    once = lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: E731
    [seconds] = take_turns([once], 3)
    return row("rerun of a built stage, s (3 s)", statistics.median(seconds), 3.0, 1.0, most=True)
