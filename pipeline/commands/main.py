"""The `reid` command: one typer app out of those of this folder."""

from __future__ import annotations

import errno
import os
import sys
from typing import Annotated

import typer

from pipeline.commands import build, data, export, look, networks, train
from reid.project.errors import ReidError

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EXDEV}

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for part in (build, data, networks, train, look):
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
        typer.echo(f"reid: {error}", err=True)
        sys.exit(2)
    except OSError as error:
        if error.errno not in DISK:
            raise
        where = f": {error.filename}" if error.filename else ""
        typer.echo(
            f"reid: {os.strerror(error.errno)}{where}; what was finished is kept, nothing half "
            "done is published: make room, or allow writing, and run the same command again",
            err=True,
        )
        sys.exit(2)
