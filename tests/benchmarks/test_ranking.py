"""The ranking benchmark on a scene a fiftieth the size; in full where slow tests run."""

import json

import numpy as np
import pytest

from reid.evaluation import distances, metrics
from reid.evaluation.rerank import rerank
from reid.project.errors import ReidError
from tests.benchmarks import evaluators, ranking
from tests.benchmarks.test_run import KEYS

SMALL = (ranking.Scale("small", 60, 300, 50, 15),)


def stands_for(monkeypatch, error=0.0):
    """Peers that are found, and compute what ours does, with an error."""

    def figures(distance, labels):
        found = metrics.evaluate_distance(distance, labels, ranking.PROTOCOL)
        return found.rank1, found.map + error

    def reranked(folder, name, *given):
        scene = ranking.made_scene(SMALL[0])
        return np.concatenate(list(rerank(scene.query_feature, scene.gallery_feature)))

    monkeypatch.setattr(evaluators, "check", lambda folder: None)
    monkeypatch.setattr(evaluators, "compiled", lambda folder, name, *given: figures(*given))
    monkeypatch.setattr(evaluators, "plain_python", lambda folder, *given: figures(*given))
    monkeypatch.setattr(evaluators, "reranked", reranked)


def test_rows(monkeypatch, tmp_path):
    stands_for(monkeypatch)
    rows = ranking.rows_ranking(tmp_path, SMALL, repeats=1)
    assert all(set(row) == KEYS for row in rows)
    assert json.loads(json.dumps(rows)) == rows
    assert sum("deep-person-reid" in row["name"] for row in rows) == 4
    alone = ranking.rows_ranking(None, SMALL, repeats=1)
    assert [row["name"] for row in alone] == [
        row["name"] for row in rows if "-reid" not in row["name"] and "products" not in row["name"]
    ]


def test_peers_that_are_not_there(tmp_path):
    with pytest.raises(ReidError, match=r"no compiled rank_cy; clone https.* REID_PEERS"):
        ranking.rows_ranking(tmp_path, SMALL)


def test_another_figure_of_a_peer_is_found(monkeypatch, tmp_path):
    stands_for(monkeypatch, error=2e-6)
    with pytest.raises(ReidError, match="by the fast-reid"):
        ranking.rows_ranking(tmp_path, SMALL, repeats=1)


def test_a_wrong_evaluator_is_found(monkeypatch):
    wrong = lambda row, matches, hidden: 0 * matches  # noqa: E731
    monkeypatch.setattr("reid.evaluation.ranks.positions", wrong)
    with pytest.raises(ReidError, match="by the plain stable sort"):
        ranking.rows_ranking(None, SMALL, repeats=1)


def test_peak_counts_what_a_call_holds_at_once():
    assert ranking.peak_mb(lambda: np.ones(2_000_000)) == pytest.approx(16, rel=0.05)
    assert ranking.peak_mb(lambda: [np.ones(2_000_000).sum() for _ in range(5)]) < 20


@pytest.mark.slow
def test_scale_and_realism():
    scene = ranking.made_scene()
    distance = np.concatenate(
        list(distances.distance_blocks(scene.query_feature, scene.gallery_feature))
    )
    result = metrics.evaluate_distance(distance, scene.labels, ranking.PROTOCOL)
    assert distance.shape == (3_368, 15_913)
    assert 0.6 < result.rank1 < 0.99
    assert 0.4 < result.map < 0.95
