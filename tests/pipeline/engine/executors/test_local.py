"""Executors: order-free outcomes, a dead worker, workers that end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from pipeline.engine.executors import choose as executors
from pipeline.engine.executors import local
from pipeline.engine.executors.work import Work
from reid.project.errors import ReidError
from reid.project.threads import cores, thread_limit


@dataclass(frozen=True)
class Squares(Work):
    def start(self):
        return lambda x: (x * x, os.environ["OMP_NUM_THREADS"] if x == 0 else "")


@dataclass(frozen=True)
class DiesAtThree(Work):
    def start(self):
        def function(x: int) -> int:
            if x == 3:
                os.kill(os.getpid(), signal.SIGKILL)
            return x

        return function


@dataclass(frozen=True)
class Fails(Work):
    def start(self):
        def function(x: int) -> int:
            raise ReidError(f"row {x} is no good")

        return function


@dataclass(frozen=True)
class DoesNotStart(Work):
    def start(self):
        raise AssertionError("no payload asks for it")


@pytest.mark.parametrize("name", ["local", "pool"])
def test_every_payload_has_its_outcome(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    outcome = dict(executors.EXECUTORS[name](Squares(), [0, 1, 2, 3], 2))
    assert {i: value for i, (value, _) in outcome.items()} == {0: 0, 1: 1, 2: 4, 3: 9}
    shared = str(max(1, cores() // 2))
    assert outcome[0][1] == (shared if name == "pool" else "7")
    assert os.environ["OMP_NUM_THREADS"] == "7", "the parent's own setting is put back"


def test_a_dead_worker_is_one_clear_error():
    with pytest.raises(ReidError, match="ended unexpectedly"):
        list(executors.pool(DiesAtThree(), list(range(6)), 2))


@pytest.mark.parametrize("name", ["local", "pool"])
def test_an_error_in_a_worker_arrives_as_it_is(name: str):
    with pytest.raises(ReidError, match=r"row \d is no good"):
        list(executors.EXECUTORS[name](Fails(), [1, 2], 2))


@pytest.mark.parametrize("name", ["local", "pool"])
def test_nothing_to_do_loads_no_model(name: str):
    assert list(executors.EXECUTORS[name](DoesNotStart(), [], 2)) == []


def test_no_number_of_workers_is_one_a_core(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(local, "cores", lambda: 2)
    outcome = dict(executors.pool(Squares(), [0, 1, 2], 0))
    assert {i: value for i, (value, _) in outcome.items()} == {0: 0, 1: 1, 2: 4}
    assert outcome[0][1] == "1", "each of two processes has one of two cores"


def test_an_executor_is_chosen_by_name():
    assert executors.chosen("pool") is executors.pool
    with pytest.raises(ReidError, match=r"no executor `spark` \(there are local, pool, ray\)"):
        executors.chosen("spark")


def test_an_address_is_for_ray_alone():
    with pytest.raises(ReidError, match="executor pool: takes no address"):
        executors.chosen("pool", address="auto")
    with pytest.raises(ReidError, match="gpus_per_worker is -1"):
        executors.chosen("ray", gpus_per_worker=-1)


def test_params_and_the_command_say_which_executor():
    run = {"executor": "ray", "address": "head:6379", "gpus_per_worker": 0.5}
    assert executors.of_settings(run).keywords == {"address": "head:6379", "gpus_per_worker": 0.5}
    assert executors.of_settings(run, address="auto").keywords["address"] == "auto"
    assert executors.of_settings(run, "pool") is executors.pool
    assert executors.of_settings({}) is executors.pool
    with pytest.raises(ReidError, match="executor local: takes no address"):
        executors.of_settings(run, "local", "auto")


OF_A_POOL = """
import os, sys, time
from dataclasses import dataclass
from pathlib import Path
from pipeline.engine.executors.local import pool
from pipeline.engine.executors.work import Work

@dataclass(frozen=True)
class Sleeps(Work):
    folder: Path

    def start(self):
        (self.folder / f'{os.getpid()}.ready').touch()
        return time.sleep

if __name__ == '__main__':
    list(pool(Sleeps(Path(sys.argv[1])), [3600, 3600], 2))
"""
OF_A_RENDERER = """
import sys, time
from pathlib import Path
import psutil
from pipeline.world.scenes.street import Params

if __name__ == '__main__':
    small = {'images_min': 2, 'images_max': 2, 'height': 32, 'width': 16}
    for _ in Params(cameras=2, train_identities=9, test_identities=9, **small).render(2):
        for child in psutil.Process().children():
            (Path(sys.argv[1]) / f'{child.pid}.ready').touch()
        time.sleep(3600)
"""
SECONDS = 120  # for what takes one or two on an idle machine


@pytest.mark.slow
@pytest.mark.parametrize("parent", [OF_A_POOL, OF_A_RENDERER], ids=["pool", "renderer"])
def test_workers_end_with_a_killed_parent(tmp_path: Path, parent: str):
    script = tmp_path / "parent.py"
    script.write_text(parent)
    with subprocess.Popen([sys.executable, str(script), str(tmp_path)]) as run:
        try:
            workers = wait_until(run, lambda: sorted(tmp_path.glob("*.ready")), 2)
            children = psutil.Process(run.pid).children(recursive=True)
            assert {int(path.stem) for path in workers} <= {child.pid for child in children}
        finally:
            run.kill()
        run.wait()
    _, alive = psutil.wait_procs(children, timeout=SECONDS)
    assert not [p for p in alive if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def wait_until(
    run: subprocess.Popen[bytes], seen: Callable[[], list[Path]], count: int
) -> list[Path]:
    """What is `seen` as soon as there are so many; fails where the process ends before."""
    end = time.monotonic() + SECONDS
    while len(result := seen()) < count:
        assert run.poll() is None, "the parent ended by itself"
        assert time.monotonic() < end, f"{len(result)} of {count} after {SECONDS} s"
        time.sleep(0.02)
    return result


def test_thread_limit_restores_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with thread_limit(3):
        assert os.environ["MKL_NUM_THREADS"] == "3"
    assert "MKL_NUM_THREADS" not in os.environ
