"""How much the derived data matters: one training with each source of what it reads.

`reid sources` trains an experiment of params.yaml, over several seeds, with joints, masks, crops or
flow from the truth of its rendered world, from the networks fitted to such worlds, and from what
needs no network. The parameters of the training are the experiment's, and nothing is trained again
that is there already. Images that a source finds nobody in are left out, of the test too: how many
queries remain stands beside the result.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from reid import experiments
from reid.experiments import Experiment
from reid.papers import PAPERS
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, write_atomically
from reid.results import evaluated
from reid.results import tables as results
from reid.results.made_with import made_with

SHOWN = ("r1", "mAP")
HEADLINES = ("pck_all", "iou_all", "epe")  # of a stage's accuracy: the first of these it has
OF_THE_DATA = ("dataset", "rows", "builds")  # not of the training
NOTE = (
    "All else is equal: the experiment's own parameters. A row's queries are those that its source "
    "found somebody in; accuracy, where `reid accuracy` has measured it: pck_all is the share of "
    "joints that are near, iou_all the mean overlap, epe the mean error of flow in pixels."
)


class Chain(Protocol):
    """What an experiment reads, from one source."""

    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def dataset(self) -> str: ...
    @property
    def builds(self) -> dict[str, str]: ...
    @property
    def found(self) -> dict[str, str]: ...


@dataclass(frozen=True)
class Comparison:
    """How experiments are trained and evaluated with data from several sources."""

    project: Project
    device: str
    # Builds what an experiment reads, by data set and builds, from each kind of source.
    chains: Callable[[Project, str, Mapping[str, str], Collection[str]], Sequence[Chain]]
    say: Callable[[str], None]


class NoSource(ReidError):
    """What an experiment reads does not come from any of the kinds of sources asked for."""


def compare(how: Comparison, name: str, seeds: int, kinds: Collection[str] = ()) -> dict[str, Any]:
    """Train and evaluate what is missing of an experiment with each source; a row for each.

    With `kinds` of sources no others than these. A result is the mean and spread over `seeds`. Also
    written to 4-reports/tables as JSON, CSV and Markdown. `NoSource` where none is of `kinds`.
    """
    project, experiment = how.project, experiments.load(how.project, name)
    dataset, builds = experiment.params.dataset, read_builds(experiment)
    if not builds:
        raise ReidError(f"{name}: reads no derived data, so no source of it makes a difference")
    chains = how.chains(project, dataset, builds, kinds)
    if not chains:
        raise NoSource(f"{name}: what it reads has no source {' or '.join(kinds)}")
    found = {
        "title": f"{experiment.paper.name}, {name}: {' and '.join(chains[0].found)} from several "
        f"sources. On {dataset}, {seeds} seed{'s' if seeds > 1 else ''}",
        "rows": [_line(how, experiment, chain, seeds) for chain in chains],
        "note": f"{NOTE} {made_with()}",
    }
    stem = f"sources-{experiment.paper.name}-{dataset.replace('/', '-')}"
    texts = {
        "json": as_json(found),
        "md": results.markdown(found),
        "csv": results.comma_separated(found),
    }
    for ending, text in texts.items():
        path = project.reports / "tables" / f"{stem}.{ending}"
        write_atomically(path, text, project.publishing)
    return found


def of_worlds(project: Project) -> list[str]:
    """The last experiment of each paper that reads derived data of a rendered world."""
    loaded = params.load(project.root)
    found = {}
    for paper in PAPERS:
        for name in params.section(loaded, paper, "on"):
            experiment = experiments.load(project, name)
            if read_builds(experiment) and _is_of_world(project, experiment.params.dataset):
                found[paper] = name
    if not found:
        raise ReidError(
            "params.yaml: no experiment reads derived data of a rendered world; the truth is known "
            "of rendered worlds alone (`reid world`)"
        )
    return list(found.values())


def read_builds(experiment: Experiment) -> dict[str, str]:
    """By stage the builds whose columns an experiment reads, in its training or its test."""
    stages = [*experiment.stages, *experiment.paper.training_stages(experiment.params)]
    own = experiment.params.dataset
    return {stage: experiment.params.builds.get(stage, own) for stage in stages}


def _is_of_world(project: Project, dataset: str) -> bool:
    of_world = params.ingested(params.load(project.root), dataset)
    return project.raw(f"{of_world}.truth").is_dir()


def _line(how: Comparison, experiment: Experiment, chain: Chain, seeds: int) -> dict[str, Any]:
    """The row of one source."""
    found = [_result(how, experiment, chain, seed) for seed in range(seeds)]
    near = [_accuracy(how.project, stage, build) for stage, build in chain.found.items()]
    return {
        "source": _source(chain),
        "builds": ", ".join(f"{stage} {build}" for stage, build in chain.found.items()),
        **{m: evaluated.spread([evaluated.measured(r, m) for r in found]) for m in SHOWN},
        "queries": found[0]["queries"],
        "gallery": found[0]["gallery"],
        "accuracy": ", ".join(number for number in near if number),
    }


def _source(chain: Chain) -> str:
    return chain.kind if chain.kind == chain.name else f"{chain.kind}: {chain.name}"


def _result(how: Comparison, own: Experiment, chain: Chain, seed: int) -> dict[str, Any]:
    """The metrics of one training, trained and evaluated where that is not done yet."""
    builds = {**own.params.builds, **chain.builds}
    values = {**_training(how.project, own), "builds": builds, "seed": seed}
    varied = experiments.variant(how.project, own.paper.name, chain.dataset, values)
    for done in (own, varied):
        found = evaluated.metrics_of(how.project, done)
        if found is not None and done.described() == varied.described():
            return found
    from reid.evaluation.evaluate import evaluate
    from reid.training.train import train

    how.say(f"{varied.name}: {own.name}, {_source(chain)}, seed {seed}")
    train(varied, how.project, device=how.device)
    return evaluate(varied, how.project, device=how.device)


def _training(project: Project, experiment: Experiment) -> dict[str, Any]:
    """An experiment's parameters as params.yaml has them, without what says which data it reads.

    What holds on its data set is among them: from another source that may have another name.
    """
    loaded, paper = params.load(project.root), experiment.paper.name
    sections = (("with",), ("scale", experiment.params.dataset), ("on", experiment.name))
    values = [params.section(loaded, paper, *names) for names in sections]
    return {k: v for part in values for k, v in part.items() if k not in OF_THE_DATA}


def _accuracy(project: Project, stage: str, build: str) -> str:
    """The main number of a build's measured accuracy; nothing where it is not measured."""
    path = project.reports / "accuracy" / f"{stage}-{build}.json"
    try:
        found = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        hint = f"reid accuracy {stage} {build}"
        raise ReidError(f"{path}: cannot be read ({error}); run `{hint}`") from None
    if found.get("truth_itself"):
        return "the truth itself"
    numbers = found.get("numbers", found)
    return next((f"{n} {numbers[n]:.3f}" for n in HEADLINES if numbers.get(n) is not None), "")
