"""A stage built once more over a data set, with other parameters than params.yaml has for it.

Writes  2-derived/<stage>/<dataset>~<parameter>-<value>, beside the data set's own build; or a build
        that params.yaml has already with these very parameters
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.core import engine, params
from pipeline.core import stage as stages
from pipeline.core.errors import ReidError
from pipeline.core.project import Project
from pipeline.derive import STAGES


def build(project: Project, stage: str, dataset: str, overrides: Mapping[str, Any]) -> str:
    """Build `stage` over `dataset` with `overrides`; the build's name. Done before: nothing to do.

    What params.yaml says of the data set's own build holds where it is not overridden.
    """
    if stage not in STAGES:
        raise ReidError(f"no stage `{stage}` (there are {', '.join(STAGES)})")
    loaded = params.load(project.root)
    model = stages.module(stage).Params
    own = params.stage_params(loaded, stage, dataset, model)
    checked = params.check(model, {**own.model_dump(), **overrides, "dataset": dataset}, stage)
    name = name_of(dataset, overrides)
    for other in params.section(loaded, stage, "on"):
        found = params.stage_params(loaded, stage, other, model)
        if found.model_copy(update={"dataset": found.dataset or other}) == checked:
            name = other
    settings = params.section(loaded, "run")
    engine.run(
        stages.plan(stage, name, checked, project, "auto"),
        project,
        executor=settings.get("executor", "pool"),
        workers=settings.get("workers", 0),
    )
    return name


def name_of(dataset: str, overrides: Mapping[str, Any]) -> str:
    """Such as `street~beta-0.0625`: numbers to six digits."""
    shown = (f"{k}-{v:.6g}" if isinstance(v, float) else f"{k}-{v}" for k, v in overrides.items())
    return "~".join([dataset, *shown])
