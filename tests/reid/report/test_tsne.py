"""t-SNE: neighbours by an independent loop, clusters that stay apart, odd inputs."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reid.report import tsne


def clusters(count: int, dimensions: int = 36) -> tuple[np.ndarray, np.ndarray]:
    """Three clouds far apart, and which cloud each point is of."""
    random = np.random.default_rng(0)
    member = np.arange(count) % 3
    return random.normal(size=(count, dimensions)) + 12 * np.eye(dimensions)[member], member


def test_clusters_stay_apart():
    points, member = clusters(90)
    laid = tsne.embed(points, perplexity=15)
    assert laid.shape == (90, 2)
    inside = max(
        np.linalg.norm(laid[member == k] - laid[member == k].mean(0), axis=1).max()
        for k in range(3)
    )
    middles = np.array([laid[member == k].mean(0) for k in range(3)])
    between = [np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert min(between) > 2 * inside


def test_a_line_of_points_stays_in_order():
    laid = tsne.embed(np.arange(60.0)[:, None] * np.ones((1, 5)), perplexity=5)
    steps = np.linalg.norm(np.diff(laid, axis=0), axis=1)
    apart = np.linalg.norm(laid[:, None] - laid[None], axis=2)
    far = apart[np.abs(np.subtract.outer(np.arange(60), np.arange(60))) > 12]
    assert steps.max() < far.min()


def test_the_same_points_give_the_same_picture():
    points, _ = clusters(30)
    np.testing.assert_array_equal(tsne.embed(points), tsne.embed(points.copy()))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.floats(1e-3, 1e3), wanted=st.floats(2, 9))
def test_rows_of_affinities_have_the_perplexity_and_follow_a_normal_curve(seed, scale, wanted):
    points = scale * np.random.default_rng(seed).normal(size=(20, 3))
    found = tsne.affinities(points, wanted)
    for i in range(20):
        row = [p for j, p in enumerate(found[i]) if j != i]
        assert found[i, i] == 0
        assert sum(row) == pytest.approx(1)
        assert 2 ** -sum(p * math.log2(p) for p in row if p > 0) == pytest.approx(wanted, rel=1e-3)
        squared = [sum((points[i] - points[j]) ** 2) for j in range(20) if j != i]
        near, far, other = sorted(range(19), key=lambda j: -row[j])[:3]
        if row[other] > 1e-100:  # log p falls in proportion to the squared distance
            slope = math.log(row[near] / row[far]) / (squared[far] - squared[near])
            again = math.log(row[near] / row[other]) / (squared[other] - squared[near])
            assert slope == pytest.approx(again, rel=1e-3)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 12])
@pytest.mark.parametrize("alike", [True, False])
def test_few_points_and_equal_ones(count, alike):
    points = np.zeros((count, 4)) if alike else np.arange(4.0 * count).reshape(count, 4) ** 2
    laid = tsne.embed(points)
    assert laid.shape == (count, 2)
    assert np.isfinite(laid).all()
