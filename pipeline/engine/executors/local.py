"""Payloads in this process, or in spawned worker processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any

from pipeline.engine.executors.work import Outcomes, Work
from reid.project.errors import ReidError
from reid.project.threads import cores, end_with, thread_limit


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


_function: Callable[[Any], Any] | None = None


def _begin(work: Work, threads: int, parent: int) -> None:
    """A worker's first act: follow the parent's end, leave Ctrl-C to it, load the model."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_with(parent)
    import cv2

    cv2.setNumThreads(threads)
    global _function
    _function = work.start()


def _step(payload: Any) -> Any:
    assert _function is not None
    return _function(payload)
