"""Learning rates worked by hand."""

from __future__ import annotations

import pytest

from reid.nn import schedules

TRIPLET, SOFTMAX = (10, 0.01, (40, 70), 0.1), (5, 0.01, (30, 55), 0.1)


@pytest.mark.parametrize(
    ("epoch", "settings", "share"),
    [
        pytest.param(0, TRIPLET, 0.109, id="the first epoch is a tenth of the way up already"),
        pytest.param(0.99, TRIPLET, 0.109, id="an epoch keeps its share"),
        pytest.param(4, TRIPLET, 0.505, id="half way"),
        pytest.param(8, TRIPLET, 0.901, id="the last epoch of the warm-up"),
        pytest.param(9, TRIPLET, 1.0, id="epoch number 10 is warm"),
        pytest.param(38.9, TRIPLET, 1.0, id="epoch number 39"),
        pytest.param(39, TRIPLET, 0.1, id="epoch number 40"),
        pytest.param(68, TRIPLET, 0.1, id="epoch number 69"),
        pytest.param(69, TRIPLET, 0.01, id="epoch number 70"),
        pytest.param(279, TRIPLET, 0.01, id="the last of 280"),
        pytest.param(0, SOFTMAX, 0.208, id="softmax: the first epoch"),
        pytest.param(4, SOFTMAX, 1.0, id="softmax: epoch number 5 is warm"),
        pytest.param(28, SOFTMAX, 1.0, id="softmax: epoch number 29"),
        pytest.param(29, SOFTMAX, 0.1, id="softmax: epoch number 30"),
        pytest.param(54, SOFTMAX, 0.01, id="softmax: epoch number 55"),
        pytest.param(0, (0, 0.01, (), 0.1), 1.0, id="no warm-up"),
        pytest.param(1, (4, 0.2, (1, 2), 0.5), 0.6 * 0.25, id="milestones inside the warm-up"),
    ],
)
def test_warm_up_and_steps(epoch, settings, share):
    assert schedules.warm_up_and_steps(epoch, *settings) == pytest.approx(share)


@pytest.mark.parametrize(("epoch", "share"), [(0, 1), (39.99, 1), (40, 0.1), (79, 0.1), (80, 0.01)])
def test_steps(epoch, share):
    assert schedules.steps(epoch, 40, 0.1) == pytest.approx(share)


@pytest.mark.parametrize(
    ("epoch", "share"), [(0, 0.04), (1.5, 0.52), (3, 1.0), (6.5, 0.5), (10, 0.0)]
)
def test_one_cycle_rises_for_three_tenths_and_falls_to_zero(epoch, share):
    assert schedules.one_cycle(epoch, 10) == pytest.approx(share, abs=1e-9)
