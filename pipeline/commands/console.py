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


def visible(text: str) -> str:
    """`text` with what would steer a terminal, or cannot be seen, written out: \\x1b[2J.

    Names, rules, labels and messages come from files of others. Line breaks and tabs stay.
    """
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


def console() -> Console:
    """The terminal; texts are printed as they are, with what cannot be seen made visible."""
    from rich.console import Console

    class Visible(Console):
        def print(self, *objects: Any, **options: Any) -> None:
            super().print(*(visible(o) if isinstance(o, str) else o for o in objects), **options)

    wide = None if sys.stdout.isatty() else 180  # a log file has room
    return Visible(highlight=False, markup=False, soft_wrap=True, width=wide)


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

    name = Text(visible(title)) if title else None
    drawn = Table(title=name, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(Text(visible(column)))
    for row in rows:
        drawn.add_row(*(Text(visible(str(cell))) for cell in row))
    console().print(drawn)
