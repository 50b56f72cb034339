"""The command that tests what the papers claim."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Collection
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.build import run_stage, world
from pipeline.commands.console import Device, Json, checked, console, show, table_of
from pipeline.commands.here import project
from pipeline.commands.names import check_dataset, check_paper, complete_paper
from pipeline.stages import STAGES

if TYPE_CHECKING:
    from pipeline.world.crowd import Scene
    from reid.project.layout import Project

app = typer.Typer()


@app.command(rich_help_panel="Train and evaluate")
def claims(
    papers: Annotated[
        list[str] | None,
        typer.Argument(
            help="By default all that have a data set below `scale` in params.yaml.",
            autocompletion=complete_paper,
        ),
    ] = None,
    dataset: Annotated[
        str | None, typer.Option(help="By default the first below the paper's `scale`.")
    ] = None,
    claim: Annotated[
        list[str] | None, typer.Option(help="Only this claim, by its name; may be given again.")
    ] = None,
    trainings: Annotated[
        int,
        typer.Option(
            help="Of each row: so many seeds, or random splits where the data set has such.",
            callback=checked,
        ),
    ] = 3,
    build: Annotated[
        bool, typer.Option("--build", help="First the data of these claims, their worlds too.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Only say what is to be trained, and how long it takes.")
    ] = False,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Whether trainings here show what the papers claim: two rows that differ in one thing each.

    Example: reid claims attention_driven --trainings 4
    """
    home = project()
    for name in papers or ():
        check_paper(name)
    check_dataset(home, dataset)
    from reid.results import claims as results
    from reid.results import claims_shown as texts
    from reid.results.tables import Run
    from reid.results.training_time import rehearsed_seconds, work

    def say(line: str) -> None:
        if not as_json:
            console().print(line, markup=False)

    on = {
        paper: dataset or results.dataset_of(home, paper)
        for paper in results.papers_of(home, papers or (), claim or ())
    }
    if build:
        with contextlib.redirect_stdout(sys.stderr if as_json else sys.stdout):
            _build(home, set(on.values()))
    from pipeline.builds.variants import build as build_stage

    each = [
        results.asked(Run(home, paper, tested_on, device, build_stage, say), trainings, claim or ())
        for paper, tested_on in on.items()
    ]
    experiments = [experiment for one in each for experiment in one.experiments]
    say(f"claims: {work(home, experiments, rehearsed_seconds(home, device)).told()}")
    for one in () if plan else results.train(each):
        texts.write(one)
    found = {one.run.paper: results.claim_rows(one) for one in each}

    def shown() -> None:
        for rows in found.values():
            table_of(texts.title(rows[0]), texts.lines(rows))
        console().print(texts.RULE, markup=False)

    show([texts.as_object(row) for rows in found.values() for row in rows], as_json, shown)


def _build(home: Project, datasets: Collection[str]) -> None:
    """Render the worlds of these data sets, where they are not as they are said; run all stages."""
    from pipeline.world.scenes.scenes import of_world
    from reid.project import params
    from reid.project.layout import write_atomically

    loaded = params.load(home.root)
    first = {params.ingested(loaded, name) for name in datasets}
    worlds = [name for name in params.section(loaded, "world", "on") if name in first]
    for name in worlds:
        key, kept = _key(*of_world(loaded, name)), home.work / "worlds" / name
        there = home.digest(name).is_file() and kept.is_file()
        if not there or kept.read_text("utf-8") != key:
            world(name, params.section(loaded, "run").get("workers", 0))
            write_atomically(kept, key.encode())
    for stage in ("ingest", *STAGES):
        for name in params.section(loaded, stage, "on"):
            if params.ingested(loaded, params.dataset_of(loaded, stage, name)) in first:
                run_stage(stage, name, None, None, "auto", repair=False)


def _key(layout: str, scene: Scene) -> str:
    """What decides a rendered world, its code too."""
    from reid.code.fingerprint import Start, of
    from reid.project.layout import key_of

    module = type(scene).__module__
    readers = "pipeline.datasets:READERS"
    code = of(Start((module, readers), {readers: (layout,)})).fingerprint
    return key_of([layout, module, scene.model_dump(), code])
