"""The commands that write what other code reads: `reid export tree`, `network`, `features`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from pipeline.commands.console import Device, Name, console
from pipeline.commands.here import project
from pipeline.commands.names import check_dataset, check_experiment

app = typer.Typer(no_args_is_help=True, help="Write data, networks, features for other code.")


@app.command()
def tree(
    dataset: Annotated[str, typer.Argument(help="A built data set, such as street, swaps/mall.")],
    out: Annotated[Path, typer.Argument(help="A new folder.")],
    protocol: Annotated[
        str, typer.Option(help="A rule by name; needed where splits are drawn at random.")
    ] = "",
    wide: Annotated[
        bool, typer.Option(help="Also persons to 9999 and cameras to 9; torchreid refuses those.")
    ] = False,
) -> None:
    """A data set as a Market-1501 folder: torchreid, fast-reid and layumi's code read it.

    Example: reid export tree street market1501/Market-1501-v15.09.15
    """
    out, home = out.absolute(), project()  # `project` changes the working folder
    check_dataset(home, dataset)
    from reid.export.market_folder import write_tree

    found = write_tree(home, dataset, out, protocol, wide=wide)
    counts = ", ".join(f"{count:,} {role}" for role, count in found.images.items())
    console().print(f"{dataset}: {counts}: {out}", markup=False)
    for note in found.notes:
        console().print(f"  {note}", markup=False)


@app.command()
def network(experiment: Name, out: Annotated[Path, typer.Argument(help="A new folder.")]) -> None:
    """A trained network for torch.export, and ONNX where that is installed; what it takes.

    Example: reid export network street-baseline exported
    """
    out, home = out.absolute(), project()
    check_experiment(home, experiment)
    from reid import experiments
    from reid.export.network import export_network
    from reid.project.progress import Meter

    with Meter(f"export network {experiment}"):
        notes = export_network(experiments.load(home, experiment), home, out)
    console().print(f"{experiment}: network.pt2 and network.json: {out}", markup=False)
    for note in notes:
        console().print(f"  {note}", markup=False)


@app.command()
def features(
    experiment: Name,
    out: Annotated[Path, typer.Argument(help="A .parquet file.")],
    dataset: Annotated[str | None, typer.Option(help="Another data set than its own.")] = None,
    protocol: Annotated[str | None, typer.Option(help="Another rule of the data set.")] = None,
    device: Device = "auto",
) -> None:
    """The features that an evaluation compares, as `reid score` reads them.

    Example: reid export features street-baseline features.parquet
    """
    out, home = out.absolute(), project()
    check_experiment(home, experiment)
    check_dataset(home, dataset)
    from reid import experiments
    from reid.export.features import export_features

    found = export_features(
        experiments.load(home, experiment), home, out,
        dataset=dataset, protocol=protocol, device=device,
    )  # fmt: skip
    console().print(
        f"{experiment}: {found.rows:,} features of {found.dimensions} values: {found.path}",
        markup=False,
    )
    console().print(f"  {found.note}", markup=False)
