"""The benchmark's own parts, on a scene a fiftieth the size; in full where slow tests run."""

import json

import numpy as np
import pytest

from pipeline.core.errors import ReidError
from reid import bench, metrics

KEYS = {"name", "value", "limit", "ratio", "goal", "holds"}


@pytest.fixture
def small(monkeypatch):
    for name, value in {"QUERIES": 60, "GALLERY": 300, "DISTRACTORS": 50, "PERSONS": 15}.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(bench, "DIMENSIONS", 64)


@pytest.mark.usefixtures("small")
def test_rows():
    rows = bench.rows_evaluation(repeats=1)
    assert all(set(row) == KEYS for row in rows)
    assert json.loads(json.dumps(rows)) == rows
    assert rows[1]["holds"]


@pytest.mark.usefixtures("small")
def test_a_wrong_evaluator_is_found(monkeypatch):
    monkeypatch.setattr("reid.ranks._preceding", lambda row, excluded, matches: 0)
    with pytest.raises(ReidError, match="by the plain evaluator"):
        bench.rows_evaluation(repeats=1)


def test_peak_counts_what_a_call_holds_at_once():
    assert bench.peak_mb(lambda: np.ones(2_000_000)) == pytest.approx(16, rel=0.05)
    assert bench.peak_mb(lambda: [np.ones(2_000_000).sum() for _ in range(5)]) < 20


@pytest.mark.slow
def test_scale_and_realism():
    scene = bench.made_scene()
    distance = np.concatenate(
        list(metrics.distance_blocks(scene.query_feature, scene.gallery_feature))
    )
    result = metrics.evaluate_distance(distance, *scene.labels)
    assert distance.shape == (3_368, 15_913)
    assert 0.6 < result.rank1 < 0.99
    assert 0.4 < result.map < 0.95
