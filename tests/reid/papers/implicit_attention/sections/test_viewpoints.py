"""Poses in a plane: principal components by hand, clouds that stay apart, odd inputs."""

from __future__ import annotations

import numpy as np
import pytest

from reid.papers.implicit_attention.sections.viewpoints import principal


def test_axes_by_hand():
    # spread along (3, 4) / 5 and, by half, across it; the third dimension is always 7
    along, across = np.array([3, 4, 0]) / 5, np.array([-4, 3, 0]) / 5
    steps = [(2, 0), (-2, 0), (0, 1), (0, -1)]
    points = np.array([[0, 0, 7] + a * along + b * across for a, b in steps])
    laid, share = principal(points)
    np.testing.assert_allclose(laid, [(2, 0), (-2, 0), (0, -1), (0, 1)], atol=1e-12)
    assert share == pytest.approx(1)


def test_the_share_of_the_variance_by_hand():
    assert principal(np.diag([3.0, 3.0, 3.0, 3.0]))[1] == pytest.approx(2 / 3)


def test_clouds_far_apart_stay_so():
    random, member = np.random.default_rng(0), np.arange(90) % 3
    laid, share = principal(random.normal(size=(90, 36)) + 12 * np.eye(36)[member])
    middles = np.array([laid[member == k].mean(0) for k in range(3)])
    inside = np.linalg.norm(laid - middles[member], axis=1).max()
    between = [np.linalg.norm(middles[a] - middles[b]) for a, b in ((0, 1), (0, 2), (1, 2))]
    assert min(between) > 2 * inside
    assert 0.5 < share < 0.95


@pytest.mark.parametrize("count", [1, 2, 3, 12])
def test_few_points_and_equal_ones(count):
    laid, share = principal(np.ones((count, 4)))
    np.testing.assert_array_equal(laid, np.zeros((count, 2)))
    assert share == 0
    laid, share = principal(np.arange(4.0 * count).reshape(count, 4))  # on a line
    assert share == pytest.approx(float(count > 1))
    np.testing.assert_allclose(laid[:, 1], 0, atol=1e-6)
