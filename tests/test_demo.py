"""What `make demo` says while it runs, and that it knows the stages of params.yaml and dvc.yaml."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML

from tests import demo
from tests.copies import ROOT


def test_the_halves_are_stages_of_the_flow():
    flow = YAML(typ="safe").load(ROOT / "dvc.yaml")["stages"]
    params = YAML(typ="safe").load(ROOT / "params.yaml")
    named = {
        f"{name}@{key}"
        for name, stage in flow.items()
        if "foreach" in stage
        for key in params[stage["foreach"].removeprefix("${").removesuffix("}").split(".")[0]]["on"]
    }
    halves = [{*stages} for stages in demo.SECONDS.values()]
    assert set.union(*halves) <= named, "what else params.yaml names, `dvc repro` runs afterwards"
    assert set.isdisjoint(*halves)


@pytest.fixture
def progress(monkeypatch: pytest.MonkeyPatch) -> demo.Progress:
    seconds = {"world@a": 60, "ingest@a": 30, "joints@a": 600}
    monkeypatch.setattr(demo, "SECONDS", {"images": seconds})
    return demo.Progress("images", now=0)


def test_a_stage_that_begins_says_what_is_left(progress: demo.Progress):
    line = progress.read("Running stage 'world@a':\n", 0)
    assert line == "images: stage 1 of 3, world@a; about 12 min left\n"
    assert progress.read("> reid world a\n", 1) is None
    line = progress.read("Running stage 'ingest@a':\n", 180)  # half as fast as was measured
    assert line == "images: stage 2 of 3, ingest@a; about 21 min left\n"


def test_what_is_there_already_takes_no_time(progress: demo.Progress):
    assert progress.read("Stage 'world@a' didn't change, skipping\n", 0) is None
    assert (
        progress.read("Stage 'joints@a' is cached - skipping run, checking out outputs\n", 1)
        is None
    )
    line = progress.read("Running stage 'ingest@a':\n", 2)
    assert line == "images: stage 3 of 3, ingest@a; less than a minute left\n"


def test_stages_of_the_other_half_are_passed_on(progress: demo.Progress):
    assert progress.read("Running stage 'world@b':\n", 0) is None
