"""A stage built once more over a data set, with other parameters than params.yaml has for it.

Writes  2-derived/<stage>/<build>~<parameter>-<value>, beside the build that it differs from; or a
        build that params.yaml has already with these very parameters
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.engine import run as engine
from pipeline.engine.executors import choose as executors
from pipeline.engine.plan import plan
from pipeline.stages import stage as find_stage
from reid.project import params
from reid.project.layout import Project, key_of
from reid.project.params import DerivedParams

LONGEST = 120  # letters of a build's name; a file system takes 255 with what is added to it
UNSAFE = re.compile(r"[^\w.+~-]+", re.ASCII)  # not for the name of a file


def build(
    project: Project, stage: str, dataset: str, overrides: Mapping[str, Any],
    *, like: str = "", label: str = "",
) -> str:  # fmt: skip
    """Build `stage` over `dataset` with `overrides`; the build's name. Done before: nothing to do.

    What params.yaml says of the build `like`, by default the data set's own, holds where it is not
    overridden. A new build is called after `like` and `label`, by default the overrides.
    """
    of, like, loaded = find_stage(stage), like or dataset, params.load(project.root)
    own = params.stage_params(loaded, stage, like, of.params)
    values = {**own.model_dump(exclude={"rows"}), **overrides, "dataset": dataset}
    checked = params.check(of.params, values, stage)
    name = _in_params_yaml(loaded, stage, checked) or name_of(like, label or overrides)
    settings = params.section(loaded, "run")
    engine.run(
        plan(of, name, checked, project, "auto"),
        project,
        executor=executors.of_settings(settings),
        workers=settings.get("workers", 0),
    )
    return name


def _in_params_yaml(loaded: Mapping[str, Any], stage: str, wanted: DerivedParams) -> str:
    """The first build of a stage in params.yaml that has these parameters; '' for none."""
    for name in params.section(loaded, stage, "on"):
        if _told(params.stage_params(loaded, stage, name, type(wanted)), name) == _told(wanted):
            return name
    return ""


def _told(checked: DerivedParams, build: str = "") -> dict[str, Any]:
    """Parameters as they are compared: data set and builds by name, `rows` as of the data set."""
    dataset = checked.dataset or build
    builds = {name: other for name, other in checked.builds.items() if other != dataset}
    return {**checked.model_dump(exclude={"rows"}), "dataset": dataset, "builds": builds}


def name_of(build: str, label: str | Mapping[str, Any]) -> str:
    """Such as `street~beta-0.0625`, numbers to six digits; a name that any file may have."""
    told = [label] if isinstance(label, str) else [f"{k}-{_shown(v)}" for k, v in label.items()]
    parts = [build, *told]
    name = "~".join(UNSAFE.sub("-", part).strip("-") for part in parts)
    return name if len(name) <= LONGEST else f"{name[:LONGEST]}~{key_of(parts)[:8]}"


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "+".join(f"{k}-{_shown(v)}" for k, v in value.items())
    return f"{value:.6g}" if isinstance(value, float) else str(value)
