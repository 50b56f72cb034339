"""Edited code is run, and what an edit cannot change is kept."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pipeline.builds.adopt import adopt_build
from pipeline.builds.status import plan as planned
from pipeline.builds.status import status
from pipeline.commands.build import make_plan
from pipeline.commands.main import app
from pipeline.engine import run as engine
from reid.code import fingerprint
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.conftest import contents

ROOT = Path(__file__).parents[2]
STAGES = ("ingest", "joints", "parts")


def build(project: Project, *stages: str) -> None:
    for name in stages:
        engine.run(make_plan(name, "toy", project), project, executor="local")


def to_compute(project: Project) -> dict[str, int]:
    """The shards that each stage would compute now."""
    return {name: len(engine.missing(make_plan(name, "toy", project), project)) for name in STAGES}


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the sources that keys are made of; what runs are the sources themselves."""
    for package in ("pipeline", "reid"):
        ignore = shutil.ignore_patterns("__pycache__", "*.safetensors")
        shutil.copytree(ROOT / package, tmp_path / "sources" / package, ignore=ignore)
    folder = tmp_path / "sources"
    monkeypatch.setattr(fingerprint, "_package_folder", lambda package: folder / package)
    return folder


def edit(sources: Path, name: str, before: str, after: str) -> None:
    text = (sources / name).read_text()
    assert before in text, f"{name} has no such line"
    (sources / name).write_text(text.replace(before, after, 1))


def test_an_edit_rebuilds_its_stage_and_no_other(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/stages/parts.py", "boxes = part_boxes(", "boxes = 0 * part_boxes(")
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 4}
    (line, *_) = {s["why"] for s in planned(make_plan("parts", "toy", toy), toy)["shards"]}
    assert line == "code: pipeline.stages.parts.derive changed"
    states = {row["stage"]: row["state"] for row in status(toy, make_plan)}
    assert states["joints"] == "built"
    assert "pipeline.stages.parts.derive changed" in states["parts"]


def test_what_follows_a_rebuilt_stage_goes_by_its_bytes(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/stages/joints.py", "array = np.zeros(", "array = 0 + np.zeros(")
    assert to_compute(toy) == {"ingest": 0, "joints": 4, "parts": 0}
    build(toy, "joints")  # by the sources that run: the same bytes
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        pytest.param("pipeline/stages/parts.py", '"""Body parts:', '"""Parts:', id="docstring"),
        pytest.param("pipeline/stages/parts.py", "FIT_ROUNDS = 2  #", "FIT_ROUNDS = 2  # two",
                     id="comment"),
        pytest.param("pipeline/stages/parts.py", "-> tuple[np.ndarray, np.ndarray, np.ndarray, "
                     "np.ndarray]:", "-> tuple:", id="annotation"),
        pytest.param("pipeline/stages/parts.py", '"parts needs the canonical', '"parts takes the',
                     id="error text"),
        pytest.param("reid/report/page.py", "import", "import os\nimport", id="the report"),
        pytest.param("pipeline/commands/build.py", "import", "import os\nimport", id="a command"),
        pytest.param("reid/project/progress.py", "import", "import os\nimport", id="progress"),
        pytest.param("pipeline/stages/jet.py", "return", "return None or", id="another stage"),
        pytest.param("pipeline/datasets/rap/reader.py", "return", "return None or",
                     id="another reader"),
        pytest.param("pipeline/backends/joints/mmpose.py", "return", "return None or",
                     id="another backend"),
        pytest.param("reid/nn/losses.py", "return", "return 0 *", id="a loss"),
    ],
)  # fmt: skip
def test_what_cannot_change_a_shard_rebuilds_none(
    toy: Project, sources: Path, name: str, before: str, after: str
):
    build(toy, *STAGES)
    edit(sources, name, before, after)
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}


def test_the_stage_says_which_function_changed(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/stages/parts.py", "boxes = part_boxes(", "boxes = 0 * part_boxes(")
    ran = CliRunner().invoke(app, ["parts", "toy", "--executor", "local"])
    assert "parts toy: code: pipeline.stages.parts.derive changed" in ran.output
    assert "4 shards computed, 0 reused" in ran.output


def test_adopting_keeps_the_bytes_and_the_manifest_says_so(toy: Project, sources: Path):
    build(toy, *STAGES)
    folder = toy.derived("parts", "toy")
    before, rows = contents(folder), contents(folder / "rows")
    edit(sources, "pipeline/stages/parts.py", "boxes = part_boxes(", "boxes = 1 * part_boxes(")
    ran = CliRunner().invoke(app, ["adopt", "parts", "toy"])
    assert "4 shards are kept; code: pipeline.stages.parts.derive changed" in ran.output
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}
    assert contents(folder / "rows") == rows
    old, new = (json.loads(x["manifest.json"]) for x in (before, contents(folder)))
    assert new["code"] != old["code"]
    assert {shard["adopted"] for shard in new["shards"]} == {old["code"]}
    assert "adopted" not in old["shards"][0]
    assert adopt_build("parts", "toy", toy, make_plan).shards == 0, "of this code already"


def test_nothing_is_adopted_with_other_parameters_or_inputs(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/stages/parts.py", "boxes = part_boxes(", "boxes = 1 * part_boxes(")
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("canonical_poses: 3", "canonical_poses: 2"))
    with pytest.raises(ReidError, match=r"4 of 4 shards were not built from these parameters"):
        adopt_build("parts", "toy", toy, make_plan)
    assert to_compute(toy)["parts"] == 4


def test_what_is_not_built_is_not_adopted(toy: Project):
    with pytest.raises(ReidError, match=r"run `reid joints toy`"):
        adopt_build("joints", "toy", toy, make_plan)


def test_a_changed_data_card_is_written_anew_and_no_row(toy: Project, sources: Path):
    build(toy, *STAGES)
    edit(sources, "pipeline/engine/data_card.py", '"## Made by', '"## How it was made')
    assert to_compute(toy) == {"ingest": 0, "joints": 0, "parts": 0}
    done = engine.run(make_plan("ingest", "toy", toy), toy, executor="local")
    assert (done.computed, done.published) == (0, True)
