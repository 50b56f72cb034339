"""`python -m tests.benchmarks`: speed as ratios, each against a limit measured in the same run."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.console import Json, show, table
from pipeline.commands.here import project
from tests.benchmarks.run import run


def bench(
    images: Annotated[int, typer.Option(help="Images in the shards that are measured.")] = 20_000,
    as_json: Json = False,
) -> None:
    """Measure, print a table, and write 4-reports/bench.json."""
    rows = run(project(), images)

    def lines() -> None:
        columns = ["name", "value", "limit", "ratio", "goal", "holds"]
        table("speed", columns, [[row.get(c, "") for c in columns] for row in rows])

    show(rows, as_json, lines)


typer.run(bench)
