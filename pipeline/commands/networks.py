"""The commands of `reid` about the networks that stages run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.build import BUILD
from pipeline.commands.console import Device, Json, checked, console, show, table, visible
from pipeline.commands.data import LOOK
from pipeline.commands.here import project
from pipeline.commands.names import check_paper, complete_paper
from reid.project.errors import ReidError
from reid.project.names import unknown

FITTED = Path(".work/fit/weights")
BACKENDS = ("masks_torchvision", "joints_mmpose", "crops_ultralytics", "flow_ptlflow")
app = typer.Typer()


@app.command("fit-backend", rich_help_panel=BUILD)
def fit_backend(
    backend: Annotated[
        str,
        typer.Argument(help=", ".join(BACKENDS)),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the weights.")] = FITTED,
    steps: Annotated[int, typer.Option(help="0 = the recipe's.", callback=checked)] = 0,
    sheets: Annotated[
        int, typer.Option(help="Sheets of a view; 0 = the recipe's.", callback=checked)
    ] = 0,
    minutes: Annotated[
        float, typer.Option(help="Stop then, to go on later.", callback=checked)
    ] = 0,
    start: Annotated[Path | None, typer.Option(help="Weights to begin with.")] = None,
    threads: Annotated[int, typer.Option(help="0 = one a core.", callback=checked)] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Fit a backend's network to freshly rendered people. Ctrl-C keeps what is done.

    Example: reid fit-backend joints_mmpose --minutes 30
    """
    if backend not in (*BACKENDS, *(name.partition("_")[0] for name in BACKENDS)):
        raise ReidError(f"fit-backend: {unknown('backend', backend, BACKENDS)}")
    from pipeline.fit.run import fit_backend as fit
    from reid.project.stop import stoppable

    home = project()
    with stoppable() as stop:
        found = fit(
            backend, home, out=home.root / out, device=device, threads=threads, steps=steps,
            sheets=sheets, minutes=minutes, start=start, stop=stop,
            say=lambda line: typer.echo(visible(line), err=True),
        )  # fmt: skip

    def lines() -> None:
        state = "fitted" if found["done"] else "stopped; the same command goes on"
        console().print(
            f"{found['backend']}: {state}, {found['bytes'] / 1e6:.1f} MB: {out / found['file']}",
            markup=False,
        )

    show(found, as_json, lines)
    if not found["done"]:
        raise typer.Exit(1)


@app.command("fit-trunk", rich_help_panel=BUILD)
def fit_trunk(
    paper: Annotated[
        str, typer.Argument(help="A paper that has a pretraining.", autocompletion=complete_paper)
    ],
    dataset: Annotated[
        str, typer.Option(help="Whose scale in params.yaml; the first by default.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder for the weights.")] = FITTED,
    epochs: Annotated[int, typer.Option(help="0 = the recipe's.", callback=checked)] = 0,
    device: Device = "auto",
) -> None:
    """Fit what a paper's network begins with to a rendered crowd. The same command goes on.

    Example: reid fit-trunk attention_driven
    """
    check_paper(paper)
    from pipeline.fit.trunk import fit_trunk as fit
    from reid.results.claims import dataset_of

    home = project()
    of = dataset or dataset_of(home, paper)
    path = fit(paper, home, of, out=home.root / out, epochs=epochs, device=device, say=typer.echo)
    console().print(f"weights: {path}", markup=False)


@app.command(rich_help_panel=LOOK)
def weights(as_json: Json = False) -> None:
    """The weights of every network backend, build and training: file, licence, hash, address.

    Example: reid weights
    """
    from pipeline.commands.weights_list import listing

    found = listing(project())

    def lines() -> None:
        columns = ["stage", "backend", "build", "model", "weights", "there", "megabytes", "licence"]
        rows = [[_cell(line[name]) for name in columns] for line in found]
        for row, line in zip(rows, found, strict=True):
            absent = line["address"] if not line["file"] else ""
            row.append((line["sha256"] or "")[:12] or absent)
        table("", [*columns, "sha256"], rows)
        missing = {line["file"]: line["address"] for line in found if not line["there"]}
        for file, address in missing.items():
            if file and address:
                console().print(f"{address}\n  would lie at {file}", markup=False)

    show(found, as_json, lines)


def _cell(value: bool | float | str | None) -> str:
    """A table's yes, no, or nothing where a number is not known."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
