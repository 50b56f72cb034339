"""The commands of `reid` that look at what is built, and check it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.build import make_plan
from pipeline.commands.console import Dataset, Json, console, project, show, table

LOOK = "Look and check"
app = typer.Typer()


@app.command(rich_help_panel=LOOK)
def accuracy(
    stage: Annotated[str, typer.Argument(help="masks, joints, crops or flow")],
    build: Annotated[str, typer.Argument(help="A build of it over a rendered world.")],
    as_json: Json = False,
) -> None:
    """How near a build comes to the truth of its rendered world; kept in 4-reports/accuracy."""
    from pipeline.accuracy.measure import measure

    measured = measure(project(), stage, build)
    found = measured["numbers"]
    rows = [[k, f"{v:.3f}" if isinstance(v, float) else v] for k, v in found.items()]

    def lines() -> None:
        table(f"{stage} {build}", ["number", "value"], rows)
        if measured.get("truth_itself"):
            console().print("this build was given the truth: the truth against itself, no accuracy")

    show(found, as_json, lines)


@app.command(rich_help_panel=LOOK)
def datasets(as_json: Json = False) -> None:
    """Every data set that can be read: layout, published counts, licence, where to ask."""
    from dataclasses import asdict

    from pipeline.datasets import READERS, reader

    infos = {name: asdict(reader(name).info) for name in READERS}

    def lines() -> None:
        for name, info in infos.items():
            console().print(f"[bold]{name}[/bold]", markup=True)
            for key, value in info.items():
                console().print(f"  {key}: {value}", markup=False)

    show(infos, as_json, lines)


@app.command(rich_help_panel=LOOK)
def plan(stage: str, dataset: Dataset, as_json: Json = False) -> None:
    """What a stage would compute, what it would reuse, and why."""
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
    """Every stage and data set of params.yaml: built, stale or missing."""
    from pipeline.builds import status as check

    found = check.status(project(), make_plan)
    columns = ["stage", "dataset", "state", "rows", "rejects", "shards"]
    show(found, as_json, lambda: table("", columns, [[r[c] for c in columns] for r in found]))


@app.command(rich_help_panel=LOOK)
def verify(
    dataset: Annotated[str, typer.Argument(help="A data set; all that is built by default.")] = "",
    as_json: Json = False,
) -> None:
    """Check hashes, row order, schema and decodability of every shard. Status 1 on a problem."""
    from pipeline.builds import status as check

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
    from reid.arrays.images import encode_png
    from reid.look.inspect import contact_sheet, rows_table
    from reid.shards.folder import Shard

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
    """Remove finished work that no published data set uses."""
    from pipeline.engine.journal import unused

    paths = unused(project().work)
    size = sum(path.stat().st_size for path in paths)
    if not dry_run:
        for path in paths:
            path.unlink(missing_ok=True)
    verb = "would remove" if dry_run else "removed"
    found = {"files": [str(path) for path in paths], "bytes": size, "removed": not dry_run}
    show(found, as_json, lambda: console().print(f"{verb} {len(paths)} files, {size / 1e6:.1f} MB"))
