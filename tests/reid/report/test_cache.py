"""Chapters are drawn again where an input or the code changed, and only there."""

import os
from pathlib import Path

import pytest

from reid.project.layout import Project
from reid.report import cache as caches
from reid.report.cache import Cache
from reid.report.render import Drawn


@pytest.fixture
def drawn(tmp_path: Path):
    """Ask a new process's cache for a chapter; whether it was drawn."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run/metrics.json").write_text("{}")

    def ask(title: str = "a", prune: bool = False) -> bool:
        calls = []
        cache = Cache(Project(tmp_path))
        expected = Drawn(title, [["s", "x"]], "<p>ü\\u2028</p>")

        def draw() -> Drawn:
            calls.append(title)
            return expected

        assert cache.drawn(title, [tmp_path / "run"], draw) == expected
        if prune:
            cache.prune()
        return bool(calls)

    assert ask()
    return ask


def test_unchanged_inputs_are_not_drawn_again(drawn):
    assert not drawn()


def replace(path: Path):
    path.write_text("[]")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda run: (run / "more.json").write_text(""), id="a further file"),
        pytest.param(lambda run: (run / "metrics.json").unlink(), id="a file less"),
        pytest.param(lambda run: (run / "metrics.json").write_text("{ }"), id="another size"),
        pytest.param(lambda run: replace(run / "metrics.json"), id="of the same size"),
    ],
)
def test_a_changed_input_is_drawn_again(drawn, tmp_path: Path, change):
    change(tmp_path / "run")
    assert drawn()
    assert not drawn()


def test_other_code_draws_again(drawn, tmp_path: Path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/plots.py").write_text("")
    monkeypatch.setattr(caches, "CODE", tmp_path / "code")
    assert drawn()
    (tmp_path / "code/plots.py").write_text("#")
    assert drawn()


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"title": 1}'])
def test_what_is_damaged_is_drawn_again(drawn, tmp_path: Path, damage):
    (path,) = (tmp_path / ".work/report").iterdir()
    path.write_text(damage)
    assert drawn()
    assert not drawn()


def test_what_the_page_does_not_hold_any_more_is_removed(drawn, tmp_path: Path):
    assert drawn("b", prune=True)
    assert len([*(tmp_path / ".work/report").iterdir()]) == 1
    assert not drawn("b")
