"""dvc.yaml depends on the rooms that each command's result is computed in, and on no others.

A stage's block runs its command, over what the stage reads.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.datasets import READERS
from pipeline.engine import code as codes
from pipeline.stages import STAGES
from pipeline.stages import stage as find_stage
from reid.code import starts
from reid.code.fingerprint import OUTSIDE, Start, of, source_of
from reid.papers import PAPERS
from reid.project.layout import Project
from reid.shards.schema import ROW

ROOT = Path(__file__).parents[2]
FLOW = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
PARAMS = YAML(typ="safe").load(ROOT / "params.yaml")
SHOWN = ("reid.report", "reid.results", "reid.look")  # what a report is made of


def modules(start: Start) -> set[str]:
    return of(start).modules


WRITTEN = tuple(name for name in OUTSIDE if name != "pipeline.engine.data_card")
TEXTS = modules(Start(codes.TEXTS, outside=WRITTEN))  # of cards and protocols, beside rows


def computed_in(stage: str, project: Project) -> set[str]:
    """The modules that the result of a stage's command is computed in, whatever it is asked."""
    if stage == "world":
        return modules(Start(("pipeline.world.build:build_world", "pipeline.builds.scan:scan"),
                             outside=("reid.code", "reid.project")))  # fmt: skip
    if stage == "ingest":
        return TEXTS.union(*(codes.of_reader(name, project).modules for name in READERS))
    if stage == "accuracy":
        return modules(Start(("pipeline.accuracy.measure:measure",)))
    if stage == "report":
        outside = tuple(name for name in OUTSIDE if name not in SHOWN)
        return modules(Start(("reid.report.page:write",), outside=outside))
    if stage in STAGES:
        made = find_stage(stage)
        fields = made.params.model_fields
        reached = set(TEXTS)
        for backend in made.backends() or ("",):
            values = {name: field.get_default() for name, field in fields.items()}
            params = made.params.model_construct(**{**values, "backend": backend})
            reached |= codes.of_stage(made, params, project).modules
        return reached
    paper = stage.removesuffix("_evaluate")
    if stage == paper:
        return modules(starts.of_training(paper, validated=True))
    return modules(starts.of_evaluation(paper))


def test_every_stage_of_the_flow_is_known():
    papers = {*PAPERS, *(f"{paper}_evaluate" for paper in PAPERS)}
    assert set(FLOW) == {"world", "ingest", *STAGES, "accuracy", *papers, "report"}


@pytest.mark.parametrize("stage", FLOW)
def test_dependencies_are_what_is_computed_with(stage: str, tmp_path: Path):
    listed = FLOW[stage].get("do", FLOW[stage])["deps"]
    rooms = {dep for dep in listed if not dep.startswith("data/")}
    files: set[str] = set()
    for module in computed_in(stage, Project(tmp_path)):
        path = source_of(module)
        assert path is not None, module
        files.add(path.relative_to(ROOT).as_posix())
    parents = {f for f in files if f.endswith("/__init__.py")}  # packages are passed through
    missing = {f for f in files - parents if not any(_holds(room, f) for room in rooms)}
    assert not missing, f"{stage} does not depend on {sorted(missing)}"
    needless = {room for room in rooms if not any(_holds(room, f) for f in files)}
    assert not needless, f"{stage} depends on {sorted(needless)}, where nothing of it is computed"


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_s_block_runs_its_command_over_what_it_reads(stage: str):
    block, made = FLOW[stage]["do"], find_stage(stage)
    assert block["cmd"] == f"reid {stage} ${{key}}"
    assert block["outs"] == [f"data/2-derived/{stage}/${{key}}"]
    assert all(build["dataset"] for build in PARAMS[stage]["on"].values()), "DVC reads it from here"
    for name in {*made.reads_of(made.params(), ROW.names)} - {"rows"}:
        builds = {f"data/2-derived/{name}/${{item.{of}}}" for of in ("dataset", f"builds.{name}")}
        assert builds & {*block["deps"]}, name


def _holds(room: str, file: str) -> bool:
    return file == room or file.startswith(f"{room}/")
