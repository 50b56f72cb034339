"""Run the same shard function in this process, in spawned worker processes, or on a Ray cluster.

A `Work` is picklable; `start()` runs once per worker (it loads the model), and what it returns
takes one payload and gives one small outcome. Images never travel between processes: payloads
name files, outcomes are counts and hashes. Another executor is one more function of the shape
`(work, payloads, workers) -> Iterator[(index, outcome)]`; 0 workers are as many as there is room.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any, Protocol

from pipeline.core.errors import ReidError


class Work(Protocol):
    """What a worker needs to know, picklable.

    Optional, for executors that can use them: `needs_gpu()` says whether it runs a network that
    would use a GPU; `ended(process)` clears, in the driver, what a killed worker left behind.
    """

    def start(self) -> Callable[[Any], Any]: ...


Outcomes = Generator[tuple[int, Any], None, None]  # closing it ends the workers
Executor = Callable[[Work, Sequence[Any], int], Outcomes]


class PayloadLost(ReidError):
    """A payload whose workers died again and again; `index` is its place among the payloads."""

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index


def in_process(work: Work, payloads: Sequence[Any], workers: int) -> Outcomes:
    """One payload after the other, here; `workers` cores are left to the libraries' threads."""
    del workers
    if not payloads:
        return
    function = work.start()
    for index, payload in enumerate(payloads):
        yield index, function(payload)


def pool(work: Work, payloads: Sequence[Any], workers: int) -> Outcomes:
    """Spawned processes, each with its share of the cores; outcomes as they finish.

    A worker that dies (killed, out of memory) ends the run with one clear error; what other
    workers finished is kept. Workers end when this process does, however it ends.
    """
    workers = min(workers or cores(), len(payloads))
    if workers <= 1:
        yield from in_process(work, payloads, workers)
        return
    threads = max(1, cores() // workers)
    context = multiprocessing.get_context("spawn")
    with thread_limit(threads):  # read by the children when their libraries load
        executor = ProcessPoolExecutor(workers, context, _begin, (work, threads, os.getpid()))
        pending = {executor.submit(_step, payload): i for i, payload in enumerate(payloads)}
    try:
        while pending:
            done, _ = wait(pending, return_when=FIRST_COMPLETED)
            for future in done:
                yield pending.pop(future), future.result()
    except BrokenProcessPool:
        raise ReidError(
            "a worker process ended unexpectedly (killed, or out of memory); finished shards are "
            "kept: run the same command again, with fewer --workers if memory was short"
        ) from None
    finally:
        if pending:  # stopped early: do not wait for shards in flight
            for child in multiprocessing.active_children():
                child.terminate()
        executor.shutdown(wait=True, cancel_futures=True)


def on_ray(
    work: Work, payloads: Sequence[Any], workers: int,
    *, address: str = "", gpus_per_worker: float = 1,
) -> Outcomes:  # fmt: skip
    """Actors of a Ray cluster; without an address, of a Ray that is started here and ended again.

    `gpus_per_worker` is asked for by work that runs a network, where the cluster has GPUs.
    """
    from pipeline.core.executor_ray import over_ray

    return over_ray(work, payloads, workers, address=address, gpus_per_worker=gpus_per_worker)


EXECUTORS: dict[str, Executor] = {"local": in_process, "pool": pool, "ray": on_ray}


def chosen(name: str, *, address: str = "", gpus_per_worker: float = 1) -> Executor:
    """The executor of a name, with what Ray alone takes. `ReidError` for no such name."""
    if name not in EXECUTORS:
        raise ReidError(f"no executor `{name}` (there are {', '.join(EXECUTORS)})")
    if name != "ray" and address:
        raise ReidError(f"executor {name}: takes no address; leave it out, or use --executor ray")
    if gpus_per_worker < 0:
        raise ReidError(f"run: gpus_per_worker is {gpus_per_worker:g}, must be 0 or more")
    if name == "ray":
        return partial(on_ray, address=address, gpus_per_worker=gpus_per_worker)
    return EXECUTORS[name]


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def of_settings(
    settings: Mapping[str, Any], name: str | None = None, address: str | None = None
) -> Executor:
    """The executor that params.yaml's section `run` says; a command's `name`, `address` go first.

    The section's address and GPUs are Ray's alone, and stay there when another executor is named.
    """
    name = name or str(settings.get("executor", "pool"))
    if name != "ray":
        return chosen(name, address=address or "")
    address = str(settings.get("address", "")) if address is None else address
    return chosen(name, address=address, gpus_per_worker=settings.get("gpus_per_worker", 1))


class thread_limit:  # used as a context manager
    """Set the thread counts that OpenMP and BLAS read when a child process loads them."""

    NAMES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

    def __init__(self, threads: int) -> None:
        self.threads = threads
        self.before: dict[str, str | None] = {}

    def __enter__(self) -> None:
        self.before = {name: os.environ.get(name) for name in self.NAMES}
        os.environ.update(dict.fromkeys(self.NAMES, str(self.threads)))

    def __exit__(self, *_: object) -> None:
        for name, value in self.before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


_function: Callable[[Any], Any] | None = None


def _begin(work: Work, threads: int, parent: int) -> None:
    """A worker's first act: follow the parent's end, leave Ctrl-C to it, load the model."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import cv2

    cv2.setNumThreads(threads)
    global _function
    _function = work.start()


def _step(payload: Any) -> Any:
    assert _function is not None
    return _function(payload)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
