"""How close stages come to their kernels alone: ingest, and a rerun of nothing.

The function that a worker runs over a shard is timed as the engine runs it (reading, checking,
decoding ahead, computing, writing with fsync) against the kernel on what already lies in memory.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.datasets import market1501
from pipeline.datasets.base import Sample
from pipeline.engine import run as engine
from pipeline.engine.journal import Journal
from pipeline.stages.ingest import IngestWork, Params, plan
from reid.arrays import images
from reid.project.layout import Project
from tests.benchmarks.turns import pictures, row, share, take_turns

IMAGES = 2_048
ROUNDS = 5


def rows_stages(folder: Path) -> list[dict[str, Any]]:
    """A Market-1501 folder below `folder`, ingested; then again, with nothing to do."""
    project = Project(folder)
    encoded = pictures(256)
    blank = images.decode(encoded[0])
    samples = (
        Sample(blank, 1 + i // 20, 1 + i % 6, "train", frame=i, encoded=encoded[i % len(encoded)])
        for i in range(IMAGES)
    )
    assert sum(1 for _ in market1501.write(project.raw("made"), samples)) == IMAGES
    planned = plan("made", Params(reader="market1501"), project)
    engine.run(planned, project, executor="local")
    return [*_ingest(planned, project), _nothing(folder)]


def _kept(work: Any, folder: Path) -> Callable[[Any], Any]:
    """A worker's step as the engine runs it, shard written and synced."""
    return engine.Keeping(work, Journal(folder).folder).start()


def _ingest(planned: engine.Plan, project: Project) -> list[dict[str, Any]]:
    """Against what any program must do with one core, and against decoding alone."""
    assert isinstance(planned.work, IngestWork)
    step, task = _kept(planned.work, project.work / "bench"), planned.tasks[0]
    root, raw = project.raw("made"), project.work / "written.raw"
    paths = [f"{root}/{path}" for path in task.payload()["path"].to_pylist()]
    resident = [Path(path).read_bytes() for path in paths]

    def decode() -> None:
        for data in resident:
            images.decode(data)

    def plainly() -> None:
        with raw.open("wb") as file:
            for path in paths:
                with open(path, "rb") as source:  # noqa: PTH123  (half of Path's)
                    data = source.read()
                images.decode(data)
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        with raw.open("rb") as file:
            hashlib.file_digest(file, "sha256")

    def remove() -> None:  # as in a build: each shard is a new file
        raw.unlink(missing_ok=True)
        Journal(project.work / "bench").drop("ingest")

    seconds = take_turns([plainly, decode, lambda: step(("ingest", task.payload))], ROUNDS, remove)
    *limits, ours = seconds
    rate = task.rows / statistics.median(ours)
    name = f"ingest, images/s of one worker, {IMAGES:,} images"
    limited = {"read, decode, write, sync, hash": 0.95, "decoding alone": None}
    return [
        row(f"{name} ({what})", rate, rate / share(limit, ours), goal)
        for (what, goal), limit in zip(limited.items(), limits, strict=True)
    ]


def _nothing(folder: Path) -> dict[str, Any]:
    """A rerun of a built stage, as a command, against 3 seconds."""
    (folder / "params.yaml").write_text("ingest: {on: {made: {reader: market1501}}}\n")
    command = [sys.executable, "-m", "reid", "ingest", "made"]
    once = lambda: subprocess.run(command, cwd=folder, check=True, capture_output=True)  # noqa: E731
    [seconds] = take_turns([once], 3)
    return row("rerun of a built stage, s (3 s)", statistics.median(seconds), 3.0, 1.0, most=True)
