"""The commands that train and evaluate: train, evaluate, score, the papers' tables, the report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.console import (
    Device,
    Json,
    Name,
    PaperName,
    checked,
    console,
    heading,
    short,
    show,
    table,
)
from pipeline.commands.here import project
from pipeline.commands.names import (
    check_dataset,
    check_experiment,
    check_paper,
    complete_experiment,
    complete_paper,
)
from reid.project.errors import ReidError

USE = "Train and evaluate"
app = typer.Typer()


@app.command(rich_help_panel=USE)
def train(
    experiment: Name,
    device: Device = "auto",
    devices: Annotated[
        int, typer.Option(help="How many of them; torchrun says it itself.", callback=checked)
    ] = 1,
    overfit_batch: Annotated[
        bool, typer.Option(help="Only check that one batch can be learnt by heart.")
    ] = False,
) -> None:
    """Train an experiment, or go on where it was stopped.

    Example: reid train street-baseline
    """
    home = project()
    check_experiment(home, experiment)
    from reid import experiments
    from reid.training import train as trainer
    from reid.training.devices import is_first

    loaded = experiments.load(home, experiment)
    if overfit_batch:
        accuracy = trainer.overfit_batch(loaded, home)
        console().print(f"{experiment}: accuracy on one batch {accuracy:.3f}")
        raise typer.Exit(0 if accuracy == 1.0 else 1)

    def say(line: str) -> None:
        console().print(line, markup=False)

    folder = trainer.train(loaded, home, device=device, devices=devices, say=say)
    if not is_first():
        return
    last = (folder / "history.csv").read_text("utf-8").splitlines()
    numbers = zip(last[0].split(","), last[-1].split(","), strict=True)
    shown = [f"{heading(k)} {v if v.isdigit() else short(float(v))}" for k, v in numbers if v]
    console().print(f"{experiment}: {', '.join(shown)}: {folder}")


@app.command(rich_help_panel=USE)
def rehearse(
    experiment: Name,
    steps: Annotated[
        int, typer.Option(help="How many; the first is not timed.", callback=checked)
    ] = 10,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """A few steps, nothing kept: memory, speed, and how long the whole training would take.

    Example: reid rehearse street-baseline
    """
    home = project()
    check_experiment(home, experiment)
    from reid import experiments
    from reid.training.rehearse import rehearse as run

    found = run(experiments.load(home, experiment), home, steps=steps, device=device)

    def lines() -> None:
        console().print(
            f"{experiment} on {found['device']}, {found['precision']}, {found['steps']} steps of "
            f"{found['batch']:g} images: {found['images_per_second']:.1f} images/s, waiting for "
            f"data {100 * found['waited_share']:.1f} %, memory {found['memory_gb']:.2f} GB; "
            f"{found['hours_per_epoch']:.3f} hours per epoch, {found['hours']:.2f} hours for "
            f"{found['epochs']} epochs"
        )

    show(found, as_json, lines)


@app.command(rich_help_panel=USE)
def evaluate(
    experiment: Name,
    dataset: Annotated[
        str | None, typer.Option(help="Another data set than its own: a cross-domain test.")
    ] = None,
    protocol: Annotated[
        str | None, typer.Option(help="Another rule of the data set by name, such as classic-01.")
    ] = None,
    device: Device = "auto",
    as_json: Json = False,
) -> None:
    """Features, CMC and mAP of a trained experiment by a rule of its data set.

    Example: reid evaluate street-baseline
    """
    home = project()
    check_experiment(home, experiment)
    check_dataset(home, dataset)
    from reid import experiments
    from reid.evaluation.evaluate import evaluate as run

    loaded = experiments.load(home, experiment)
    found = run(loaded, home, device=device, dataset=dataset, protocol=protocol)
    show(found, as_json, lambda: _metrics(experiment, found))


@app.command(rich_help_panel=USE)
def pretrain(
    paper: Annotated[
        str, typer.Argument(help="A paper that has a pretraining.", autocompletion=complete_paper)
    ],
    root: Annotated[Path, typer.Option(help="Images in one folder a class, such as ImageNet.")],
    epochs: Annotated[int | None, typer.Option(help="The paper's own number by default.")] = None,
    dataset: Annotated[
        str, typer.Option(help="Whose scale in params.yaml; the paper's size by default.")
    ] = "",
    device: Device = "auto",
) -> None:
    """Pretrain a paper's network on classified images; its weights feed `weights:`.

    Example: reid pretrain attention_driven --root imagenet/train
    """
    check_paper(paper)
    from reid.experiments import network_params
    from reid.papers import paper_of
    from reid.training import pretrain as pretraining

    home, chosen = project(), paper_of(paper)
    recipe = pretraining.pretraining_of(chosen).recipe
    if epochs is not None:
        recipe = recipe.model_copy(update={"epochs": epochs})
    params = network_params(home, paper, dataset)
    folder = pretraining.pretrain(home, root, chosen, params, recipe, device)
    console().print(f"weights: {folder / 'weights.pt'}")


def _metrics(title: str, found: dict[str, Any]) -> None:
    wanted = ("map", "minp", "chance_rank1")
    names = [n for n in found if n in wanted or (n.startswith("rank") and n[4:].isdigit())]
    names = [n for n in names if found[n] is not None]
    table(title, names, [[f"{100 * found[n]:.2f}" for n in names]])
    console().print(
        f"{found['queries']:,} queries, {found['queries_without_match']} more without a match; "
        f"gallery {found['gallery']:,}; AP rule {found['average_precision']}, "
        f"excluded {found['exclude']}, distance {found['distance']}"
    )


@app.command(rich_help_panel=USE)
def score(
    features: Annotated[Path, typer.Argument(help="Parquet or .npz; see docs/formats.md.")],
    protocol: Annotated[str, typer.Option(help="A rule by name.")] = "market1501",
    distance: Annotated[str, typer.Option(help="cosine or euclidean.")] = "cosine",
    average_tracklets: Annotated[
        bool, typer.Option(help="Average the features of each tracklet first.")
    ] = False,
    pool: Annotated[
        str | None, typer.Option(help="Multi-query: mean or max of a person's queries in a camera.")
    ] = None,
    rerank: Annotated[bool, typer.Option(help="k-reciprocal re-ranking.")] = False,
    draw: Annotated[
        str, typer.Option(help="Single gallery shot: expected, shared or per_query.")
    ] = "expected",
    repeats: Annotated[
        int, typer.Option(help="Draws of shared and per_query.", callback=checked)
    ] = 100,
    as_json: Json = False,
) -> None:
    """Score anyone's features: CMC, mAP by both rules, mINP.

    Example: reid score features.parquet --protocol market1501
    """
    from typing import cast, get_args

    from reid.evaluation.distances import Distance
    from reid.evaluation.pooling import Pool
    from reid.evaluation.score import Options
    from reid.evaluation.score import score as run
    from reid.evaluation.single_shot_curves import Draw, Sampling

    choices = {"distance": Distance, "pool": Pool, "draw": Draw}
    for name, value in {"distance": distance, "pool": pool, "draw": draw}.items():
        known = get_args(choices[name])
        if value is not None and value not in known:
            raise ReidError(f"--{name}: `{value}` is none of {', '.join(known)}")
    sampling = Sampling(cast(Any, draw), repeats)
    options = Options(average_tracklets, cast(Any, pool), rerank, sampling)
    found = run(features, protocol, cast(Any, distance), options)
    show(found, as_json, lambda: _metrics(str(features), found))


@app.command(rich_help_panel=USE)
def summary(
    paper: PaperName,
    as_json: Json = False,
) -> None:
    """Parameters and multiply-adds of a paper's network, beside what the paper prints.

    Example: reid summary attention_driven
    """
    check_paper(paper)
    from reid.results.network_cost import paper_summary

    found = paper_summary(paper)

    def lines() -> None:
        for title, rows in found.items():
            columns = list(rows[0])
            table(title, columns, [[row[c] for c in columns] for row in rows])

    show(found, as_json, lines)


@app.command(rich_help_panel=USE)
def tables(as_json: Json = False) -> None:
    """All evaluated experiments of params.yaml beside the papers' own numbers.

    Example: reid tables
    """
    from reid.results.made_with import made_with
    from reid.results.tables import evaluated

    found = evaluated(project())

    def lines() -> None:
        for title, rows in found.items():
            columns = list(rows[0])
            table(title, columns, [[row[c] for c in columns] for row in rows])
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
        columns = list(found["rows"][0])
        table(found["title"], columns, [[row[c] for c in columns] for row in found["rows"]])
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
            columns = list(one["rows"][0])
            table(one["title"], columns, [[row[c] for c in columns] for row in one["rows"]])
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


@app.command("convert-caffe", rich_help_panel=USE)
def convert_caffe(
    source: Annotated[Path, typer.Argument(help="bvlc_reference_caffenet.caffemodel")],
    target: Annotated[Path, typer.Argument(help="A .safetensors file.")],
) -> None:
    """CaffeNet's published weights as safetensors; `weights:` takes either file.

    Example: reid convert-caffe bvlc_reference_caffenet.caffemodel caffenet.safetensors
    """
    from reid.nn.caffe_weights import convert

    state = convert(source, target)
    values = sum(tensor.numel() for tensor in state.values())
    console().print(f"{len(state)} tensors, {values:,} values: {target}", markup=False)
