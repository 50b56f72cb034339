"""The commands that build data: worlds, `reid add`, ingest, and one per derived stage."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipeline.commands.console import (
    Address,
    Batch,
    Dataset,
    Device,
    Executor,
    Repair,
    Workers,
    console,
    table,
)
from pipeline.commands.here import project
from pipeline.commands.names import check_build, check_experiment, complete_removable
from pipeline.stages import STAGES
from pipeline.stages import stage as find_stage
from reid.project.errors import ReidError

if TYPE_CHECKING:
    from pipeline.engine.run import Finished, Plan
    from reid.code.fingerprint import Code
    from reid.project.layout import Project

BUILD = "Build data"
app = typer.Typer()


def make_plan(
    stage: str, dataset: str, home: Project, device: str = "auto", former: Code | None = None
) -> Plan:
    """The engine's plan of any stage, from params.yaml; with keys under the `former` code too."""
    from pipeline.engine.plan import plan
    from reid.project import params

    loaded = params.load(home.root)
    if stage == "ingest":
        from pipeline.stages import ingest

        return ingest.plan(
            dataset, params.stage_params(loaded, "ingest", dataset, ingest.Params), home, former
        )
    of = find_stage(stage)
    checked = params.stage_params(loaded, stage, dataset, of.params)
    if device.startswith("cuda") and of.needs_device(checked):
        from reid.nn.device import device_of

        device_of(device)  # says so where there is none
    return plan(of, dataset, checked, home, device, former)


def run_stage(
    stage: str, dataset: str, executor: str | None, workers: int | None, device: str, repair: bool,
    address: str | None = None,
) -> Finished:  # fmt: skip
    """Plan and run one stage over one data set, and say what was done."""
    from pipeline.engine import run as engine
    from pipeline.engine.executors import choose as executors
    from reid.code.published import differences
    from reid.code.published import published as published_code
    from reid.project import params

    home = project()
    settings = params.section(params.load(home.root), "run")
    planned = make_plan(stage, dataset, home, device)
    before = published_code(home.built(stage, dataset))
    if (told := differences(before, planned.code)) and engine.missing(planned, home):
        console().print(f"{stage} {dataset}: {told}", markup=False)
    finished = engine.run(
        planned,
        home,
        executor=executors.of_settings(settings, executor, address),
        workers=settings.get("workers", 0) if workers is None else workers,
        repair=repair,
    )
    state = "published" if finished.published else "unchanged"
    listed = f" ({finished.folder}/rejects.parquet says why)" if finished.rejects else ""
    console().print(
        f"{stage} {dataset}: {finished.rows:,} rows, {finished.rejects:,} rejects{listed}, "
        f"{finished.computed} shards computed, {finished.reused} reused, {state}: {finished.folder}"
    )
    return finished


@app.command(rich_help_panel=BUILD)
def world(name: Dataset, workers: Workers = None) -> None:
    """Render a world with ground truth, in a data set's official layout.

    Example: reid world street
    """
    from pipeline.builds.scan import scan as scan_folder
    from pipeline.world import build
    from pipeline.world.scenes import scenes
    from reid.project import params
    from reid.project.locks import lock
    from reid.project.progress import Meter

    home = project()
    layout, scene = scenes.of_world(params.load(home.root), name)
    with (
        lock(home.work / "locks" / f"world-{name}", f"world {name}"),
        Meter(f"world {name}", unit="passes"),
    ):
        counts = build.build_world(name, scene, layout, home.raw(name).parent, workers or 0)
        scan_folder(home, name)
    shown = ", ".join(f"{count:,} {what}" for what, count in counts.items())
    console().print(f"world {name}: {shown}: {home.raw(name)}")


@app.command(rich_help_panel=BUILD)
def add(
    reader: Annotated[str, typer.Argument(help="The data set's reader; see `reid datasets`.")],
    root: Annotated[Path, typer.Option(help="The downloaded folder; it is linked, not copied.")],
    name: Annotated[
        str, typer.Option(help="Its name here; by default the reader's, of a folder `mine`.")
    ] = "",
    joints: Annotated[str, typer.Option(help="Backend of the joints stage.")] = "mmpose",
    split: Annotated[
        float | None,
        typer.Option(help="Of a folder without roles: the share of the persons that train."),
    ] = None,
    small: Annotated[
        bool,
        typer.Option(help="Only a small network from scratch: minutes on a CPU, no download."),
    ] = False,
    only: Annotated[
        bool, typer.Option(help="Take the rendered worlds out: `dvc repro` builds none of them.")
    ] = False,
) -> None:
    """Add a real data set: link it, and write it, its stages and experiments into params.yaml.

    It ends with the next command. With --split a folder of person/camera_frame.jpg needs no file of
    labels: of the persons that do not train, one image of each person and camera is a query, drawn
    by a seed, and the rest are the gallery.

    Example: reid add market1501 --root ~/Market-1501-v15.09.15
    """
    if split is not None and not 0 < split < 1:
        raise ReidError(f"--split: {split:g}, must be between 0 and 1")
    from pipeline.builds.add_dataset import add as add_dataset

    source = root.resolve()
    home, own = project(), {"folder": "mine"}.get(reader, reader)
    lines = add_dataset(
        home.root, name or own, reader, source,
        joints_backend=joints, split=split, small=small, only=only,
    )  # fmt: skip
    for line in lines:
        console().print(line, markup=False)


@app.command(rich_help_panel=BUILD)
def remove(
    names: Annotated[
        list[str],
        typer.Argument(
            help="Data sets, experiments, or builds such as parts/street.",
            autocompletion=complete_removable,
        ),
    ],
) -> None:
    """Take data sets or experiments out of params.yaml; says what stays on disk.

    With a data set go the builds and experiments that are named after it. Refused where something
    else reads what would go.

    Example: reid remove street mall
    """
    from pipeline.builds.remove import remove as remove_entries

    for line in remove_entries(project().root, names):
        console().print(line, markup=False)


@app.command(rich_help_panel=BUILD)
def adopt(
    stage: Annotated[str, typer.Argument(help="A stage, such as masks; train for a network.")],
    build: Annotated[str, typer.Argument(help="A build of it; an experiment after train.")],
) -> None:
    """Keep what is built, though its code was edited: you know that the edit changes no result.

    Example: reid adopt masks mall
    """
    from pipeline.builds.adopt import adopt_build, adopt_training

    home = project()
    if stage == "train":
        check_experiment(home, build)
        from reid import experiments

        adopted = adopt_training(experiments.load(home, build), home)
    else:
        check_build(home, stage, build, also=("train",))
        adopted = adopt_build(stage, build, home, make_plan)
    told = f"{adopted.what} kept; {adopted.differences}" if adopted.what else "is of this code"
    console().print(f"{stage} {build}: {told}", markup=False)


@app.command(rich_help_panel=BUILD)
def scan(
    dataset: Dataset,
    quick: Annotated[
        bool,
        typer.Option(
            help="Look only into folders whose list of names changed: images that were rewritten "
            "in place are not seen."
        ),
    ] = False,
) -> None:
    """Write the digest of a raw folder: what DVC watches instead of its files.

    Example: reid scan street
    """
    from pipeline.builds.scan import UNSEEN
    from pipeline.builds.scan import scan as scan_folder

    counted = scan_folder(project(), dataset, quick=quick)
    console().print(f"data/0-raw/{dataset}.json: {counted['files']:,} files; {UNSEEN}")


@app.command(rich_help_panel=BUILD)
def ingest(
    dataset: Dataset,
    executor: Executor = None,
    address: Address = None,
    workers: Workers = None,
    repair: Repair = False,
) -> None:
    """Raw images and labels to shards.

    Example: reid ingest street
    """
    run_stage("ingest", dataset, executor, workers, "cpu", repair, address)
    from pipeline.datasets.base import counts_table
    from reid.shards.protocol import protocols_of

    home = project()
    told = protocols_of(home.shards(dataset))
    for note in told.get("notes", []):
        console().print(f"ingest {dataset}: {note}")
    published = told["protocols"][0].get("published", {}) if told["protocols"] else {}
    rows = counts_table(published, told.get("found", {}))
    if any(row[3] for row in rows):
        shown = [[n, p, f, "differs" if differs else ""] for n, p, f, differs in rows]
        table("published and found counts", ["count", "published", "found", ""], shown)


def _stage_command(stage: str) -> Callable[..., None]:
    def command(
        dataset: Dataset,
        executor: Executor = None,
        address: Address = None,
        workers: Workers = None,
        device: Device = "auto",
        repair: Repair = False,
    ) -> None:
        run_stage(stage, dataset, executor, workers, device, repair, address)
        _say_notes(stage, dataset)

    return command


def _say_notes(stage: str, dataset: str) -> None:
    """What a stage tells of a finished build, and the given labels that belong to no image."""
    from reid.project import params
    from reid.shards.folder import Shards

    of, home = find_stage(stage), project()
    if of.notes is None and of.unmatched is None:
        return
    checked = params.stage_params(params.load(home.root), stage, dataset, of.params)
    rows = Shards(home.shards(checked.dataset or dataset))
    for note in of.notes(checked, rows, home.built(stage, dataset)) if of.notes else ():
        console().print(f"{stage} {dataset}: {note}", markup=False)
    if of.unmatched is None:
        return
    found = of.unmatched(checked, rows.scalars(["image_id"])["image_id"].to_pylist())
    if found:
        few = ", ".join(str(name) for name in found[:3])
        console().print(f"{len(found)} given labels belong to no image: {few} ...", markup=False)


def _network_command(stage: str) -> Callable[..., None]:
    run = _stage_command(stage)

    def command(
        dataset: Dataset, executor: Executor = None, address: Address = None,
        workers: Workers = None, device: Device = "auto", repair: Repair = False, batch: Batch = "",
    ) -> None:  # fmt: skip
        if batch:
            from pipeline.builds import batch_size

            found = batch_size.auto(
                batch, stage, dataset, project(), device=device, executor=executor,
                workers=workers, say=lambda line: console().print(line, markup=False),
            )  # fmt: skip
            table(f"{stage} {dataset}", ["batch", "images/s", ""], found.rows())
            return
        run(dataset, executor, address, workers, device, repair)

    return command


for _name, _listed in STAGES.items():
    _help = f"{_listed.summary}\n\nExample: reid {_name} {_listed.example}"
    _make = _network_command if _listed.network else _stage_command
    app.command(_name, help=_help, rich_help_panel=BUILD)(_make(_name))
