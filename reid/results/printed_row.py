"""What the paper prints beside an experiment: the numbers of the very same row, or none.

On a data set of the paper's an experiment is a printed row where its data set and its rule are the
row's, and every parameter is the row's or, where the row does not name it, the paper's default.
What the paper leaves open (`Paper.left_open`) may be chosen. On a rendered world, whose numbers
compare with no photographs', size and schedule (`Paper.scale`) may differ too, and the data set
and its rule do.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from reid.experiments import Experiment
from reid.papers.contract import Paper
from reid.papers.table import Printed, Row
from reid.project import params
from reid.project.layout import Project, builder_of
from reid.shards.manifest import manifest_of
from reid.shards.protocol import protocols_of

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class EvaluatedOn:
    """What a data set is to a paper: whose layout it has, what it was made by, its first rule."""

    reader: str = ""
    made_by: str = ""  # the stage that made it of the reader's, '': it is the reader's own
    world: bool = False  # rendered
    first_rule: str = ""


@dataclass(frozen=True)
class Beside:
    """The printed rows of one experiment: names as `6: Inter`, numbers by data set and metric."""

    rows: tuple[str, ...] = ()
    numbers: Printed = field(default_factory=dict[str, Mapping[str, float]])


def beside(project: Project, experiment: Experiment, only: Collection[int | str] = ()) -> Beside:
    """What the paper prints of an experiment on the data as built, of all tables or `only`."""
    on = evaluated_on(project, experiment.params.dataset)
    return printed_row(experiment, on, builds_of(project, experiment), only)


def evaluated_on(project: Project, dataset: str) -> EvaluatedOn:
    """What a built data set is, by params.yaml and by the manifests of the stages that made it."""
    loaded, origin, stages = params.load(project.root), dataset, []
    while "/" in origin:
        stages.append(origin.split("/")[0])
        origin = str(manifest_of(project.shards(origin), builder_of(origin))["dataset"])
    truth = project.raw(f"{origin}.truth").is_dir()
    return EvaluatedOn(
        reader=params.section(loaded, "ingest", "on", origin).get("reader", ""),
        made_by="/".join(stages),
        world=truth or origin in params.section(loaded, "world", "on"),
        first_rule=_first_rule(project, dataset),
    )


def _first_rule(project: Project, dataset: str) -> str:
    protocols = protocols_of(project.shards(dataset))["protocols"]
    return str(protocols[0].get("name", "")) if protocols else ""


def builds_of(project: Project, experiment: Experiment) -> dict[str, Parameters]:
    """The parameters of the builds that an experiment reads, by stage, as their manifests say."""
    chosen, own = experiment.params.builds, experiment.params.dataset
    names = {stage: chosen.get(stage, own) for stage in _read(experiment)}
    return {
        stage: manifest_of(project.derived(stage, name), f"reid {stage} {name}")["parameters"]
        for stage, name in names.items()
    }


def printed_row(
    experiment: Experiment, on: EvaluatedOn, builds: Mapping[str, Parameters],
    only: Collection[int | str] = (),
) -> Beside:  # fmt: skip
    """The rows, of `only` these tables of the paper or all, that an experiment is.

    `builds` has the parameters of the stages' builds that it reads. On a rendered world numbers of
    all data sets, else of its own. Where tables print two numbers of one row, the first counts.
    """
    names: list[str] = []
    numbers: dict[str, dict[str, float]] = {}
    for number, table in experiment.paper.tables.items():
        for row in table.rows if not only or number in only else ():
            for dataset in matching(row, experiment, on, builds):
                for metric, value in row.printed[dataset].items():
                    numbers.setdefault(dataset, {}).setdefault(metric, value)
                name = f"{number}: {row.name}"
                names += [] if name in names else [name]
    return Beside(tuple(names), numbers)


def matching(
    row: Row, experiment: Experiment, on: EvaluatedOn, builds: Mapping[str, Parameters]
) -> Iterator[str]:
    """The data sets for which a row prints numbers of what the experiment is."""
    paper = experiment.paper
    if row.overrides is None or experiment.params.val_identities:
        return
    if on.made_by != ("" if row.of_source else paper.made_by.get(on.reader, "")):
        return
    if not all(
        _same_build(paper, row, stage, builds.get(stage, {}), world=on.world)
        for stage in _read(experiment)
    ):
        return
    for dataset in row.printed:
        here = on.world or (dataset == on.reader and _same_rule(experiment, on))
        if here and _same_parameters(experiment, row.parameters(dataset), world=on.world):
            yield dataset


def _read(experiment: Experiment) -> list[str]:
    """The stages that an experiment reads, in its test and its training."""
    return [*experiment.stages, *experiment.paper.training_stages(experiment.params)]


def _same_rule(experiment: Experiment, on: EvaluatedOn) -> bool:
    wanted = experiment.paper.protocols.get(on.reader, on.first_rule)
    return fnmatchcase(experiment.params.protocol or on.first_rule, wanted)


def _same_build(
    paper: Paper[Any, Any], row: Row, stage: str, has: Parameters, *, world: bool
) -> bool:
    wanted = {**paper.built.get(stage, {}), **row.stages.get(stage, {})}
    free = {name for name in wanted if world and f"{stage}.{name}" in paper.scale}
    return all(
        name in free or (name in has and _equal(has[name], value)) for name, value in wanted.items()
    )


def _equal(one: Any, other: Any) -> bool:
    """Whether parameters are equal; numbers as far as params.yaml writes them."""
    if isinstance(one, float) and isinstance(other, (int, float)):
        return math.isclose(one, other, rel_tol=1e-5)
    return bool(one == other)


def _same_parameters(experiment: Experiment, named: Parameters, *, world: bool) -> bool:
    paper, has = experiment.paper, experiment.params
    wanted = paper.params.model_validate(dict(named))
    for name in paper.params.model_fields:
        value, other = getattr(has, name), getattr(wanted, name)
        chosen = name in paper.left_open and value != ""
        may_differ = name not in named and (chosen or (world and name in paper.scale))
        if not (may_differ or _equal(value, other)):
            return False
    return True
