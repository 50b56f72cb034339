"""The benchmark's own parts, on a scene a fiftieth the size; in full where slow tests run."""

import json

import cv2
import numpy as np
import pytest

from reid.evaluation import distances, metrics
from reid.project.errors import ReidError
from tests.benchmarks import run as bench
from tests.benchmarks import swaps as bench_swaps

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
    lines = bench.as_markdown([*rows, {**rows[0], "name": "in order, shards", "ratio": 0.96}])
    assert lines[4].startswith("| distances of 64-d features, a second (bare product) | ")
    assert lines[-1] == "| shards | - | - | 0.96 |"


@pytest.mark.usefixtures("small")
def test_a_wrong_evaluator_is_found(monkeypatch):
    monkeypatch.setattr("reid.evaluation.ranks.positions", lambda row, matches, hidden: 0 * matches)
    with pytest.raises(ReidError, match="by the plain evaluator"):
        bench.rows_evaluation(repeats=1)


def test_peak_counts_what_a_call_holds_at_once():
    assert bench.peak_mb(lambda: np.ones(2_000_000)) == pytest.approx(16, rel=0.05)
    assert bench.peak_mb(lambda: [np.ones(2_000_000).sum() for _ in range(5)]) < 20


def test_rows_of_swaps(tmp_path, monkeypatch):
    small = {"IDENTITIES": 2, "SIDE": 64, "ROUNDS": 1, "SEARCHED": 40, "TABLE_ROWS": 16}
    for name, value in small.items():
        monkeypatch.setattr(bench_swaps, name, value)
    threads = cv2.getNumThreads()
    rows = bench_swaps.rows_swaps(tmp_path)
    assert all(set(row) == KEYS for row in rows)
    assert json.loads(json.dumps(rows)) == rows
    assert [row["name"].partition(",")[0] for row in rows] == [
        "backgrounds without full bodies", "backgrounds without upper bodies",
        "partners among 40 masks",
    ]  # fmt: skip
    assert [row["goal"] for row in rows] == [">= 0.9", ">= 0.9", "<= 1"]
    assert rows[2]["holds"]
    assert cv2.getNumThreads() == threads


def test_made_masks_are_like_each_other_and_not_the_same():
    random = np.random.default_rng(0)
    made = [bench_swaps.body(random, 256) for _ in range(50)]
    shares = [mask.mean() for mask in made]
    assert 0.2 < min(shares) < 0.8 * max(shares) < 0.5
    assert all((one & made[0]).sum() > 0.4 * (one | made[0]).sum() for one in made)
    assert len({mask.tobytes() for mask in made}) == 50


@pytest.mark.slow
def test_scale_and_realism():
    scene = bench.made_scene()
    distance = np.concatenate(
        list(distances.distance_blocks(scene.query_feature, scene.gallery_feature))
    )
    result = metrics.evaluate_distance(distance, scene.labels, bench.PROTOCOL)
    assert distance.shape == (3_368, 15_913)
    assert 0.6 < result.rank1 < 0.99
    assert 0.4 < result.map < 0.95
