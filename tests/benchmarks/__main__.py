"""`python -m tests.benchmarks`: speed as ratios, each against a limit measured in the same run."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.console import Json, show
from pipeline.commands.here import project
from tests.benchmarks.run import as_markdown, run


def bench(
    images: Annotated[int, typer.Option(help="Images in the shards that are measured.")] = 20_000,
    as_json: Json = False,
) -> None:
    """Measure, print rows as docs/speed.md has them, and write 4-reports/bench.json."""
    rows = run(project(), images, lambda text: typer.echo(text, err=True))

    show(rows, as_json, lambda: typer.echo("\n".join(as_markdown(rows))))


typer.run(bench)
