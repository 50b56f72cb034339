"""Plots: the same bytes for the same numbers, and every name and number on them."""

import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from reid.report import plots

NAMES = ["plain", "_hidden", "cost $x$ & <b>", "人"]
LINE = ([1.0, 2.0, 3.0], [0.3, 0.2, 0.1])
MAKERS = {
    "histogram": lambda: plots.histogram({n: np.array([1, 2, 2]) for n in NAMES}, "x", "y"),
    "bars": lambda: plots.bars(["1", "2"], {n: [1, 2] for n in NAMES}, "camera", "images"),
    "curves": lambda: plots.curves({"loss": dict.fromkeys(NAMES, LINE)}, "epoch", ["loss"]),
    "means": lambda: plots.means({"mAP": {n: {0.0: [1], 0.3: [2, 4]} for n in NAMES}}, "p"),
    "points": lambda: plots.points({n: np.eye(2) for n in NAMES}),
    "cmc": lambda: plots.cmc({n: [0.5, 0.75] for n in NAMES}, 0.1),
}


def texts(plot):
    """All text of a plot, one string a label."""
    return [e.text for e in ElementTree.fromstring(plot).iter() if e.tag.endswith("}text")]


@pytest.mark.parametrize("maker", MAKERS)
def test_same_bytes_and_no_time(maker):
    plot = MAKERS[maker]()
    assert plot == MAKERS[maker]()
    assert b"date" not in plot.lower()


@pytest.mark.parametrize("maker", MAKERS)
def test_names_are_shown_as_they_are(maker):
    shown = " | ".join(texts(MAKERS[maker]()))
    for name in NAMES:
        assert name in shown


def test_same_bytes_from_another_process():
    code = (
        "import sys; from reid.report import plots\n"
        "sys.stdout.buffer.write(plots.cmc({'a': [0.5, 0.75]}, 0.1))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert ran.stdout == plots.cmc({"a": [0.5, 0.75]}, 0.1)


def test_cmc_names_rank_1_and_chance():
    shown = texts(plots.cmc({"ours": [0.4567, 1.0]}, 0.0123))
    assert "ours: rank-1 45.7 %" in shown
    assert "rank-1 by chance: 1.2 %" in shown


def test_means_are_marked_where_there_are_values():
    shown = texts(plots.means({"mAP": {"a": {0.0: [1], 0.9: [2]}, "b": {0.25: [2, 4]}}}, "p"))
    assert [t for t in shown if t in ("0.00", "0.25", "0.50", "0.90")] == ["0.00", "0.25", "0.90"]


def test_logarithmic_ticks_are_numbers():
    shown = texts(plots.curves({"rate": {"a": ([1, 2], [0.01, 0.0001])}}, "epoch", ["rate"]))
    assert {"0.01", "0.0001"} <= set(shown)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([5], id="one identity"),
        pytest.param([1, 100_000], id="far apart"),
        pytest.param([3] * 50, id="all alike"),
    ],
)
def test_histogram_of_odd_numbers(values):
    assert texts(plots.histogram({"training": np.array(values)}, "images", "identities"))


def test_many_cameras_keep_readable_ticks():
    names = [str(i) for i in range(100)]
    shown = [t for t in texts(plots.bars(names, {"all": [1.0] * 100}, "camera", "n")) if t in names]
    assert {"0", "7", "98"} <= set(shown)
    assert len([t for t in shown if int(t) > 2]) < 20


def test_one_point_is_a_dot_and_no_spread_no_failure():
    plot = plots.curves(
        {"loss": {"a": ([1.0], [0.0])}, "rate": {"a": ([1.0], [0.1])}}, "epoch", ["rate"]
    )
    assert "a" in texts(plot)
