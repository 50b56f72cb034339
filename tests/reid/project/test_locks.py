"""The lock of a run: who holds it is named, also where the holder has only just got it."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import IO

import pytest

from reid.project import locks
from reid.project.errors import ReidError
from reid.project.locks import lock


def name_of(process: int) -> str:
    return f"process {process} on {socket.gethostname()}, since 12:00:00"


ENDED = name_of(2**22 + 1)  # beyond any process's number


def when_it_waits(monkeypatch: pytest.MonkeyPatch, act: Callable[[], object]) -> list[float]:
    """Do `act` where somebody has seen that the lock is taken, and by nobody known."""
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 1:
            act()

    monkeypatch.setattr(locks.time, "sleep", sleep)
    return waits


def write(file: IO[str], text: str) -> None:
    file.truncate(0)
    file.seek(0)
    file.write(text)
    file.flush()


def test_the_holder_is_named_and_the_lock_ends_with_it(tmp_path: Path):
    path = tmp_path / "locks" / "work"
    with (
        lock(path, "work"),
        pytest.raises(ReidError, match=f"work is at work already: process {os.getpid()} on"),
        lock(path, "work"),
    ):
        raise AssertionError("two hold it")
    with lock(path, "work"):
        assert path.read_text().count("process") == 1, "the earlier name is gone"


@pytest.mark.parametrize("before", ["", ENDED])
def test_a_holder_that_has_not_written_its_name_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: str
):
    path = tmp_path / "work"
    with path.open("w") as file:
        write(file, before)
        fcntl.flock(file, fcntl.LOCK_EX)
        waits = when_it_waits(monkeypatch, lambda: write(file, name_of(os.getppid())))
        with (
            pytest.raises(ReidError, match=f"already: process {os.getppid()} on .*; wait for it"),
            lock(path, "work"),
        ):
            raise AssertionError("two hold it")
    assert len(waits) == 1


def test_a_lock_that_is_given_back_meanwhile_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    path = tmp_path / "work"
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        waits = when_it_waits(monkeypatch, lambda: fcntl.flock(file, fcntl.LOCK_UN))
        with lock(path, "work"):
            assert path.read_text().startswith(f"process {os.getpid()} on")
    assert len(waits) == 1


def test_a_holder_that_never_says_who_it_is_is_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(locks, "NAMED_S", 0.0)
    path = tmp_path / "work"
    with path.open("w") as file:
        write(file, ENDED)
        fcntl.flock(file, fcntl.LOCK_EX)
        with (
            pytest.raises(ReidError, match="already: another process; wait for it"),
            lock(path, "work"),
        ):
            raise AssertionError("two hold it")
