"""Takes what is built as of the code now, where its user knows that an edit changed no result."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipeline.engine.journal import Journal
from pipeline.engine.run import Plan, run
from reid.code.published import FILE, as_file, differences
from reid.code.published import published as published_code
from reid.evaluation.trained import description_of
from reid.experiments import Experiment
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, link
from reid.project.publish import keep, publishing
from reid.training.published import kept_of


class Adopted(NamedTuple):
    """What was taken over, in words (empty: nothing had to be), and which code is another now."""

    what: str
    differences: str


def adopt_build(
    stage: str, build: str, project: Project, make_plan: Callable[..., Plan]
) -> Adopted:
    """Keep the shards of a published build under today's keys; its manifest says so.

    Parameters and inputs must be those that it was built with: `ReidError` where a shard of theirs
    is not among the finished work, and nothing is taken then.
    """
    name, folder = f"{stage} {build}", project.built(stage, build)
    former = published_code(folder)
    if former is None:
        raise ReidError(f"{folder}: nothing is built that tells its code; run `reid {name}`")
    plan = make_plan(stage, build, project, former=former)
    if former.fingerprint == plan.code.fingerprint:
        return Adopted("", "")
    journal = Journal(project.work / stage)
    absent = [task.name for task in plan.tasks if journal.outcome(task.former) is None]
    if absent:
        raise ReidError(
            f"{name}: {len(absent)} of {len(plan.tasks)} shards were not built from these "
            f"parameters and inputs, or .work was cleared; nothing is adopted. First: {absent[0]}"
        )
    for task in plan.tasks:
        journal.adopt(task.former, task.key, former.fingerprint)
    run(plan, project, executor="local")
    return Adopted(f"{len(plan.tasks)} shards", differences(former, plan.code))


def adopt_training(experiment: Experiment, project: Project) -> Adopted:
    """Keep a published network under today's key; its experiment.json says so.

    `ReidError` where it is not of these parameters and inputs; it is left as it is then.
    """
    folder, name = project.run(experiment.name) / "train", experiment.name
    former, now = published_code(folder), experiment.code(project)
    if former is None:
        raise ReidError(f"{folder}: no network that tells its code; run `reid train {name}`")
    if former.fingerprint == now.fingerprint:
        return Adopted("", "")
    described = description_of(name, project)
    if described is None or described["key"] != experiment.key(project, former):
        raise ReidError(
            f"{folder}: was not trained with these parameters and inputs; nothing is adopted"
        )
    described |= {
        "key": experiment.key(project, now), "code": now.fingerprint,
        "adopted": described.get("adopted", former.fingerprint),
    }  # fmt: skip
    with publishing(folder, project.publishing / f"train@{name}") as staged:
        for path in sorted(folder.iterdir()):
            link(path, staged / path.name)
        for file, data in {FILE: as_file(now), "experiment.json": as_json(described)}.items():
            (staged / file).unlink()  # the published file, by another name
            (staged / file).write_bytes(data)
        keep(staged, kept_of(project.work / "train" / described["key"]))
    return Adopted("the network", differences(former, now))
