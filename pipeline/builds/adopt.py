"""Takes what is built as of the code now, where its user knows that an edit changed no result."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from pipeline.engine import code
from pipeline.engine.journal import Journal
from pipeline.engine.run import Plan, run
from reid.project.errors import ReidError
from reid.project.layout import Project


class Adopted(NamedTuple):
    """What was taken over, and which code is another than the one that built it."""

    shards: int
    differences: str


def adopt_build(
    stage: str, build: str, project: Project, make_plan: Callable[..., Plan]
) -> Adopted:
    """Keep the shards of a published build under today's keys; its manifest says so.

    Parameters and inputs must be those that it was built with: `ReidError` where a shard of theirs
    is not among the finished work, and nothing is taken then.
    """
    name, folder = f"{stage} {build}", project.built(stage, build)
    former = code.published(folder)
    if former is None:
        raise ReidError(f"{folder}: nothing is built that tells its code; run `reid {name}`")
    plan = make_plan(stage, build, project, former=former)
    if former.fingerprint == plan.code.fingerprint:
        return Adopted(0, "")
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
    return Adopted(len(plan.tasks), code.differences(former, plan.code))
