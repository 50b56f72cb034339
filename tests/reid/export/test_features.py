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
    """The metrics of `reid score` on an experiment's exported features, and what was written."""
    experiment = experiments.load(project, name)
    written = export_features(experiment, project, out, device="cpu", **options)
    metrics = score(out, written.protocol, experiment.params.distance)
    return metrics, written


def same(metrics: dict, evaluated: dict) -> None:
    for name in ("rank1", "rank5", "map", "minp", "queries", "gallery", "junk_dropped"):
        assert metrics[name] == pytest.approx(evaluated[name], abs=1e-9), name


def test_score_finds_the_evaluation_s_figures(trained: Project, tmp_path: Path):
    metrics, written = scored(trained, "toy-baseline", tmp_path / "features.parquet")
    folder = trained.run("toy-baseline") / "evaluate"
    same(metrics, json.loads((folder / "metrics.json").read_text()))
    assert written.protocol == "market1501"
    assert "--protocol market1501 --distance cosine" in written.note


def test_of_another_data_set_with_junk_and_distractors(trained: Project, tmp_path: Path):
    experiment = experiments.load(trained, "toy-baseline")
    metrics, _ = scored(trained, "toy-baseline", tmp_path / "other.parquet", dataset="other")
    assert metrics["junk_dropped"] == 6
    assert metrics["gallery"] == 14
    evaluated = evaluate(experiment, trained, device="cpu", dataset="other")
    same(metrics, evaluated)


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
    exported, evaluated = (np.array(t["feature"].to_pylist()) for t in (table, published))
    np.testing.assert_allclose(exported, evaluated, atol=1e-6)


@pytest.mark.slow
def test_passages_are_pooled_as_the_evaluation_pools_them(tmp_path: Path):
    project = overhead.make_trained(tmp_path / "project")
    metrics, written = scored(project, "top-rgb-d", tmp_path / "features.parquet")
    folder = project.run("top-rgb-d") / "evaluate"
    same(metrics, json.loads((folder / "metrics.json").read_text()))
    assert written.protocol == "all_pairs"
    assert written.rows == 8  # four persons, once in each camera


@pytest.mark.parametrize(
    ("protocol", "name"),
    [
        pytest.param(Protocol(junk=(-1,), distractors=(0,)), "market1501", id="Market-1501"),
        pytest.param(Protocol(exclude="none"), "all_pairs", id="all pairs"),
        pytest.param(Protocol(exclude="same_camera"), "cross_camera", id="another camera"),
        pytest.param(
            Protocol(exclude="same_camera", single_shot=True, views=2), "cuhk03_classic",
            id="CUHK03's 20 splits",
        ),
        pytest.param(Protocol(exclude="none", views=2), "", id="one that score does not have"),
    ],
)  # fmt: skip
def test_which_protocol_of_score_is_the_evaluation_s(
    trained: Project, protocol: Protocol, name: str
):
    tested = experiments.load(trained, "toy-baseline").open(trained)
    assert matching(protocol, tested) == name


def test_a_name_that_is_no_parquet_file_is_refused(trained: Project, tmp_path: Path):
    experiment = experiments.load(trained, "toy-baseline")
    with pytest.raises(ReidError, match=r"must end in \.parquet"):
        export_features(experiment, trained, tmp_path / "features.csv", device="cpu")
