"""What every command shares: options, tables and JSON on the terminal."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipeline.commands.names import (
    complete_dataset,
    complete_experiment,
    complete_paper,
    complete_stage,
)
from reid.project.errors import ReidError
from reid.project.names import did_you_mean, heading

if TYPE_CHECKING:
    from rich.console import Console

USE = "Train and evaluate"  # the part of `reid --help` that several files have commands in
DEVICE = re.compile(r"auto|cpu|cuda(:\d+)?")
LEAST = {
    "devices": 1, "epochs": 0, "minutes": 0, "queries": 1, "repeats": 1, "rows": 1, "seeds": 1,
    "sheets": 0, "splits": 0, "steps": 0, "threads": 0, "top": 1, "trainings": 1, "workers": 0,
}  # fmt: skip


def checked(parameter: typer.CallbackParam, value: Any) -> Any:
    """The value of `--device`, or of an option of `LEAST`; one line where it cannot be."""
    name = str(parameter.name)
    if name == "device" and not DEVICE.fullmatch(value):
        nearest = did_you_mean(value, ["auto", "cpu", "cuda"])
        raise ReidError(f"--device: no `{value}`{nearest} (there are auto, cpu, cuda, cuda:1 ...)")
    if name != "device" and value is not None and value < LEAST[name]:
        raise ReidError(f"--{name}: {value:g}, must be at least {LEAST[name]}")
    return value


Name = Annotated[
    str,
    typer.Argument(help="An experiment named in params.yaml.", autocompletion=complete_experiment),
]
PaperName = Annotated[
    str,
    typer.Argument(
        help="A paper by its section of params.yaml, such as attention_driven.",
        autocompletion=complete_paper,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Executor = Annotated[
    str | None, typer.Option(help="local, pool or ray; params.yaml `run` by default.")
]
Address = Annotated[
    str | None, typer.Option(help="Of a Ray cluster: auto, ray://HOST:PORT or HOST:PORT.")
]
Workers = Annotated[
    int | None, typer.Option(help="Worker processes; 0 = one a core.", callback=checked)
]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.", callback=checked)]
Repair = Annotated[bool, typer.Option(help="Recompute finished shards whose bytes have changed.")]
Batch = Annotated[str, typer.Option(help="auto: measure the best, say it, and build nothing.")]
Dataset = Annotated[
    str,
    typer.Argument(help="A data set named in params.yaml.", autocompletion=complete_dataset),
]
Stage = Annotated[
    str, typer.Argument(help="A stage, such as parts.", autocompletion=complete_stage)
]


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


def short(value: Any) -> str:
    """A value in few characters: long fractions with four digits, long lists cut off."""
    if isinstance(value, float):
        return str(value) if len(str(value)) <= 7 else f"{value:.4g}"
    if isinstance(value, list):
        text = f"[{', '.join(short(each) for each in value)}]"
        return text if len(text) <= 60 else f"{text[:57]}..."
    return str(value)


def table(title: str, columns: list[str], rows: list[list[Any]]) -> None:
    """A table on the terminal."""
    from rich.table import Table
    from rich.text import Text

    name = Text(visible(title)) if title else None
    drawn = Table(title=name, title_justify="left", box=None, pad_edge=False)
    for column in columns:
        drawn.add_column(Text(visible(heading(column))))
    for row in rows:
        drawn.add_row(*(Text(visible(short(cell))) for cell in row))
    console().print(drawn)


def table_of(
    title: str, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None
) -> None:
    """Rows by column name as a table: all columns of the first row, or those named."""
    names = list(columns if columns is not None else rows[0] if rows else ())
    table(title, names, [[row[name] for name in names] for row in rows])
