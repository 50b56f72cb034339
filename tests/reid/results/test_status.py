"""`reid status` of experiments and of the report: evaluated, trained, stale, missing."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline.builds import status
from reid.project.layout import Project

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


@pytest.fixture
def project(trained: Project, tmp_path: Path):
    shutil.copytree(trained.root, tmp_path / "project")
    with contextlib.chdir(tmp_path / "project"):
        yield Project(Path())


def line_of(project: Project, name: str = "toy-intra") -> dict[str, Any]:
    return {line["experiment"]: line for line in status.experiments(project)}[name]


def test_an_evaluated_experiment_has_its_numbers(project: Project):
    metrics = json.loads((project.run("toy-intra") / "evaluate/metrics.json").read_text())
    line = line_of(project)
    assert (line["paper"], line["dataset"]) == ("attention_driven", "toy")
    assert (line["state"], line["rank1"]) == ("evaluated", f"{100 * metrics['rank1']:.2f}")
    assert line["map"] == f"{100 * metrics['map']:.2f}"
    assert line_of(project, "toy-inter")["state"] == "not trained"


def test_an_experiment_that_is_not_evaluated(project: Project):
    shutil.rmtree(project.run("toy-intra") / "evaluate")
    assert line_of(project)["state"] == "trained, not evaluated as it is now"


def test_an_experiment_of_other_parameters_is_stale(project: Project):
    text = Path("params.yaml").read_text()
    Path("params.yaml").write_text(text.replace("epochs: 2", "epochs: 3"))
    assert line_of(project)["state"] == "stale: its parameters or its data changed"
    shutil.rmtree(project.shards("toy"))
    assert line_of(project)["state"].startswith("trained; cannot be checked: data/1-shards/toy: ")


def test_the_report_is_older_than_an_evaluation(project: Project):
    assert status.report(project) == "not written; `reid report` writes it"
    page = project.reports / "report.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("")
    assert status.report(project) == "written: data/4-reports/report.html"
    metrics = project.run("toy-intra") / "evaluate/metrics.json"
    os.utime(metrics, ns=(0, page.stat().st_mtime_ns + 10**9))
    assert status.report(project) == "older than the evaluation of toy-intra"
