"""The meter of long work: what it says, where it says it, and how workers move it."""

from __future__ import annotations

import io
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reid.project import progress
from reid.project.progress import Meter, advance, duration, expect


@pytest.fixture
def slow_clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds since the beginning, as the meter sees them."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    return now


def meter(*given, **named) -> Meter:
    return Meter(*given, silent=True, **named)


def test_a_training_says_epoch_loss_speed_rest_and_log(slow_clock):
    log = Path(".work/logs/train-mine.log")
    with meter("train mine", 20_000, unit="images", log=log) as shown:
        slow_clock[0], shown.said = 10.0, "epoch 3/20, loss 4.3"
        shown.reach(1580)
        assert shown.text() == (
            "epoch 3/20, loss 4.3, 158 images/s, 117 s left; log: .work/logs/train-mine.log"
        ).replace("117 s", "2 min")


@pytest.mark.parametrize(
    ("total", "before", "done", "rejects", "said"),
    [
        (1000, 0, 0, 0, "0 of 1,000 rows, 10 s so far"),
        (1000, 0, 250, 0, "250 of 1,000 rows, 25 rows/s, 30 s left"),
        (1000, 500, 510, 3, "510 of 1,000 rows, 3 rejects, 1 rows/s, 8 min left"),
        (0, 0, 250, 0, "250 rows, 25 rows/s, 10 s so far"),
        (0, 0, 0, 0, "at work, 10 s so far"),
        (28, 0, 32, 0, "28 of 28 rows, 2.8 rows/s, 0 s left"),
        (28, 32, 32, 0, "28 of 28 rows, 10 s so far"),
    ],
)
def test_other_work_says_its_count(slow_clock, total, before, done, rejects, said):
    with meter("parts toy", total, before) as shown:
        slow_clock[0] = 10.0
        shown.reach(done)
        shown.rejects = rejects
        assert shown.text() == said


def test_a_total_that_shrinks_while_the_line_is_made_is_not_passed(slow_clock, monkeypatch):
    with meter("crops top", 32) as shown:
        slow_clock[0] = 10.0
        monkeypatch.setattr(Meter, "done", property(lambda self: 32))
        shown.total = 28
        assert shown.text() == "28 of 28 rows, 2.8 rows/s, 0 s left"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0 s"), (0.4, "0.4 s"), (9.96, "10 s"), (89, "89 s"), (120, "2 min"), (5400, "1.5 h")],
)
def test_durations_are_short(seconds, said):
    assert duration(seconds) == said


def test_the_innermost_meter_is_moved_and_the_outermost_shown():
    with Meter("outer") as outer:
        expect(10)
        advance(2)
        with Meter("inner", 5) as inner:
            advance(4)
    assert (outer.total, outer.done, inner.done) == (10, 2, 4)
    assert outer.thread is not None
    assert inner.thread is None
    advance(1)  # without a meter: nothing


def test_workers_of_other_processes_move_it(tmp_path: Path):
    counts = tmp_path / "counts"
    code = "import sys; from pathlib import Path; from reid.project import progress as p\n"
    code += "p.count_into(Path(sys.argv[1])); p.advance(7)"
    with meter("parts toy", 20, 2, counts=counts) as shown:
        for done in (9, 16, 20):  # never more than there is
            subprocess.run([sys.executable, "-c", code, str(counts)], check=True)
            assert shown.done == done
        shown.reach(12)
        assert shown.done == 20
    assert not counts.exists()


def test_without_a_terminal_there_are_lines(monkeypatch, capsys):
    monkeypatch.setattr(progress, "EVERY_S", 0.02)
    with Meter("parts toy", 40) as shown:
        advance(10)
        time.sleep(0.2)
    lines = capsys.readouterr().err.splitlines()
    assert 2 <= len(lines) <= 11
    assert all(line.startswith("parts toy: 10 of 40 rows, ") for line in lines)
    assert shown.thread is not None
    assert not shown.thread.is_alive()


def test_on_a_terminal_there_is_a_bar(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "LOOK_S", 0.02)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("TERM", "xterm")
    with Meter("parts [toy]", 40):
        advance(10)
        time.sleep(0.3)
    assert "parts [toy]" in screen.getvalue()
    assert "10 of 40 rows" in screen.getvalue()


def test_work_that_is_done_at_once_shows_nothing(capsys):
    with Meter("parts toy", 40):
        advance(40)
    assert capsys.readouterr().err == ""
