"""The `reid` command: one typer app out of those of this folder."""

from __future__ import annotations

import errno
import os
import re
import sys
from importlib import metadata
from typing import Annotated, NoReturn

import typer

from pipeline.commands import (
    build,
    claims,
    data,
    evaluate,
    export,
    look,
    networks,
    tables,
    train,
)
from pipeline.commands.console import visible
from reid.project.errors import ReidError

PACKAGE = "reid-pipeline"
KEPT = "what was finished is kept, nothing half done is published"
AGAIN = "and run the same command again"
DISK = {
    errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM, errno.EXDEV,
}  # fmt: skip

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for part in (build, data, networks, train, evaluate, tables, claims, look):
    app.add_typer(part.app)
app.add_typer(export.app, name="export", rich_help_panel="Hand on")


def _say_version(asked: bool) -> None:
    if asked:
        import reid

        typer.echo(f"reid {reid.__version__}")
        raise typer.Exit


@app.callback()
def about(
    version: Annotated[
        bool, typer.Option("--version", help="Its version.", callback=_say_version, is_eager=True)
    ] = False,
) -> None:
    """Re-identification data sets as shards, and five papers' networks trained on them.

    Run inside a project (a folder with params.yaml). `dvc repro` runs everything in order; each
    command here runs one step of it.
    """


def main() -> None:
    """Run the command; an error that the user can mend is one line and status 2."""
    try:
        app()
    except ReidError as error:
        _end(str(error))
    except ModuleNotFoundError as error:
        extra = extra_of(error.name or "")
        if not extra:
            raise
        _end(f'{error.name} is not installed; run `pip install ".[{extra}]"` in the checkout')
    except OSError as error:
        if error.errno not in DISK:
            raise
        where = f": {error.filename}" if error.filename else ""
        _end(f"{os.strerror(error.errno)}{where}; {KEPT}: make room, or allow writing, {AGAIN}")
    except Exception as error:  # libraries have their own for memory
        if not _is_memory(error):
            raise
        said = visible(" ".join(str(error).split())[:200]) or "no more memory"
        smaller = "take a smaller `batch`, fewer --workers or a larger machine,"
        _end(f"out of memory ({said}); {KEPT}: {smaller} {AGAIN}")


def extra_of(module: str) -> str:
    """The extra of this package that brings a module, or '' where none does: then it is a fault."""
    package = re.escape(module.partition(".")[0])
    try:
        needed = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:  # run from its sources
        return ""
    found = (re.match(rf"{package}\b(?!-).*extra == ['\"](\w+)", line) for line in needed)
    return next((match[1] for match in found if match), "")


def _end(message: str) -> NoReturn:
    typer.echo(f"reid: {visible(message)}", err=True)
    sys.exit(2)


def _is_memory(error: Exception) -> bool:
    """Whether memory ran out: Python's or NumPy's, torch's on a GPU or a processor, OpenCV's."""
    kinds = {kind.__name__ for kind in type(error).__mro__}  # torch is not imported for this
    told = str(error)
    if kinds & {"MemoryError", "OutOfMemoryError"}:
        return True
    return "DefaultCPUAllocator" in told or "Insufficient memory" in told
