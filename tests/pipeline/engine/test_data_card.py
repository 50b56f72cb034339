"""Data cards: source, counts, rules, and every step below, of stages on a tiny data set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipeline.commands.build import make_plan
from pipeline.datasets import market1501
from pipeline.datasets.image_source import image_source
from pipeline.engine import run as engine
from pipeline.engine.data_card import STEPS, card
from reid.project.layout import Project

INFO = vars(market1501.INFO)
SOURCE = image_source(Path("no such folder"), INFO)
REJECTS = [("a/1", "broken JPEG: x"), ("a/2", "no person"), ("a/3", "broken JPEG: x")]


@pytest.fixture
def built(toy: Project) -> Project:
    for stage in ("ingest", "joints", "parts"):
        engine.run(make_plan(stage, "toy", toy), toy, executor="local")
    return toy


def of(
    folder: Path, stage: str, inputs: tuple[Path, ...] = (), **further
) -> tuple[str, list[dict]]:
    """The card of a built folder and its steps; it is put in place."""
    described = json.loads((folder / "manifest.json").read_text())
    paths = sorted((folder / "rows").iterdir())
    text = card(stage, folder.name, described, paths, REJECTS, inputs=inputs, **further)
    (folder / "README.md").write_bytes(text)
    match = STEPS.search(text.decode())
    assert match is not None
    return text.decode(), json.loads(match[1])


def cards(project: Project) -> dict[str, tuple[str, list[dict]]]:
    shards, joints, parts = (project.built(s, "toy") for s in ("ingest", "joints", "parts"))
    protocol = json.loads((shards / "protocol.json").read_text())
    return {
        "ingest": of(shards, "ingest", source=SOURCE, protocol=protocol),
        "joints": of(joints, "joints", (shards,)),
        "parts": of(parts, "parts", (shards, joints)),
    }


def test_the_source_and_its_licence_are_on_every_card(built: Project):
    for text, _ in cards(built).values():
        assert f"Licence: {INFO['licence']}." in text
        assert INFO["where"] in text
        assert INFO["citation"] in text


def test_a_note_is_on_the_card_of_a_reader_that_has_one(built: Project):
    shards = built.built("ingest", "toy")
    text, (step,) = of(shards, "ingest", source={**INFO, "note": "another count"})
    assert "\n- note: another count\n" in text
    assert step["source"]["note"] == "another count"
    plain, _ = of(shards, "ingest", source=INFO)
    assert "note:" not in plain


def test_every_step_below_is_told_once_and_in_order(built: Project):
    by_stage = cards(built)
    assert [step["stage"] for step in by_stage["ingest"][1]] == ["ingest"]
    assert [step["stage"] for step in by_stage["joints"][1]] == ["ingest", "joints"]
    assert [step["stage"] for step in by_stage["parts"][1]] == ["ingest", "joints", "parts"]
    text, steps = by_stage["parts"]
    manifest = json.loads((built.derived("joints", "toy") / "manifest.json").read_text())
    assert steps[1]["weights"] == manifest["weights"] != ""
    assert steps[1]["parameters"] == manifest["parameters"]
    assert manifest["weights"] in text
    assert '"canonical_poses": 3' in text


def test_counts_and_rules_are_those_of_protocol_json(built: Project):
    text, _ = cards(built)["parts"]
    assert "| train | 36 | 4 | 3 |" in text
    assert "| query | 12 | 4 | 3 |" in text
    assert "| gallery | 24 | 4 | 3 |" in text
    assert "train 36 of 12,936" in text
    assert "- market1501: Market-1501, single query;" in text
    assert 'exclude "same_person_same_camera"' in text


def test_rejects_by_reason_with_the_first_of_each(built: Project):
    text, _ = cards(built)["joints"]
    assert "- 2: broken JPEG: x (first: a/1)\n- 1: no person (first: a/2)" in text


def test_the_header_names_the_parts(built: Project):
    text, _ = cards(built)["ingest"]
    header = YAML(typ="safe").load(text.split("---")[1])
    files = header["configs"][0]["data_files"]
    assert files == [{"split": s, "path": f"rows/{s}-*.parquet"} for s in ("test", "train")]


def test_an_older_folder_without_a_card_is_told_by_its_manifest(built: Project):
    shards, joints = built.built("ingest", "toy"), built.built("joints", "toy")
    (shards / "README.md").unlink()
    (joints / "README.md").write_text("# joints of toy\n")
    _, steps = of(built.built("parts", "toy"), "parts", (shards, joints))
    assert [step["stage"] for step in steps] == ["ingest", "joints", "parts"]


def test_a_card_changes_no_key(built: Project):
    keys = [task.key for task in make_plan("parts", "toy", built).tasks]
    cards(built)
    assert [task.key for task in make_plan("parts", "toy", built).tasks] == keys


def test_a_text_that_looks_like_the_end_of_a_comment_stays_inside(built: Project):
    source = {**SOURCE, "licence": "ask --> first"}
    _, steps = of(built.built("ingest", "toy"), "ingest", source=source, protocol={})
    assert steps[0]["source"]["licence"] == "ask --> first"
