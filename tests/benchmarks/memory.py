"""`python -m tests.benchmarks.memory`: the most memory of each command, by number of images.

Rendered images are written again and again, as other persons, in official layouts. Ingest, training
and evaluation get all of them; derived stages a fortieth, in shards of a fortieth of the rows; on
the street, where networks begin, a quarter of that: what they hold is a batch and a shard. A
command runs in one process, executor `local`; a pool has as many of them as there are workers.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
import torchvision
import typer

from pipeline import datasets
from pipeline.commands.console import table
from pipeline.commands.main import app
from pipeline.datasets.base import Sample
from reid.arrays.images import decode, decode_depth
from reid.project.layout import Project

PARAMS = """\
run: {executor: local}
world:
  with: {train_identities: 20, images_min: 3, images_max: 3}
  on:
    street: {scene: street, layout: market1501, cameras: 2, test_identities: 20}
    topview: {scene: topview, layout: opr}
    hall: {scene: hall, layout: ilids_vid, images_min: 5, images_max: 6}
ingest:
  with: {}
  on:
    all: {reader: market1501}
    street-part: {reader: market1501, shard_rows: 13}
    topview-part: {reader: opr, shard_rows: 51}
    hall-part: {reader: ilids_vid, shard_rows: 51}
joints:
  with: {max_reject_rate: 1}
  on: {street-part: {dataset: street-part, backend: mmpose, weights: world, flip_test: false}}
parts: {with: {}, on: {street-part: {dataset: street-part, beta: 0.1}}}
masks:
  with: {max_reject_rate: 1}
  on:
    street-part: {dataset: street-part, shortest_side: 64, longest_side: 128,
      backend: torchvision, weights: world}
backgrounds:
  with: {max_reject_rate: 1, side: 64, same_viewpoint: false, area_ratio: 0, iou: 0}
  on: {street-part: {dataset: street-part}}
swaps: {with: {max_reject_rate: 1}, on: {street-part: {dataset: street-part}}}
crops: {with: {max_reject_rate: 1}, on: {topview-part: {dataset: topview-part, backend: depth}}}
jet: {with: {}, on: {topview-part: {dataset: topview-part}}}
flow: {with: {}, on: {hall-part: {dataset: hall-part, backend: dis}}}
strong_baseline:
  with: {}
  scale: {}
  on:
    all: {dataset: all, resident: 'off', backbone: resnet18, channels: [8, 8, 16, 16], weights: '',
      height: 64, width: 32, epochs: 1, batch: 64}
"""
COMMANDS = (
    "ingest all", "train all", "evaluate all",
    "ingest street-part", "joints street-part", "parts street-part", "masks street-part",
    "backgrounds street-part", "swaps street-part",
    "ingest topview-part", "crops topview-part", "jet topview-part",
    "ingest hall-part", "flow hall-part",
)  # fmt: skip
LAYOUTS = {"street": "market1501", "topview": "opr", "hall": "ilids_vid"}
LOADED = (torch, torchvision)  # before the first fork


def bench(
    images: Annotated[int, typer.Option(help="The smallest number; then twice and four times.")]
    = 10_000,
) -> None:  # fmt: skip
    """Render, run each command on so many images, twice and four times as many, print a table."""
    counts = [images, 2 * images, 4 * images]
    with tempfile.TemporaryDirectory(prefix="reid-memory-") as folder:
        worlds = Project(Path(folder) / "worlds")
        _begin(worlds)
        for world in LAYOUTS:
            peak_mb(["world", world], worlds.root)
        projects = [_grown(Path(folder) / str(count), worlds, count) for count in counts]
        rows = [_measured(command, projects) for command in COMMANDS]
    columns = ["command", *(f"MB of {count:,}" for count in counts), "last / first"]
    table("peak memory of a command", columns, rows)


def _begin(project: Project) -> None:
    project.root.mkdir()
    (project.root / "params.yaml").write_text(PARAMS)


def _grown(root: Path, worlds: Project, count: int) -> Project:
    """A project with data sets of `count` images, of a fortieth, and of a quarter of that."""
    project = Project(root)
    _begin(project)
    grow(worlds, "street", project.raw("all"), count)
    for world in LAYOUTS:
        share = 160 if world == "street" else 40
        grow(worlds, world, project.raw(f"{world}-part"), count // share)
    return project


def _measured(command: str, projects: Sequence[Project]) -> list[str]:
    """A row: the command's peak in each project."""
    peaks = [peak_mb(command.split(), project.root) for project in projects]
    shown = [command, *(f"{peak:.0f}" for peak in peaks), f"{peaks[-1] / peaks[0]:.2f}"]
    typer.echo(" | ".join(shown), err=True)  # some take minutes
    return shown


def grow(worlds: Project, world: str, root: Path, count: int) -> None:
    """Write `count` images of a rendered world into `root`, each round as other persons."""
    reader = datasets.reader(LAYOUTS[world])
    source = reader.open_source(worlds.raw(world))
    rows = [row for row in reader.read(worlds.raw(world)).files.to_pylist() if row["person"] > 0]
    persons = max(row["person"] for row in rows)
    made = [_sample(row, source) for row in rows]

    def samples() -> Iterator[Sample]:
        for number in range(count):
            lap, sample = number // len(made), made[number % len(made)]
            yield Sample(**{**vars(sample), "person": sample.person + lap * persons})

    for _ in reader.write(root, samples()):
        pass


def _sample(row: dict[str, Any], source: Any) -> Sample:
    data, depth = source(row["path"]), row["depth_path"]
    role = next((role for role in ("train", "query", "gallery") if row[role]), "train")
    return Sample(
        decode(data), row["person"], row["camera"], role, frame=row["frame"] or 0, encoded=data,
        depth_mm=decode_depth(source(depth)) if depth else None,
    )  # fmt: skip


def peak_mb(arguments: Sequence[str], folder: Path) -> float:
    """The most memory that a command held in a fork of this process, 1e6 bytes resident.

    What it loads is loaded here already, so that starts take no time and count everywhere alike.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.chdir(folder)
            code = app([*arguments], standalone_mode=False) or 0
        except BaseException as error:
            typer.echo(f"reid {' '.join(arguments)}: {error!r}", err=True)
        finally:
            os._exit(code)
    _, status, used = os.wait4(child, 0)
    if status:
        raise SystemExit(
            f"reid {' '.join(arguments)}: ended with {os.waitstatus_to_exitcode(status)}"
        )
    return used.ru_maxrss * (1 if sys.platform == "darwin" else 1_024) / 1e6


if __name__ == "__main__":
    typer.run(bench)
