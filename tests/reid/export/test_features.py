"""Exported features: `reid score` finds the same figures in them as `reid evaluate`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from reid import experiments
from reid.evaluation.evaluate import evaluate
from reid.evaluation.protocol import Protocol
from reid.evaluation.score import score
from reid.export.features import export_features, matching
from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.reid import overhead

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning", "ignore::FutureWarning")


def scored(project: Project, name: str, out: Path, **options: str):
    """What `reid score` finds in an experiment's exported features, and what it wrote."""
    experiment = experiments.load(project, name)
    written = export_features(experiment, project, out, device="cpu", **options)
    found = score(out, written.protocol, experiment.params.distance)
    return found, written


def same(found: dict, evaluated: dict) -> None:
    for name in ("rank1", "rank5", "map", "minp", "queries", "gallery", "junk_dropped"):
        assert found[name] == pytest.approx(evaluated[name], abs=1e-9), name


def test_score_finds_the_evaluation_s_figures(trained: Project, tmp_path: Path):
    found, written = scored(trained, "toy-baseline", tmp_path / "features.parquet")
    folder = trained.run("toy-baseline") / "evaluate"
    same(found, json.loads((folder / "metrics.json").read_text()))
    assert written.protocol == "market1501"
    assert "--protocol market1501 --distance cosine" in written.note


def test_of_another_data_set_with_junk_and_distractors(trained: Project, tmp_path: Path):
    experiment = experiments.load(trained, "toy-baseline")
    found, _ = scored(trained, "toy-baseline", tmp_path / "other.parquet", dataset="other")
    assert found["junk_dropped"] == 6
    assert found["gallery"] == 14
    evaluated = evaluate(experiment, trained, device="cpu", dataset="other")
    same(found, evaluated)


def test_columns_and_footer(trained: Project, tmp_path: Path):
    path = tmp_path / "features.parquet"
    _, written = scored(trained, "toy-baseline", path)
    table = pq.read_table(path)
    assert table.column_names == ["image_id", "person", "camera", "tracklet", "role", "feature"]
    assert {*table["role"].to_pylist()} == {"query", "gallery"}
    assert str(table["feature"].type) == f"fixed_size_list<element: float>[{written.dimensions}]"
    footer = table.schema.metadata
    assert footer[b"reid.experiment"] == b"toy-baseline"
    assert footer[b"reid.protocol"] == b"market1501"
    published = pq.read_table(trained.run("toy-baseline") / "evaluate/features.parquet")
    assert table["image_id"] == published["image_id"]
    ours, theirs = (np.array(t["feature"].to_pylist()) for t in (table, published))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


@pytest.mark.slow
def test_passages_are_pooled_as_the_evaluation_pools_them(tmp_path: Path):
    project = overhead.make_trained(tmp_path / "project")
    found, written = scored(project, "top-rgb-d", tmp_path / "features.parquet")
    folder = project.run("top-rgb-d") / "evaluate"
    same(found, json.loads((folder / "metrics.json").read_text()))
    assert written.protocol == "all_pairs"
    assert written.rows == 8  # four persons, once in each camera


@pytest.mark.parametrize(
    ("rule", "name"),
    [
        pytest.param(Protocol(junk=(-1,), distractors=(0,)), "market1501", id="Market-1501"),
        pytest.param(Protocol(exclude="none"), "all_pairs", id="all pairs"),
        pytest.param(Protocol(exclude="same_camera"), "cross_camera", id="another camera"),
        pytest.param(
            Protocol(exclude="same_camera", single_shot=True, views=2), "cuhk03_classic",
            id="CUHK03's 20 splits",
        ),
        pytest.param(Protocol(exclude="none", views=2), "", id="a rule that score does not have"),
    ],
)  # fmt: skip
def test_which_rule_of_score_is_the_evaluation_s(trained: Project, rule: Protocol, name: str):
    tested = experiments.load(trained, "toy-baseline").open(trained)
    assert matching(rule, tested) == name


def test_a_name_that_is_no_parquet_file_is_refused(trained: Project, tmp_path: Path):
    experiment = experiments.load(trained, "toy-baseline")
    with pytest.raises(ReidError, match=r"must end in \.parquet"):
        export_features(experiment, trained, tmp_path / "features.csv", device="cpu")
