"""`reid claims`: on a tiny project from its worlds to its verdicts; and the worlds that it has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline.world.scenes import hall, mall, scenes, street, topview
from reid.experiments import params_model
from reid.papers import paper_of
from reid.project import params
from reid.project.layout import Project
from reid.results.claims import papers_of
from tests.conftest import reid
from tests.test_flow import TINY

OWN = Path(__file__).parents[2] / "claims"
UNSEEN, QUERIES = 200, 800


@pytest.fixture(scope="module")
def loaded() -> dict[str, Any]:
    return params.load(OWN)


def test_claims_are_said_before_they_are_tested(toy: Project):
    for stage in ("ingest", "joints", "parts"):
        assert reid(stage, "toy").returncode == 0
    plan = reid("claims", "--claim", "aligned > strips", "--trainings", "1", "--plan")
    assert plan.returncode == 0, plan.stderr
    said = r"claims: 2 of 2 trainings are to be done, about [0-9.]+ s \(by the seconds of earlier"
    assert re.search(said, plan.stdout)
    assert "not measured" in plan.stdout
    assert not (toy.root / "data/4-reports").exists()
    run = reid("claims", "--claim", "aligned > strips", "--trainings", "1", "--json")
    assert run.returncode == 0, run.stderr
    (row,) = json.loads(run.stdout)
    assert row["claim"] == "aligned > strips"
    assert row["verdict"] in ("shown", "not shown", "opposite")
    written = json.loads((toy.root / "data/4-reports/claims/attention_driven-toy.json").read_text())
    assert written == [row]
    wrong = reid("claims", "--claim", "aligned", "--plan")
    assert wrong.returncode == 2
    assert "no claim `aligned`" in wrong.stderr


@pytest.mark.slow
def test_worlds_are_built_once_and_again_where_they_are_said_otherwise(tmp_path: Path):
    path = tmp_path / "params.yaml"
    path.write_text(TINY)
    command = ("claims", "mutual_attention", "--build", "--plan")
    first = reid(*command, cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert first.stdout.count("world ") == 1, "what these claims need, and no more"
    assert "world hall: " in first.stdout
    assert "flow hall: " in first.stdout
    assert "world" not in reid(*command, cwd=tmp_path).stdout
    path.write_text(TINY.replace("images_min: 5, images_max: 6", "images_min: 5, images_max: 5"))
    again = reid(*command, cwd=tmp_path).stdout
    assert [line for line in again.splitlines() if line.startswith("world ")] == [
        next(line for line in again.splitlines() if line.startswith("world hall: 40 images"))
    ]
    path.write_text(TINY.replace("pool: max}", "pool: max, builds: {jet: topview-crops}}"))
    claim = ("--claim", "colour and depth > depth")
    above = reid("claims", "multimodal_attention", *claim, *command[2:], cwd=tmp_path)
    assert above.returncode == 0, above.stderr
    built = [line.split(":")[0] for line in above.stdout.splitlines() if "topview" in line]
    assert built[:3] == ["world topview", "ingest topview", "crops topview"]
    assert above.stdout.count("world ") == 1


def test_every_paper_s_claims_have_a_world(loaded: dict[str, Any]):
    claiming = [name for name in papers_of(Project(OWN), ()) if paper_of(name).claims]
    assert len(claiming) == 5
    for name in claiming:
        for dataset, values in loaded[name]["scale"].items():
            params.check(params_model(name), {**values, "dataset": dataset}, name)


def test_what_the_worlds_are_read_with_is_as_stages_take_it(loaded: dict[str, Any]):
    from pipeline.stages import STAGES, stage

    for name in STAGES:
        for build in params.section(loaded, name, "on"):
            params.stage_params(loaded, name, build, stage(name).params)


def test_many_unseen_persons_are_searched(loaded: dict[str, Any]):
    """So that what two rows differ in is known to within some 2 points of mAP."""
    world = {name: scenes.of_world(loaded, name)[1] for name in loaded["world"]["on"]}
    for name, scene in (("street", street), ("mall", mall)):
        tested = [p for p in scene.plan(world[name]) if p.kind == "identity" and p.role == "test"]
        assert len({one.identity for one in tested}) >= UNSEEN
        assert len({(one.identity, one.camera) for one in tested}) >= QUERIES, "one query of each"
    for name, scene in (("topview", topview), ("hall", hall)):
        persons = len({one.person for one in scene.plan(world[name])})
        assert persons // 2 >= UNSEEN, "of each random split half of them"
        assert 4 * (persons // 2) >= QUERIES, "of four splits"


def test_the_hall_s_background_stands_still(loaded: dict[str, Any]):
    assert loaded["world"]["on"]["hall"]["window"] == "stands"
