"""`flow_maximum_px: null`: measured once on the training rows of the experiment's own rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reid import experiments
from reid.arrays.flow import resize_flow
from reid.data.dataset import open as open_data
from reid.papers.mutual_attention import flow_maximum
from reid.project.layout import Project
from tests.reid.video import make_built


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = make_built(tmp_path_factory.mktemp("maximum") / "project")
    path = made.root / "params.yaml"
    path.write_text(path.read_text().replace("sequence_length: 2", "flow_maximum_px: null"))
    return made


def measured(project: Project, rule: str) -> float:
    data = open_data(project.root / "data", "hall", ["flow"]).under(rule).role("train")
    speeds = [np.linalg.norm(resize_flow(row["flow"], 48, 32), axis=-1) for row in data]
    return float(np.percentile(np.stack(speeds), 99))


def test_it_is_measured_on_the_training_rows_and_kept(project: Project, monkeypatch):
    found = experiments.load(project, "hall-mutual")
    first = found.params.flow_maximum_px
    assert first == pytest.approx(measured(project, ""), abs=0.01)
    assert found.described()["flow_maximum_px"] == first
    monkeypatch.setattr(flow_maximum, "_speed", lambda *of: pytest.fail("measured twice"))
    assert experiments.load(project, "hall-mutual").params.flow_maximum_px == first
    seeded = experiments.variant(project, "mutual_attention", "hall", {"seed": 3})
    assert seeded.params.flow_maximum_px == first


def test_another_build_or_rule_has_its_own(project: Project):
    lucas = {"builds": {"flow": "hall-lucas"}}
    other = experiments.variant(project, "mutual_attention", "hall", lucas)
    own = experiments.variant(project, "mutual_attention", "hall", {})
    assert other.params.flow_maximum_px != own.params.flow_maximum_px
    by_rule = experiments.variant(project, "mutual_attention", "hall", {"protocol": "split-02"})
    assert by_rule.params.flow_maximum_px == pytest.approx(measured(project, "split-02"), abs=0.01)


def test_numbers_stay_and_what_needs_no_flow_measures_none(project: Project):
    given = experiments.variant(project, "mutual_attention", "hall", {"flow_maximum_px": 3})
    assert given.params.flow_maximum_px == 3
    assert experiments.load(project, "hall-one").params.flow_maximum_px is None


def test_before_the_flow_is_built_it_stays_open(tmp_path: Path, project: Project):
    empty = Project(tmp_path)
    (tmp_path / "params.yaml").write_text((project.root / "params.yaml").read_text())
    assert experiments.load(empty, "hall-mutual").params.flow_maximum_px is None
