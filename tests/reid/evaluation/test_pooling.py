"""Pooled features against loops over the labels."""

import numpy as np
import pytest

from reid.evaluation.pooling import pool_queries
from reid.project.errors import ReidError


@pytest.mark.parametrize(
    ("pool", "first"),
    [pytest.param("mean", [2, 3], id="mean"), pytest.param("max", [3, 6], id="max")],
)
def test_by_hand(pool, first):
    feature = [[9, 9], [1, 6], [5, -5], [3, 0]]
    pooled, person, camera = pool_queries(np.array(feature), [2, 1, 1, 1], [0, 1, 2, 1], pool)
    assert pooled.tolist() == [first, [5, -5], [9, 9]]
    assert pooled.dtype == np.float32
    assert (person.tolist(), camera.tolist()) == ([1, 1, 2], [1, 2, 0])


@pytest.mark.parametrize(("pool", "reduce"), [("mean", np.mean), ("max", np.max)])
def test_against_loops(pool, reduce):
    rng = np.random.default_rng(3)
    feature, person, camera = rng.normal(size=(90, 8)), np.arange(90) % 7, rng.integers(0, 3, 90)
    keys = sorted({(int(p), int(c)) for p, c in zip(person, camera, strict=True)})
    pooled, persons, cameras = pool_queries(feature, person, camera, pool)
    assert list(zip(persons.tolist(), cameras.tolist(), strict=True)) == keys
    for row, (p, c) in zip(pooled, keys, strict=True):
        members = feature[(person == p) & (camera == c)]
        np.testing.assert_allclose(row, reduce(members, axis=0), rtol=1e-6, atol=1e-6)


def test_what_is_refused():
    with pytest.raises(ReidError, match="pool: no `median`"):
        pool_queries(np.zeros((1, 2)), [1], [1], "median")
    with pytest.raises(ReidError, match="3 rows for 2"):
        pool_queries(np.zeros((3, 2)), [1, 1], [1, 1])
