"""The commands of `reid` that look at what is built, and check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.build import make_plan
from pipeline.commands.console import (
    Dataset,
    Json,
    Stage,
    checked,
    console,
    show,
    table,
    table_of,
)
from pipeline.commands.here import project
from pipeline.commands.names import (
    check_build,
    check_dataset,
    complete_built,
    complete_dataset,
    complete_stage,
    folder_of,
    is_built_name,
    is_dataset,
    is_experiment,
    is_shard,
)
from reid.project.errors import ReidError
from reid.project.names import heading

LOOK = "Look and check"
app = typer.Typer()


@app.command(rich_help_panel=LOOK)
def accuracy(
    stage: Annotated[
        str, typer.Argument(help="masks, joints, crops or flow", autocompletion=complete_stage)
    ],
    build: Annotated[
        str,
        typer.Argument(
            help="A build of it over a rendered world.", autocompletion=complete_dataset
        ),
    ],
    as_json: Json = False,
) -> None:
    """How near a build comes to the truth of its rendered world; kept in 4-reports/accuracy.


    Example: reid accuracy masks mall
    """
    from pipeline.accuracy.measure import MEASURES, measure
    from reid.project.progress import Meter

    home = project()
    if stage in MEASURES:
        check_build(home, stage, build)
    with Meter(f"accuracy {stage} {build}"):
        measured = measure(home, stage, build)
    found = measured["numbers"]
    rows = [[k, f"{v:.3f}" if isinstance(v, float) else v] for k, v in found.items()]

    def lines() -> None:
        table(f"{stage} {build}", ["number", "value"], rows)
        if measured.get("truth_itself"):
            console().print("this build was given the truth: the truth against itself, no accuracy")

    show(found, as_json, lines)


@app.command(rich_help_panel=LOOK)
def datasets(
    name: Annotated[str, typer.Argument(help="A reader; all by default.")] = "",
    as_json: Json = False,
) -> None:
    """Every data set that can be read: layout, published counts, licence, where to ask.

    Example: reid datasets market1501
    """
    from dataclasses import asdict

    from pipeline.datasets import READERS, reader

    if name and name not in READERS and is_dataset(name):
        raise ReidError(
            f"no reader `{name}`, but a data set of this project: `reid inspect {name}` shows it"
        )
    infos = {each: asdict(reader(each).info) for each in ([name] if name else READERS)}

    def lines() -> None:
        for name, info in infos.items():
            console().print(f"[bold]{name}[/bold]", markup=True)
            for key, value in info.items():
                counts = value.items() if isinstance(value, dict) else ()
                told = ", ".join(f"{count:,} {what}" for what, count in counts) or value or "none"
                console().print(f"  {key}: {told}", markup=False)

    show(infos, as_json, lines)


@app.command(rich_help_panel=LOOK)
def plan(stage: Stage, dataset: Dataset, as_json: Json = False) -> None:
    """What a stage would compute, what it would reuse, and why.

    Example: reid plan parts street
    """
    from pipeline.builds import status as check

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
    """Every stage and data set of params.yaml: built, stale or missing; experiments, the report.

    As JSON the stages alone.

    Example: reid status
    """
    from pipeline.builds import status as check

    home = project()
    found = check.status(home, make_plan)

    def lines() -> None:
        columns = ["stage", "dataset", "state", "rows", "rejects", "shards"]
        table_of("", found, columns)
        experiments = check.experiments(home)
        columns = ["experiment", "paper", "dataset", "state", "rank1", "map"]
        if experiments:
            console().print()
            table_of("", experiments, columns)
        console().print(f"\nreport: {check.report(home)}", markup=False)

    show(found, as_json, lines)


@app.command(rich_help_panel=LOOK)
def verify(
    dataset: Annotated[str, typer.Argument(help="A data set; all that is built by default.")] = "",
    as_json: Json = False,
) -> None:
    """Check hashes, row order, schema and decodability of every shard. Status 1 on a problem.

    Example: reid verify street
    """
    home = project()
    if dataset:
        check_dataset(home, dataset)
    from pipeline.builds import status as check

    found = check.verify(home, dataset)

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
    shard: Annotated[
        str,
        typer.Argument(
            help="A shard, or by its name what is built, or an experiment: street, parts/street.",
            autocompletion=complete_built,
        ),
    ],
    rows: Annotated[int, typer.Option(help="How many rows to show.", callback=checked)] = 24,
    sheet: Annotated[Path | None, typer.Option(help="Write pictures as one PNG.")] = None,
    as_json: Json = False,
) -> None:
    """A shard's rows as a table, its pictures as a contact sheet; or where an experiment stands.

    Example: reid inspect parts/street --sheet parts.png
    """
    target = None if sheet is None else sheet.absolute()  # `project` changes the working folder
    if not is_built_name(shard) and is_experiment(shard):
        _experiment(shard, sheet, as_json)
        return
    from reid.look.inspect import contact_sheet, pictured, rows_table
    from reid.look.pictures import save
    from reid.shards.folder import Shard, Shards

    path = _shard_or_folder(shard)
    opened = Shards(path) if path.is_dir() else Shard(path)
    found = rows_table(opened, rows)
    if target is not None:
        save(target, contact_sheet(opened, pictured(opened, rows)))

    def lines() -> None:
        table_of(f"{shard}: {len(opened):,} rows", found)
        if sheet is not None:
            console().print(f"pictures: {sheet}")

    first = opened.shards[0] if isinstance(opened, Shards) else opened
    show({"rows": found, "metadata": first.metadata, "sheet": sheet}, as_json, lines)


def _experiment(name: str, sheet: Path | None, as_json: bool) -> None:
    if sheet is not None:
        raise ReidError(
            f"--sheet: {name} is an experiment; `reid search {name} IMAGE` has pictures"
        )
    from pipeline.builds import status as check

    found = check.experiment(project(), name)

    def lines() -> None:
        told = [[k, found[k]] for k in ("paper", "dataset", "state", "rank1", "map") if found[k]]
        table(name, ["", ""], [[heading(k), v] for k, v in told])
        for title in ("reads", "parameters"):
            console().print()
            table(title, ["", ""], [[k, v] for k, v in found[title].items()])
        console().print(f"\nnext: {found['next']}", markup=False)

    show(found, as_json, lines)


def _shard_or_folder(name: str) -> Path:
    """A file, a built folder, or the folder of what is built under a name."""
    return Path(name) if is_shard(Path(name)) else folder_of(project(), name)


@app.command(rich_help_panel=LOOK)
def doctor(as_json: Json = False) -> None:
    """Versions, CUDA, decoder, DVC links, disk, backends, weights; a two-second benchmark.

    Example: reid doctor
    """
    from pipeline.commands import doctor as checks

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
    """Remove finished work that no published data set uses.

    Example: reid gc --dry-run
    """
    from pipeline.engine.journal import unused

    paths = unused(project().work)
    size = sum(path.stat().st_size for path in paths)
    if not dry_run:
        for path in paths:
            path.unlink(missing_ok=True)
    verb = "would remove" if dry_run else "removed"
    found = {"files": [str(path) for path in paths], "bytes": size, "removed": not dry_run}
    show(found, as_json, lambda: console().print(f"{verb} {len(paths)} files, {size / 1e6:.1f} MB"))
