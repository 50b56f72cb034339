"""The comparison of Ray with the pool, on payloads of a fraction of the size."""

import pytest

from tests.benchmarks.ray import rows_ray

pytest.importorskip("ray")


def test_both_do_all_payloads():
    rows = rows_ray(seconds=0.05, workers=2, each=1, rounds=1)
    assert [row["goal"] for row in rows] == [">= 0.9", ""]
    assert all(row["value"] > 0 for row in rows)
