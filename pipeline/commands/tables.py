"""The commands that compare: the papers' tables, sources of derived data, the report."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.commands.console import (
    USE,
    Device,
    Json,
    PaperName,
    checked,
    console,
    show,
    table_of,
)
from pipeline.commands.here import project
from pipeline.commands.names import (
    check_dataset,
    check_experiment,
    check_paper,
    complete_experiment,
)

app = typer.Typer()


@app.command(rich_help_panel=USE)
def tables(as_json: Json = False) -> None:
    """All evaluated experiments of params.yaml beside the papers' own numbers.

    Example: reid tables
    """
    from reid.results.evaluated import evaluated_object
    from reid.results.made_with import made_with

    found = evaluated_object(project())

    def lines() -> None:
        for one in found["tables"]:
            table_of(one["title"], one["rows"])
        console().print(made_with())

    show(found, as_json, lines)


@app.command("table", rich_help_panel=USE)
def paper_table(
    paper: PaperName,
    number: Annotated[str, typer.Argument(help="The table's number in the paper.")],
    dataset: Annotated[str, typer.Option(help="The data set to train and test on.")],
    seeds: Annotated[int, typer.Option(help="Trainings per row.", callback=checked)] = 1,
    row: Annotated[
        list[str] | None, typer.Option(help="Only this row, by its name; may be given again.")
    ] = None,
    splits: Annotated[
        int,
        typer.Option(
            help="Mean over so many random splits; 0 = the default rule alone.", callback=checked
        ),
    ] = 0,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Train and evaluate each row of a paper's table, ours beside theirs; equal rows once.

    Example: reid table attention_driven 6 --dataset street --seeds 3
    """
    check_paper(paper)
    home = project()
    check_dataset(home, dataset)
    from pipeline.builds.variants import build
    from reid.results.tables import Run, run_table

    run = Run(home, paper, dataset, device, build, console().print, splits)
    found = run_table(run, number, seeds, row or ())

    def lines() -> None:
        table_of(found["title"], found["rows"])
        console().print(found["note"], markup=False)

    show(found, as_json, lines)


@app.command(rich_help_panel=USE)
def sources(
    experiment: Annotated[
        str | None,
        typer.Argument(
            help="By default each paper's last one on a rendered world.",
            autocompletion=complete_experiment,
        ),
    ] = None,
    seeds: Annotated[int, typer.Option(help="Trainings with each source.", callback=checked)] = 1,
    source: Annotated[
        list[str] | None,
        typer.Option(help="truth, networks or weight-free; may be given again. Default: all."),
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """An experiment with derived data from the truth, from networks, and from no network.

    Example: reid sources hall-mutual
    """
    home = project()
    if experiment:
        check_experiment(home, experiment)
    from pipeline.builds.sources import from_sources
    from reid.results.sources import Comparison, NoSource, compare, of_worlds

    how = Comparison(home, device, from_sources, console().print)
    found = []
    for name in [experiment] if experiment else of_worlds(how.project):
        try:
            found.append(compare(how, name, seeds, source or ()))
        except NoSource as error:
            if experiment:
                raise
            how.say(f"left out: {error}")

    def lines() -> None:
        for one in found:
            table_of(one["title"], one["rows"])
        for note in {one["note"] for one in found}:
            console().print(note, markup=False)

    show(found, as_json, lines)


@app.command(rich_help_panel=USE)
def report() -> None:
    """One self-contained HTML page with pictures, curves, ranked lists and tables of it all.

    Example: reid report
    """
    from reid.project.progress import Meter
    from reid.report.page import write

    with Meter("report"):
        path = write(project())
    console().print(f"report: {path}")
