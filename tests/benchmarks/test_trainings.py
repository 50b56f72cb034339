"""The trainings' benchmark on two of the demo's experiments, a step each."""

import pytest

from tests.benchmarks import trainings
from tests.benchmarks.test_run import KEYS


@pytest.mark.slow
def test_rows(tmp_path, monkeypatch):
    for name, value in {"IDENTITIES": 4, "STEPS": 1, "ROUNDS": 1}.items():
        monkeypatch.setattr(trainings, name, value)
    names = ["street-baseline", "street-intra-inter"]
    rows = trainings.rows_trainings(tmp_path / "project", names)
    assert all(set(row) == KEYS for row in rows)
    assert [row["name"].split()[1].rstrip(",") for row in rows] == names
