"""The commands that build data: worlds, `reid add`, ingest, and one per derived stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.console import (
    Address,
    Batch,
    Dataset,
    Device,
    Executor,
    Repair,
    Workers,
    console,
    project,
    table,
)
from pipeline.stages import NETWORKS, STAGES
from reid.project.errors import ReidError

if TYPE_CHECKING:
    from pipeline.engine.run import Finished, Plan
    from reid.project.layout import Project

BUILD = "Build data"
app = typer.Typer()


def make_plan(stage: str, dataset: str, home: Project, device: str = "auto") -> Plan:
    """The engine's plan of any stage, from params.yaml."""
    from pipeline.engine import plan as stages
    from reid.project import params

    loaded = params.load(home.root)
    if stage == "ingest":
        from pipeline.stages import ingest

        return ingest.plan(
            dataset, params.stage_params(loaded, "ingest", dataset, ingest.Params), home
        )
    if stage not in STAGES:
        raise ReidError(f"no stage `{stage}` (there are ingest, {', '.join(STAGES)})")
    model = stages.module(stage).Params
    return stages.plan(
        stage, dataset, params.stage_params(loaded, stage, dataset, model), home, device
    )


def run_stage(
    stage: str, dataset: str, executor: str | None, workers: int | None, device: str, repair: bool,
    address: str | None = None,
) -> Finished:  # fmt: skip
    """Plan and run one stage over one data set, and say what was done."""
    from pipeline.engine import run as engine
    from pipeline.engine.executors import choose as executors
    from reid.project import params

    home = project()
    settings = params.section(params.load(home.root), "run")
    finished = engine.run(
        make_plan(stage, dataset, home, device),
        home,
        executor=executors.of_settings(settings, executor, address),
        workers=settings.get("workers", 0) if workers is None else workers,
        repair=repair,
    )
    state = "published" if finished.published else "unchanged"
    console().print(
        f"{stage} {dataset}: {finished.rows:,} rows, {finished.rejects} rejects, "
        f"{finished.computed} shards computed, {finished.reused} reused, {state}: {finished.folder}"
    )
    return finished


@app.command(rich_help_panel=BUILD)
def world(name: Dataset, workers: Workers = None) -> None:
    """Render a world with ground truth, in a data set's official layout."""
    from pipeline.builds.scan import scan as scan_folder
    from pipeline.world import build
    from pipeline.world.scenes import scenes
    from reid.project import params

    home = project()
    layout, scene = scenes.of_world(params.load(home.root), name)
    counts = build.build_world(name, scene, layout, home.raw(name).parent, workers or 0)
    scan_folder(home.raw(name).parent, name)
    shown = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    console().print(f"world {name}: {shown}: {home.raw(name)}")


@app.command(rich_help_panel=BUILD)
def add(
    reader: Annotated[str, typer.Argument(help="The data set's reader; see `reid datasets`.")],
    root: Annotated[Path, typer.Option(help="The downloaded folder; it is linked, not copied.")],
    name: Annotated[str, typer.Option(help="Its name here; the reader's by default.")] = "",
    joints: Annotated[str, typer.Option(help="Backend of the joints stage.")] = "mmpose",
) -> None:
    """Add a real data set: link it, and write it, its stages and experiments into params.yaml."""
    from pipeline.builds.add_dataset import add as add_dataset

    source = root.resolve()
    home = project()
    for line in add_dataset(home.root, name or reader, reader, source, joints_backend=joints):
        console().print(line, markup=False)


@app.command(rich_help_panel=BUILD)
def scan(dataset: Dataset) -> None:
    """Write the digest of a raw folder: what DVC watches instead of its files."""
    from pipeline.builds.scan import scan as scan_folder

    found = scan_folder(project().root / "data" / "0-raw", dataset)
    console().print(f"data/0-raw/{dataset}.json: {found['files']:,} files")


@app.command(rich_help_panel=BUILD)
def ingest(
    dataset: Dataset,
    executor: Executor = None,
    address: Address = None,
    workers: Workers = None,
    repair: Repair = False,
) -> None:
    """Raw images and labels to shards."""
    run_stage("ingest", dataset, executor, workers, "cpu", repair, address)
    from pipeline.datasets.base import counts_table
    from reid.shards.protocol import protocols_of

    home = project()
    told = protocols_of(home.shards(dataset))
    published = told["protocols"][0].get("published", {}) if told["protocols"] else {}
    rows = counts_table(published, told.get("found", {}))
    if any(row[3] for row in rows):
        shown = [[n, p, f, "differs" if differs else ""] for n, p, f, differs in rows]
        table("published and found counts", ["count", "published", "found", ""], shown)


def _stage_command(stage: str) -> Callable[..., None]:
    def command(
        dataset: Dataset,
        executor: Executor = None,
        address: Address = None,
        workers: Workers = None,
        device: Device = "auto",
        repair: Repair = False,
    ) -> None:
        run_stage(stage, dataset, executor, workers, device, repair, address)
        _say_unmatched(stage, dataset)

    return command


def _say_unmatched(stage: str, dataset: str) -> None:
    """Count given labels that belong to no image, where the stage knows of such."""
    from pipeline.engine import plan as stages
    from reid.project import params
    from reid.shards.folder import Shards

    code, home = stages.module(stage), project()
    if not hasattr(code, "unmatched"):
        return
    checked = params.stage_params(params.load(home.root), stage, dataset, code.Params)
    ids = (
        Shards(home.shards(checked.dataset or dataset))
        .scalars(["image_id"])["image_id"]
        .to_pylist()
    )
    found = code.unmatched(checked, ids)
    if found:
        few = ", ".join(str(name) for name in found[:3])
        console().print(f"{len(found)} given labels belong to no image: {few} ...", markup=False)


def _network_command(stage: str) -> Callable[..., None]:
    run = _stage_command(stage)

    def command(
        dataset: Dataset, executor: Executor = None, address: Address = None,
        workers: Workers = None, device: Device = "auto", repair: Repair = False, batch: Batch = "",
    ) -> None:  # fmt: skip
        if batch:
            from pipeline.builds import batch_size

            found = batch_size.auto(
                batch, stage, dataset, project(), device=device, executor=executor,
                workers=workers, say=lambda line: console().print(line, markup=False),
            )  # fmt: skip
            table(f"{stage} {dataset}", ["batch", "images/s", ""], found.rows())
            return
        run(dataset, executor, address, workers, device, repair)

    return command


for _name, _summary in STAGES.items():
    _make = _network_command if _name in NETWORKS else _stage_command
    app.command(_name, help=_summary, rich_help_panel=BUILD)(_make(_name))
