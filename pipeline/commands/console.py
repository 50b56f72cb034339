"""What every command shares: options, the project it runs in, tables and JSON on the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from reid.project.errors import ReidError

if TYPE_CHECKING:
    from rich.console import Console

    from reid.project.layout import Project

Name = Annotated[str, typer.Argument(help="An experiment named in params.yaml.")]
PaperName = Annotated[
    str, typer.Argument(help="A paper by its section of params.yaml, such as attention_driven.")
]
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
Batch = Annotated[str, typer.Option(help="auto: measure the best, say it, and build nothing.")]
Dataset = Annotated[str, typer.Argument(help="A data set named in params.yaml.")]


def project() -> Project:
    """The project that the command runs in: here, or the nearest folder above with params.yaml."""
    from reid.project.layout import Project
    from reid.project.params import PARAMS_FILE

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
