"""Freshly rendered people: endless, repeatable, far from the worlds, and true."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML

from pipeline.fit import people
from reid.code.fingerprint import Code

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("view", people.VIEWS)
def test_sheets_are_numbered_and_differ(view: str):
    first, again, other = (people.draw_scene(view, number) for number in (0, 0, 1))
    assert first == again
    assert first.seed != other.seed
    assert first.noise != other.noise
    assert first.seed >= people.SEEDS


def test_no_world_of_params_has_a_seed_of_the_sheets():
    worlds = YAML(typ="safe").load(ROOT / "params.yaml")["world"]
    for world in worlds["on"].values():
        assert {**worlds["with"], **world}.get("seed", 1) < people.SEEDS


def test_a_sheet_is_rendered_once_and_read_as_it_was(tmp_path: Path):
    path = people.keep_sheet(tmp_path, "topview", 3)
    written = path.stat().st_mtime_ns
    assert people.keep_sheets(tmp_path, "topview", [3], 1) == [path]
    assert path.stat().st_mtime_ns == written
    shots, examples = people.render_sheet("topview", 3), people.read_sheet(path)
    assert len(shots) == len(examples) >= people.PASSES
    for (sample, truth), example in zip(shots, examples, strict=True):
        assert example.image.shape == sample.image.shape
        assert truth.people is not None
        seen = [person["box"] for person in truth.people if person["box"] is not None]
        assert np.array_equal(example.boxes, np.array(seen, np.float32))


def test_a_sheet_is_of_the_code_that_renders_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    code = people.code_of("topview")
    for name in ("fit.people:render_sheet", "world.scenes.topview:render_pass", "world.gait:walk"):
        assert f"pipeline.{name}" in code.definitions
    assert "pipeline.world.scenes.street:render_pass" not in code.definitions
    assert code.fingerprint != people.code_of("street").fingerprint
    before = people.keep_sheet(tmp_path, "topview", 3)
    edited = Code({**code.definitions, "pipeline.world.gait:walk": "edited"})
    monkeypatch.setattr(people, "code_of", lambda view: edited)
    assert people.keep_sheet(tmp_path, "topview", 3) != before
    assert people.keep_sheet(tmp_path, "topview", 3).read_bytes() == before.read_bytes()


def test_a_halls_flow_leads_to_the_next_example(tmp_path: Path):
    examples = people.read_sheet(people.keep_sheet(tmp_path, "hall", 0))
    pairs = [(a, b) for a, b in pairwise(examples) if a.flow is not None]
    assert len(pairs) >= 5 * people.PASSES
    still = moved = 0.0
    rows, columns = np.mgrid[:128, :64]
    for one, following in pairs[::9]:
        assert one.flow is not None
        known = one.flow.valid
        x = np.rint(columns + one.flow.px[..., 0]).astype(int)
        y = np.rint(rows + one.flow.px[..., 1]).astype(int)
        known &= (x >= 0) & (x < 64) & (y >= 0) & (y < 128)
        there = following.image[y.clip(0, 127), x.clip(0, 63)].astype(float)
        now, before = following.image.astype(float), one.image.astype(float)
        moved += np.abs(there - before)[known].mean()
        still += np.abs(now - before)[known].mean()
    assert moved < 0.8 * still, "along the flow frames look more alike"
