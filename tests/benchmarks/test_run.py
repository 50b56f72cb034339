"""The benchmark as a whole, and its parts of filling in, on a street of a fraction of the size."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from reid.project.errors import ReidError
from reid.project.layout import Project
from tests.benchmarks import run
from tests.benchmarks import swaps as bench_swaps

KEYS = {"name", "value", "limit", "ratio", "goal", "holds"}


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


def test_parts_get_whole_paths_and_what_was_measured_is_kept(tmp_path, monkeypatch):
    """Some parts change into a project of their own; one that fails costs none before it."""
    monkeypatch.chdir(tmp_path)
    given: list[Path] = []

    def measure(folder: Path, *_: object) -> list[dict[str, Any]]:
        given.append(folder)
        return [{"name": folder.name}]

    def fail(*_: object) -> None:
        raise ReidError("broken")

    for part, name in (("turns", "io"), ("peers", "peers"), ("stages", "stages")):
        monkeypatch.setattr(f"tests.benchmarks.{part}.rows_{name}", measure)
    monkeypatch.setattr("tests.benchmarks.starts.rows_starts", fail)
    with pytest.raises(ReidError, match="broken"):
        run.run(Project(Path()), 10)
    assert all(folder.is_absolute() for folder in given)
    kept = json.loads((tmp_path / "data/4-reports/bench.json").read_text())
    assert [row["name"] for row in kept] == ["io", "peers", "stages"]
