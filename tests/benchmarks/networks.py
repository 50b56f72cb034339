"""How close the stages that run a network come to the network alone.

A stage runs over a shard as the engine runs it, in one worker: reading, decoding ahead, the
network, encoding what it found, writing with fsync. The limit is its network, with the library's
own steps before and behind, on batches that lie decoded in memory. What goes in are rendered
people, so that networks find what they find in practice; as many as take it about a second.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import typer

from pipeline.backends.weights import NETWORKS, Choice, world_file
from pipeline.builds.batch_size import a_call
from pipeline.datasets.base import Sample
from pipeline.engine import plan as stage
from pipeline.engine import run as engine
from pipeline.engine.journal import Journal
from pipeline.engine.stage import Resources
from pipeline.fit import people
from pipeline.stages import stage as find_stage
from pipeline.world.scenes.scenes import SCENES
from reid.arrays import images
from reid.shards.folder import with_sizes, write_shard
from reid.shards.schema import ROW
from tests.benchmarks.turns import row, share, take_turns

SECONDS = 1.2  # of the network alone, in a round
MOST = 2_048  # images: a shard's
ROUNDS = 5
GOAL = 0.9
CUDA_BATCH = 64
SHEET = 1_000  # of the rendered people; no network was fitted to it
PASSES = 4  # of people, before they come again

Alone = Callable[[Any, Any], object]  # runs the network of a stage's step on what it prepared


@dataclass(frozen=True)
class Case:
    """One stage with its network."""

    stage: str
    backend: str
    view: str  # of the rendered people
    alone: Alone
    params: dict[str, Any] = field(default_factory=dict)
    untrained: dict[str, Any] = field(default_factory=dict)  # further ones with random weights

    @property
    def name(self) -> str:
        return f"{self.stage}_{self.backend}"


CASES = (
    Case(
        "masks", "torchvision", "mall", lambda step, ready: step.network(ready.images),
        {"shortest_side": 128, "longest_side": 512},
    ),
    Case(
        "joints", "mmpose", "street", lambda step, ready: step.network(ready.images),
        {"flip_test": False},
    ),
    Case(
        "crops", "ultralytics", "topview", lambda step, ready: step.find(ready.frames),
        {"longest_side": 256}, {"person_score": 0},
    ),
    Case("flow", "ptlflow", "hall", lambda step, ready: step.estimator(ready.pairs)),
)  # fmt: skip


def rows_networks(
    folder: Path, say: Callable[[str], object] = typer.echo, cases: Iterable[Case] = CASES
) -> list[dict[str, Any]]:
    """A row for each network and device, in an empty `folder`; a minute and a half on two cores.

    A network whose library is not installed is left out, and said to be.
    """
    rows = []
    folder.mkdir(parents=True, exist_ok=True)
    for case in cases:
        missing = [n for n in ("torch", NETWORKS[case.name].library) if find_spec(n) is None]
        if missing:
            say(f"{case.stage} by a network: left out, {missing[0]} is not installed")
            continue
        passes = _passes(case.view)
        rows += [_row(case, device, passes, folder) for device in _devices()]
    return rows


def _devices() -> list[str]:
    import torch

    return ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]


def params_of(case: Case, device: str) -> Any:
    """The world's weights where this package has them, untrained ones elsewhere."""
    model = NETWORKS[case.name].world
    world = world_file(Choice(case.stage, case.backend, model, "world")).is_file()
    values = {"backend": case.backend, "model": model, **case.params}
    values |= {"weights": "world"} if world else {"weights": "random", **case.untrained}
    values |= {"batch": CUDA_BATCH} if device == "cuda" else {}
    return find_stage(case.stage).params(**values)


def _row(case: Case, device: str, passes: list[list[Sample]], folder: Path) -> dict[str, Any]:
    params = params_of(case, device)
    alone, whole, count = _prepared(case, params, device, passes, folder)
    limit, ours = take_turns([alone, whole], ROUNDS)
    rate = count / statistics.median(ours)
    where = {"cpu": "", "cuda": " on CUDA"}[device]
    name = f"{case.stage} by {params.model}{where}, images/s (the network on resident batches)"
    return row(name, rate, rate / share(limit, ours), GOAL)


def _prepared(
    case: Case, params: Any, device: str, passes: list[list[Sample]], folder: Path
) -> tuple[Callable[[], object], Callable[[], object], int]:
    """The network alone, the stage, and how many images both take."""
    of = find_stage(case.stage)
    step = of.build(params, Resources(device))
    part = folder / f"{case.name}-{device}.parquet"

    rows, around = of.batch_rows(params), of.rows_around

    def resident(count: int) -> list[Any]:
        table = with_sizes(_table(passes, count))
        write_shard(part, table, {})
        return [step.prepare(a_call(table, n, n + rows, around)) for n in range(0, count, rows)]

    first = resident(params.batch)[0]
    count = _enough(lambda ready: case.alone(step, ready), first, params.batch)
    ready = resident(count)
    work = stage.MapWork(of, params, device, None, {})
    keep = engine.Keeping(work, Journal(folder / "kept").folder).start()
    return (
        lambda: [case.alone(step, one) for one in ready],
        lambda: keep((f"{case.name}-{device}", {"rows": part})),
        count,
    )


def _enough(network: Callable[[Any], object], ready: Any, batch: int) -> int:
    """How many images, in whole batches, keep a network busy for `SECONDS`."""
    network(ready)
    begin = time.perf_counter()
    network(ready)
    batches = round(SECONDS / (time.perf_counter() - begin))
    return batch * max(1, min(batches, MOST // batch))


# --- the images ----------------------------------------------------------------------------------


def _passes(view: str) -> list[list[Sample]]:
    """Rendered people, each before one camera."""
    of = SCENES[view]()
    scene = people.draw_scene(view, SHEET)
    return [
        [sample for sample, _ in of.render_pass(scene, one)]
        for one in islice(of.plan(scene), PASSES)
    ]


def _table(passes: list[list[Sample]], count: int) -> pa.Table:
    """So many rows of the base schema; each pass is a tracklet, and comes again as another's."""
    rows: list[dict[str, Any]] = []
    person = 0
    while len(rows) < count:
        shots = passes[person % len(passes)]
        person += 1
        rows += [_cells(sample, person, frame) for frame, sample in enumerate(shots)]
    return pa.Table.from_pylist(rows[:count], ROW)


def _cells(sample: Sample, person: int, frame: int) -> dict[str, Any]:
    depth = sample.depth_mm
    encoded = sample.encoded or images.encode_png(sample.image)
    return {
        "image_id": f"{person:06d}F{frame:03d}", "person": person, "camera": 1, "tracklet": 1,
        "frame": frame, "train": True, "query": False, "gallery": False,
        "image": {"bytes": encoded, "path": None},
        "depth": None if depth is None else {"bytes": images.encode_png(depth), "path": None},
        "height": sample.image.shape[0], "width": sample.image.shape[1],
    }  # fmt: skip
