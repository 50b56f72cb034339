"""The stage commands of `reid`. Nothing heavy is imported until a command runs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.core.errors import ReidError
from pipeline.derive import STAGES

if TYPE_CHECKING:
    from rich.console import Console

    from pipeline.core.engine import Finished, Plan
    from pipeline.core.project import Project

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

BUILD, LOOK = "Build data", "Look and check"
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Executor = Annotated[str | None, typer.Option(help="local or pool; params.yaml `run` by default.")]
Workers = Annotated[int | None, typer.Option(help="Worker processes; 0 = one a core.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Repair = Annotated[bool, typer.Option(help="Recompute finished shards whose bytes have changed.")]
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
    stage: str, dataset: str, executor: str | None, workers: int | None, device: str, repair: bool
) -> Finished:
    """Plan and run one stage over one data set, and say what was done."""
    from pipeline.core import engine, params

    home = project()
    settings = params.section(params.load(home.root), "run")
    finished = engine.run(
        make_plan(stage, dataset, home, device),
        home,
        executor=executor or settings.get("executor", "pool"),
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
    dataset: Dataset, executor: Executor = None, workers: Workers = None, repair: Repair = False
) -> None:
    """Raw images and labels to shards."""
    run_stage("ingest", dataset, executor, workers, "cpu", repair)
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
        workers: Workers = None,
        device: Device = "auto",
        repair: Repair = False,
    ) -> None:
        run_stage(stage, dataset, executor, workers, device, repair)
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


for _name, _summary in STAGES.items():
    app.command(_name, help=_summary, rich_help_panel=BUILD)(_stage_command(_name))


@app.command(rich_help_panel=LOOK)
def accuracy(
    stage: Annotated[str, typer.Argument(help="masks, joints, crops or flow")],
    build: Annotated[str, typer.Argument(help="A build of it over a rendered world.")],
    as_json: Json = False,
) -> None:
    """How near a build comes to the truth of its rendered world; kept in 4-reports/accuracy."""
    from pipeline.accuracy_of import measure

    found = measure(project(), stage, build)["numbers"]
    rows = [[k, f"{v:.3f}" if isinstance(v, float) else v] for k, v in found.items()]
    show(found, as_json, lambda: table(f"{stage} {build}", ["number", "value"], rows))


@app.command(rich_help_panel=LOOK)
def datasets(as_json: Json = False) -> None:
    """Every data set that can be read: layout, published counts, licence, where to ask."""
    from dataclasses import asdict

    from pipeline.datasets import READERS, reader

    infos = {name: asdict(reader(name).INFO) for name in READERS}

    def lines() -> None:
        for name, info in infos.items():
            console().print(f"[bold]{name}[/bold]")
            for key, value in info.items():
                console().print(f"  {key}: {value}", markup=False)

    show(infos, as_json, lines)


@app.command(rich_help_panel=LOOK)
def plan(stage: str, dataset: Dataset, as_json: Json = False) -> None:
    """What a stage would compute, what it would reuse, and why."""
    from pipeline import check

    found = check.plan(make_plan(stage, dataset, project()), project())

    def lines() -> None:
        rows = [[s["name"], f"{s['rows']:,}", s["state"], s["why"]] for s in found["shards"]]
        table(f"{stage} {dataset}", ["shard", "rows", "state", "why"], rows)
        console().print(
            f"to write: about {found['bytes'] / 1e6:,.1f} MB; free: {found['free'] / 1e9:,.1f} GB"
        )

    show(found, as_json, lines)


@app.command(rich_help_panel=LOOK)
def status(as_json: Json = False) -> None:
    """Every stage and data set of params.yaml: built, stale or missing."""
    from pipeline import check

    found = check.status(project(), make_plan)
    columns = ["stage", "dataset", "state", "rows", "rejects", "shards"]
    show(found, as_json, lambda: table("", columns, [[r[c] for c in columns] for r in found]))


@app.command(rich_help_panel=LOOK)
def verify(
    dataset: Annotated[str, typer.Argument(help="A data set; all that is built by default.")] = "",
    as_json: Json = False,
) -> None:
    """Check hashes, row order, schema and decodability of every shard. Status 1 on a problem."""
    from pipeline import check

    found = check.verify(project(), dataset)

    def lines() -> None:
        for folder, problems in found.items():
            console().print(f"{folder}: {'sound' if not problems else f'{len(problems)} problems'}")
            for problem in problems:
                console().print(f"  {problem}", markup=False)

    show(found, as_json, lines)
    if any(found.values()):
        raise typer.Exit(1)


@app.command(rich_help_panel=LOOK)
def inspect(
    shard: Path,
    rows: Annotated[int, typer.Option(help="How many rows to show.")] = 24,
    sheet: Annotated[Path | None, typer.Option(help="Write pictures as one PNG.")] = None,
    as_json: Json = False,
) -> None:
    """A shard's rows as a table, its pictures as a contact sheet."""
    from pipeline.core.images import encode_png
    from pipeline.core.inspect import contact_sheet, rows_table
    from pipeline.core.shards import Shard

    opened = Shard(shard)
    found = rows_table(opened, rows)
    if sheet is not None:
        sheet.write_bytes(encode_png(contact_sheet(opened, range(min(rows, opened.num_rows)))))

    def lines() -> None:
        columns = list(found[0]) if found else []
        title = f"{shard}: {opened.num_rows:,} rows"
        table(title, columns, [[row[c] for c in columns] for row in found])
        if sheet is not None:
            console().print(f"pictures: {sheet}")

    show({"rows": found, "metadata": opened.metadata, "sheet": sheet}, as_json, lines)


@app.command(rich_help_panel=LOOK)
def doctor(as_json: Json = False) -> None:
    """Versions, CUDA, decoder, DVC links, disk, backends, weights; a two-second benchmark."""
    from pipeline import doctor as checks

    found = checks.examine(project())

    def lines() -> None:
        for group, values in found.items():
            table(group, ["", ""], [[k, v] for k, v in values.items()])

    show(found, as_json, lines)


@app.command(rich_help_panel=LOOK)
def gc(
    dry_run: Annotated[bool, typer.Option(help="Only say what would go.")] = False,
    as_json: Json = False,
) -> None:
    """Remove finished work that no published data set uses."""
    from pipeline.core.journal import unused

    paths = unused(project().work)
    size = sum(path.stat().st_size for path in paths)
    if not dry_run:
        for path in paths:
            path.unlink(missing_ok=True)
    verb = "would remove" if dry_run else "removed"
    found = {"files": [str(path) for path in paths], "bytes": size, "removed": not dry_run}
    show(found, as_json, lambda: console().print(f"{verb} {len(paths)} files, {size / 1e6:.1f} MB"))
