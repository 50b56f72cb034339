"""The commands that evaluate: a trained experiment, and anyone's features."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.commands.console import USE, Device, Json, Name, checked, console, show, table
from pipeline.commands.here import project
from pipeline.commands.names import check_dataset, check_experiment
from reid.project.errors import ReidError

app = typer.Typer()


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


def _metrics(title: str, found: dict[str, Any]) -> None:
    ranks = sorted(int(n[4:]) for n in found if n.startswith("rank") and n[4:].isdigit())
    names = [*(f"rank{rank}" for rank in ranks), "map", "minp", "chance_rank1"]
    names = [n for n in names if found.get(n) is not None]
    table(title, names, [[f"{100 * found[n]:.2f}" for n in names]])
    console().print(
        f"{found['queries']:,} queries, {found['queries_without_match']} more without a match; "
        f"gallery {found['gallery']:,}; AP rule {found['average_precision']}, "
        f"excluded {found['exclude']}, distance {found['distance']}"
    )
