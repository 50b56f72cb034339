"""The stage commands of `reid`. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.core.errors import ReidError
from pipeline.derive import NETWORKS, STAGES

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.core.engine import Finished, Plan
    from pipeline.core.project import Project

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

BUILD = "Build data"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Executor = Annotated[
    str | None, typer.Option(help="local, pool or ray; params.yaml `run` by default.")
]
Address = Annotated[
    str | None, typer.Option(help="Of a Ray cluster: auto, ray://HOST:PORT or HOST:PORT.")
]
Workers = Annotated[int | None, typer.Option(help="Worker processes; 0 = one a core.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Repair = Annotated[bool, typer.Option(help="Recompute finished shards whose bytes have changed.")]
Batch = Annotated[str, typer.Option(help="auto: measure the best, and write it into params.yaml.")]
Dataset = Annotated[str, typer.Argument(help="A data set named in params.yaml.")]


def project() -> Project:
    """The project that the command runs in: here, or the nearest folder above with params.yaml."""
    from pipeline.core.params import PARAMS_FILE
    from pipeline.core.project import Project

    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / PARAMS_FILE).is_file():
            import os

            os.chdir(folder)  # paths in params.yaml and in messages are the project's
            return Project(Path())
    raise ReidError(f"{here}: no {PARAMS_FILE} here or above; run inside a project")


def console() -> Console:
    from rich.console import Console

    wide = None if sys.stdout.isatty() else 180  # a log file has room
    return Console(highlight=False, soft_wrap=True, width=wide)


def show(value: Any, as_json: bool, lines: Callable[[], None]) -> None:
    """Print `value` as JSON, or whatever `lines` prints."""
    if as_json:
        typer.echo(json.dumps(value, indent=1, sort_keys=True, default=str))
    else:
        lines()


def table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """A table on the terminal."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(*columns, title=title, title_justify="left", box=None, pad_edge=False)
    for row in rows:
        drawn.add_row(*(Text(str(cell)) for cell in row))
    console().print(drawn)


def make_plan(stage: str, dataset: str, home: Project, device: str = "auto") -> Plan:
    """The engine's plan of any stage, from params.yaml."""
    from pipeline.core import params
    from pipeline.core import stage as stages

    loaded = params.load(home.root)
    if stage == "ingest":
        from pipeline import ingest

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
    from pipeline.core import engine, executors, params

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
    from pipeline.core import params
    from pipeline.scan import scan as scan_folder
    from pipeline.world import build, scenes

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
    from pipeline.add import add as add_dataset

    source = root.resolve()
    home = project()
    for line in add_dataset(home.root, name or reader, reader, source, joints_backend=joints):
        console().print(line, markup=False)


@app.command(rich_help_panel=BUILD)
def scan(dataset: Dataset) -> None:
    """Write the digest of a raw folder: what DVC watches instead of its files."""
    from pipeline.scan import scan as scan_folder

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
    from pipeline.core import params
    from pipeline.datasets.base import counts_table

    home = project()
    protocol = json.loads((home.shards(dataset) / "protocol.json").read_text("utf-8"))
    published = protocol["protocols"][0].get("published", {})
    rows = counts_table(published, protocol["found"])
    rendered = dataset in params.section(params.load(home.root), "world", "on")
    if any(row[3] for row in rows) and not rendered:  # a world is no copy of the real data set
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
    from pipeline.core import params
    from pipeline.core import stage as stages
    from pipeline.core.shards import Shards

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
            from pipeline import batch_size

            found = batch_size.auto(
                batch, stage, dataset, project(), device=device, executor=executor,
                workers=workers, say=lambda line: console().print(line, markup=False),
            )  # fmt: skip
            table(f"{stage} {dataset}", ["batch", "images/s", ""], found.rows())
        run(dataset, executor, address, workers, device, repair)

    return command


for _name, _summary in STAGES.items():
    _make = _network_command if _name in NETWORKS else _stage_command
    app.command(_name, help=_summary, rich_help_panel=BUILD)(_make(_name))
