"""Ray against the process pool on payloads of pure computing, and a second node's gain.

Both run the same work on as many workers, begun anew in each turn; the cluster runs already, as
one that is shared does. Nodes are processes of this machine, so two of them gain only where it
has two cores to spare.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from pipeline.engine.executors import choose as executors
from pipeline.engine.executors.work import Work
from tests.benchmarks.turns import row

SECONDS = 10.0  # of one payload, as a small shard of a network stage takes
ROUNDS = 2
BLOCK = 1 << 20  # bytes hashed in one go


@dataclass(frozen=True)
class Hashes(Work):
    """Hashes so many blocks: one core, no memory to speak of, no file."""

    def start(self) -> Callable[[int], int]:
        return hashed


def hashed(blocks: int) -> int:
    digest, block = hashlib.sha256(), bytes(BLOCK)
    for _ in range(blocks):
        digest.update(block)
    return digest.digest()[0]


def rows_ray(
    seconds: float = SECONDS, workers: int = 2, each: int = 3, rounds: int = ROUNDS
) -> list[dict[str, Any]]:
    """`each` payloads a worker of `seconds` each; [] where ray is not installed."""
    if find_spec("ray") is None:
        return []
    payloads = [blocks_of(seconds)] * (workers * each)
    with cluster(workers) as (address, _):
        against = _turns(
            [
                lambda: _run(executors.EXECUTORS["pool"], payloads, workers),
                lambda: _run(executors.chosen("ray", address=address), payloads, workers),
            ],
            rounds,
        )
    with cluster(1) as (address, grow):
        on_ray = executors.chosen("ray", address=address)
        one = _run(on_ray, payloads[: 2 * each], 1)
        grow()
        two = _run(on_ray, payloads[: 2 * each], 2)
    total = seconds * len(payloads)
    name = f"{len(payloads)} payloads of {seconds:g} s"
    return [
        row(f"Ray, {name}, {workers} workers, core seconds/s (process pool)",
            total / against[1], total / against[0], 0.9),
        row(f"Ray, {2 * each} payloads of {seconds:g} s on two nodes, a second (one node)",
            2 * each / two, 2 * each / one, None),
    ]  # fmt: skip


def blocks_of(seconds: float) -> int:
    """How many blocks one core hashes in so long, by a short trial."""
    begin = time.process_time()
    hashed(64)
    return max(1, round(64 * seconds / (time.process_time() - begin)))


@contextmanager
def cluster(cores: int) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The address of a small cluster on this machine, and what adds a node of one core to it."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    small: dict[str, Any] = {"object_store_memory": 80 * 2**20}
    made = Cluster(True, head_node_args={**small, "num_cpus": cores, "include_dashboard": False})
    try:
        yield str(made.address), lambda: made.add_node(num_cpus=1, **small)
    finally:
        made.shutdown()


def _run(executor: executors.Executor, payloads: list[int], workers: int) -> float:
    """Seconds, the workers' start included."""
    begin = time.perf_counter()
    with closing(executor(Hashes(), payloads, workers)) as outcomes:
        assert sum(1 for _ in outcomes) == len(payloads)
    return time.perf_counter() - begin


def _turns(actions: list[Callable[[], float]], rounds: int) -> list[float]:
    """Seconds of each, the sums over turns A B, B A ..."""
    total = [0.0] * len(actions)
    for turn in range(rounds):
        for i in range(len(actions))[:: 1 if turn % 2 == 0 else -1]:
            total[i] += actions[i]()
    return [seconds / rounds for seconds in total]
