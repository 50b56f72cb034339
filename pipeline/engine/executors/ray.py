"""Whole shards as the work of actors on a Ray cluster: the executor `ray`.

Each actor is one process that holds what `work.start()` loaded and gets one payload at a time. The
project's folder, with `.work/` and data/, is on a file system that every node has at the same path:
an actor works in it, so that the paths of payloads hold, and first looks for a marker there.
The shard of a worker that dies goes to another one, and a new actor is started for the dead one.

Not by Ray's own restarts and task retries with its ActorPool: there a payload stays with its actor,
so that one whose node is removed fails where no other has room for that actor, with the other
workers idle; the pool does not say which payload failed; and nobody learns which process left
files behind.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from pipeline.engine.executors.work import Outcomes, PayloadLost, Work
from pipeline.engine.journal import alive
from reid.project.errors import ReidError
from reid.project.layout import this_process
from reid.project.threads import THREAD_COUNTS, cores

DEATHS = 3  # of workers on one payload, or before any began: more are an error
SEEN_S = 10.0  # a network file system may show the marker late
START_S = 60.0  # without a worker for so long, say so
KNOCK_S = 10.0  # until a head that does not answer is none
END_S = 5.0  # until an actor that was ended is no more
OBJECT_STORE = 80 * 2**20  # bytes; images never pass through it

_log = logging.getLogger("reid.ray")


def over_ray(
    work: Work, payloads: Sequence[Any], workers: int, *, address: str, gpus_per_worker: float
) -> Outcomes:
    """Outcomes as they finish. Raises `ReidError`; workers have ended when this has."""
    if not payloads:
        return
    with session(address, min(workers or cores(), len(payloads))) as ray:
        gpus = gpus_per_worker if work.needs_gpu() else 0.0
        shape = shape_of(nodes(ray), workers, len(payloads), gpus)
        with marker(Path.cwd()) as seen:
            pool = Pool(ray, work, shape, seen)
            try:
                yield from pool.outcomes(payloads)
            finally:
                pool.end()


@contextlib.contextmanager
def session(address: str, workers: int) -> Generator[Any]:
    """Ray, connected to a cluster or started here; one that was connected already is left so."""
    ray = imported()
    if ray.is_initialized():
        yield ray
        return
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    if not address:
        options |= {"num_cpus": workers, "include_dashboard": False}
        options |= {"object_store_memory": OBJECT_STORE}
    try:
        _knock(address)
        ray.init(address=address or "local", **options)
    except Exception as error:  # Ray raises bare ones too
        reason = " ".join(str(error).split())[:200]
        raise ReidError(
            f"ray: no cluster at {address or 'this machine'} ({reason}); start one with "
            "`ray start --head`, or leave --address out for a Ray on this machine alone"
        ) from None
    try:
        yield ray
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """`OSError` where nobody listens: Ray itself asks again for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), KNOCK_S).close()


def imported() -> ModuleType:
    """The ray module, with its usage statistics off."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ImportError:
        raise ReidError(
            'executor ray: ray is not installed; run `pip install ".[scale]"` in the checkout'
        ) from None
    return ray


@dataclass(frozen=True)
class Node:
    """What one machine of the cluster offers."""

    cpus: float
    gpus: float


@dataclass(frozen=True)
class Shape:
    """How many actors, and the cores and GPUs that each asks for."""

    actors: int
    threads: int
    gpus: float


def nodes(ray: Any) -> list[Node]:
    """The living nodes of the cluster."""
    resources = (node["Resources"] for node in ray.nodes() if node["Alive"])
    return [Node(each.get("CPU", 0), each.get("GPU", 0)) for each in resources]


def shape_of(nodes: Sequence[Node], workers: int, payloads: int, gpus: float) -> Shape:
    """As many actors as were asked for, or as there is room for; each has as many cores as fit.

    Without a GPU in the cluster none is asked for. More workers than fit wait for nodes to come.
    """
    gpus = gpus if any(node.gpus for node in nodes) else 0.0

    def room(threads: int) -> int:
        return sum(int(min(n.cpus // threads, n.gpus // gpus if gpus else n.cpus)) for n in nodes)

    actors = min(workers or max(1, room(1)), payloads)
    most = int(max((node.cpus for node in nodes), default=1))
    threads = max((t for t in range(1, most + 1) if room(t) >= actors), default=1)
    return Shape(actors, threads, gpus)


@contextlib.contextmanager
def marker(folder: Path) -> Generator[Path]:
    """A file below the project's `.work` that each node must see; an absolute path."""
    path = folder.absolute() / ".work" / f".seen.{time.time_ns()}.{this_process()}.tmp"
    path.parent.mkdir(parents=True, exist_ok=True)
    for old in path.parent.glob(".seen.*.tmp"):
        if not alive(old):  # its run was killed
            old.unlink(missing_ok=True)
    path.touch()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


class Worker:
    """The actor: one process on some node. An error that is the user's is returned as a value."""

    def begin(self, work: Work, seen: Path, threads: int, patience_s: float) -> str | ReidError:
        """Go to the project's folder and load the model; the name of this process."""
        root, deadline = seen.parent.parent, time.monotonic() + patience_s
        while not seen.exists():
            if time.monotonic() > deadline:
                return ReidError(
                    f"ray: node {_node()} does not see {root}; every node needs the project's "
                    "folder at this path, on a file system that all of them share"
                )
            time.sleep(0.2)
        os.chdir(root)
        import cv2

        cv2.setNumThreads(threads)
        try:
            self.function: Callable[[Any], Any] = work.start()
        except ReidError as error:
            return ReidError(str(error))
        return this_process()

    def step(self, payload: Any) -> Any:
        """The outcome of one payload."""
        try:
            return self.function(payload)
        except ReidError as error:
            return ReidError(str(error))


def _node() -> str:
    import ray

    util: Any = ray.util
    return f"{socket.gethostname()} ({util.get_node_ip_address()})"


@dataclass
class Handle:
    """A worker as the driver knows it."""

    actor: Any
    process: str = ""  # known once it has begun
    index: int | None = None  # of the payload that it works on


class Pool:
    """The workers of one run, and what each of them does."""

    def __init__(self, ray: Any, work: Work, shape: Shape, seen: Path) -> None:
        self.ray, self.work, self.shape, self.seen = ray, work, shape, seen
        self.pending: dict[Any, Handle] = {}  # by the answer that is waited for
        self.idle: list[Handle] = []
        self.killed: list[str] = []  # processes whose end was not their own
        self.todo: deque[int] = deque()
        self.deaths: Counter[int] = Counter()  # by payload
        self.failed_starts = 0  # in a row
        self.at_work = time.monotonic()  # when a worker was last there
        options = {"num_cpus": shape.threads, "num_gpus": shape.gpus, "max_restarts": 0}
        threads = dict.fromkeys(THREAD_COUNTS, str(shape.threads))
        self.actor = ray.remote(Worker).options(
            **options, scheduling_strategy="SPREAD", runtime_env={"env_vars": threads}
        )

    def outcomes(self, payloads: Sequence[Any]) -> Outcomes:
        """The index and outcome of each payload; that of a worker that died goes to another."""
        self.todo, left = deque(range(len(payloads))), len(payloads)
        for _ in range(self.shape.actors):
            self.start_worker()
        while left:
            while self.todo and self.idle:
                worker = self.idle.pop()
                worker.index = self.todo.popleft()
                self.pending[worker.actor.step.remote(payloads[worker.index])] = worker
            for reference in self.answers():
                worker = self.pending.pop(reference)
                try:
                    answer = self.ray.get(reference)
                except self.ray.exceptions.RayTaskError:  # a fault of the program
                    raise
                except self.ray.exceptions.RayError as error:
                    self.replace(worker, error)
                    continue
                if isinstance(answer, ReidError):
                    self.killed.append(worker.process)
                    raise answer
                index, worker.index = worker.index, None
                self.idle.append(worker)
                if index is None:
                    worker.process, self.failed_starts = answer, 0
                    continue
                left -= 1
                yield index, answer

    def start_worker(self) -> None:
        """Ask for one more actor; it begins when the cluster has room for it."""
        actor = self.actor.remote()
        begun = actor.begin.remote(self.work, self.seen, self.shape.threads, SEEN_S)
        self.pending[begun] = Handle(actor)

    def answers(self) -> list[Any]:
        """What has come since, waiting up to a second."""
        ready, _ = self.ray.wait(list(self.pending), timeout=1.0)
        now = time.monotonic()
        if ready or any(worker.index is not None for worker in self.pending.values()):
            self.at_work = now
        elif now - self.at_work > START_S:
            self.at_work = now
            _log.warning("ray: no worker for %g s; is the cluster busy, or too small?", START_S)
        return ready

    def replace(self, worker: Handle, error: Exception) -> None:
        """A worker died: clear up after it, put its payload first in line, start another."""
        self.ray.kill(worker.actor, no_restart=True)
        self.killed.append(worker.process)
        self.sweep()
        first = next(filter(None, str(error).splitlines()), type(error).__name__)
        reason = f"{worker.process or 'a worker'}: {first}"
        _log.warning("ray: a worker died, another takes over: %s", reason)
        if worker.index is None:
            self.failed_starts += 1
            if self.failed_starts > DEATHS + self.shape.actors:
                raise ReidError(f"ray: workers end before they have begun: {reason}")
        else:
            self.deaths[worker.index] += 1
            if self.deaths[worker.index] == DEATHS:
                raise PayloadLost(worker.index, f"{DEATHS} workers died at it, the last: {reason}")
            self.todo.appendleft(worker.index)
        self.start_worker()

    def sweep(self) -> None:
        """Remove what workers that were ended left behind."""
        for process in filter(None, self.killed):
            self.work.ended(process)

    def end(self) -> None:
        """End all actors; those in the middle of a payload leave nothing behind."""
        for worker in [*self.idle, *self.pending.values()]:
            self.ray.kill(worker.actor, no_restart=True)
        self.killed += [worker.process for worker in self.pending.values()]
        if self.pending:
            waited = list(self.pending)
            self.ray.wait(waited, num_returns=len(waited), timeout=END_S)
        self.sweep()
