"""Re-ranking against sets and loops over the paper's equations."""

import math

import numpy as np
import pytest

from reid.evaluation import distances, metrics
from reid.evaluation.labels import Labels
from reid.evaluation.protocol import Protocol
from reid.evaluation.rerank import Neighbours, rerank
from reid.project.errors import ReidError


def scene(seed=0, persons=8):
    rng = np.random.default_rng(seed)
    qp, gp = rng.integers(0, persons, 12), rng.integers(0, persons, 50)
    centre = rng.normal(size=(persons, 6))
    query = centre[qp] + 0.7 * rng.normal(size=(12, 6))
    return query, qp, centre[gp] + 0.7 * rng.normal(size=(50, 6)), gp


def loops(query, gallery, distance, k1, k2, original):
    points = np.concatenate([query, gallery])
    if distance == "cosine":
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    count = len(points)
    apart = [[float(((a - b) ** 2).sum()) for b in points] for a in points]
    apart = [[value / max(row) for value in row] for row in apart]
    order = [sorted(range(count), key=lambda j, i=i: apart[i][j]) for i in range(count)]

    def reciprocal(i, k):
        return {j for j in order[i][: k + 1] if i in order[j][: k + 1]}

    weights = []
    for i in range(count):
        own = reciprocal(i, k1)
        members = set(own)
        for j in own:
            neighbours = reciprocal(j, round(k1 / 2))
            if len(own & neighbours) > 2 / 3 * len(neighbours):
                members |= neighbours
        total = sum(math.exp(-apart[i][j]) for j in members)
        weights.append(
            [math.exp(-apart[i][j]) / total if j in members else 0 for j in range(count)]
        )
    mean = [
        [sum(weights[n][j] for n in order[i][:k2]) / k2 for j in range(count)] for i in range(count)
    ]
    result = np.empty((len(query), len(gallery)))
    for q in range(len(query)):
        for g in range(len(gallery)):
            pairs = list(zip(mean[q], mean[len(query) + g], strict=True))
            jaccard = 1 - sum(map(min, pairs)) / sum(map(max, pairs))
            result[q, g] = (1 - original) * jaccard + original * apart[q][len(query) + g]
    return result


@pytest.mark.parametrize("distance", distances.DISTANCES)
@pytest.mark.parametrize(
    ("k1", "k2", "original"),
    [(20, 6, 0.3), (6, 1, 0.0), (7, 3, 0.5), (3, 3, 1.0)],
    ids=["default", "no mean", "odd k1", "original only"],
)
def test_equals_loops(distance, k1, k2, original):
    query, _, gallery, _ = scene()
    wanted = loops(query, gallery, distance, k1, k2, original)
    neighbours = Neighbours(k1, k2, original)
    matrix = np.concatenate(list(rerank(query, gallery, distance, neighbours)))
    np.testing.assert_allclose(matrix, wanted, atol=2e-5)


def test_it_raises_map_where_persons_form_clusters():
    rng = np.random.default_rng(3)
    person = np.repeat(np.arange(30), 8)
    feature = rng.normal(size=(30, 12))[person] + 0.9 * rng.normal(size=(240, 12))
    query = np.arange(240) % 8 == 0
    labels = Labels.of(person[query], person[query] * 0, person[~query], person[~query] * 0 + 1)
    sides = (feature[query], feature[~query])
    plain = metrics.evaluate_distance(distances.distance_blocks(*sides), labels, Protocol())
    blocks = rerank(*sides, neighbours=Neighbours(k1=8, k2=3))
    better = metrics.evaluate_distance(blocks, labels, Protocol())
    assert better.map > plain.map + 0.02


def test_fewer_entries_than_neighbours():
    distance = np.concatenate(list(rerank(np.eye(2, 3), np.eye(3))))
    assert distance.shape == (2, 3)
    assert np.isfinite(distance).all()
    assert distance.argmin(1).tolist() == [0, 1]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("distance", distances.DISTANCES)
@pytest.mark.parametrize("dimensions", [4, 8, 64, 512])
def test_features_that_are_all_alike_stay_numbers(distance, dimensions):
    rng = np.random.default_rng(0)
    for count in range(3, 40):
        alike = np.outer(rng.uniform(0.5, 2, count), rng.normal(size=dimensions))
        if distance == "euclidean":
            alike[:] = alike[0]
        matrix = np.concatenate(list(rerank(alike[:2], alike[2:], distance)))
        assert np.abs(matrix).max() < 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda side: side[:, :2], "dimensions"),
        (lambda side: side * np.nan, "row 0 is not finite"),
        (lambda side: side * 1e30, "row 0 is not finite"),
    ],
    ids=["dimensions", "NaN", "overflow"],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_what_has_no_distances_is_one_line(change, message):
    query, _, gallery, _ = scene()
    with pytest.raises(ReidError, match=message):
        list(rerank(change(query), gallery, "euclidean"))


@pytest.mark.parametrize("wrong", [{"k2": 0}, {"k1": 3, "k2": 4}, {"original": 2}])
def test_errors(wrong):
    with pytest.raises(ReidError, match="rerank"):
        Neighbours(**wrong)
