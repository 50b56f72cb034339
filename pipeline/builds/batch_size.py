"""How many images a network call of a stage should take, measured here.

Where batches begin and end may change a result's last bits, so a stage's `batch` is part of what
its shards are, and has to stand in params.yaml: `reid masks mall --batch auto` says what to write.

Calls of 1, 2, 4, ... rows are timed on the first rows of the build's data set, decoded outside the
clock, on as many threads, and in as much of the GPU's memory, as one worker of several has. First
each size is tried, as far as memory and time allow; then the fast ones take turns over the same
rows. The smallest is chosen that comes within `WITHIN` of the best.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.engine import inputs
from pipeline.engine.stage import AnyStage, Resources
from pipeline.stages import stage as find_stage
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.params import DerivedParams
from reid.project.threads import cores
from reid.shards.folder import Shard

LIMIT = 256  # images a call
SECONDS = 60.0  # of a search
TRIED = 1 / 8  # of them, for trying each size
TRY_SECONDS = 0.3  # a size is tried until then, or three times
ROUNDS = 7  # at most
WITHIN = 0.03  # of the best
SLOWER, HOPELESS = 0.9, 0.6  # of the best: two such sizes end the trial on a CPU; no turn for these
MEMORY = 0.9  # of a worker's share of the GPU's memory; the rest is CUDA's own

Say = Callable[[str], None]


@dataclass(frozen=True)
class Found:
    """A search's result."""

    batch: int
    rates: dict[int, float]  # images/s by batch
    ended: str  # why no larger batch was tried

    def rows(self) -> list[list[str]]:
        """As a table: batch, images/s, and a mark beside the chosen one."""
        return [
            [f"{size}", f"{rate:.3g}", "chosen" if size == self.batch else ""]
            for size, rate in self.rates.items()
        ]


def auto(
    value: str,
    stage: str,
    build: str,
    home: Project,
    *,
    device: str = "auto",
    executor: str | None = None,
    workers: int | None = None,
    say: Say = lambda _: None,
) -> Found:
    """What `--batch auto` does: find the batch of a build, and say what params.yaml is to hold."""
    where = f"{params.PARAMS_FILE}: {stage}.on.{build}"
    if value != "auto":
        raise ReidError(f"--batch takes `auto` alone; put `batch: {value}` into {where}")
    loaded = params.load(home.root)
    of = find_stage(stage)
    checked = params.stage_params(loaded, stage, build, of.params)
    _needs_network(of, checked)
    run = {"executor": "pool", "workers": 0, **params.section(loaded, "run")}
    workers = (run["workers"] if workers is None else workers) or cores()
    together = 1 if (executor or run["executor"]) == "local" else workers
    rows, shards = _first_rows(of, build, checked, home)
    found = find(of, checked, rows, device, say, workers=min(together, shards))
    if checked.batch == found.batch:
        say(f"{where} has `batch: {found.batch}` already")
    else:
        say(f"put `batch: {found.batch}` into {where}; it has {checked.batch} now")
    return found


def _needs_network(stage: AnyStage, checked: Any) -> None:
    if not stage.needs_device(checked):
        raise ReidError(
            f"{stage.name}: backend {checked.backend} runs no network; there is no batch to choose"
        )


def _first_rows(
    stage: AnyStage, build: str, checked: DerivedParams, home: Project
) -> tuple[pa.Table, int]:
    """What a stage reads of the first rows of its largest shard; and how many shards there are."""
    read = inputs.find(stage, checked.dataset or build, checked, home)
    sizes = {name: entry["rows"] for name, entry in read.shards["rows"].items()}
    name = max(sizes, key=lambda shard: (sizes[shard], shard))
    files = {n: folder / "rows" / name for n, folder in read.folders.items()}
    stop = min(LIMIT + stage.rows_around, Shard(files["rows"]).num_rows)
    return inputs.side_by_side(files, read.reads, 0, stop), len(sizes)


# ------------------------------------------------------------------------------------ the search


def find(
    stage: AnyStage,
    params: Any,
    rows: pa.Table,
    device: str,
    say: Say = lambda _: None,
    *,
    workers: int = 1,
    seconds: float = SECONDS,
) -> Found:
    """The batch of a stage's network over `rows`, what it reads of a few hundred rows of one shard.

    `params.batch` is not looked at. `workers` processes share the cores and the GPU. `ReidError`
    where the backend runs no network, there are no rows, or not even one image fits into memory.
    """
    _needs_network(stage, params)
    if not rows.num_rows:
        raise ReidError(f"{stage.name}: no rows to find a batch with")
    import torch

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    say(f"{stage.name}: timing batches on {device}, about {seconds:.0f} s")
    with _as_a_worker(workers, device):
        calls = Calls(stage, params, rows, device)
        tried, ended = _try_sizes(calls, seconds * TRIED, on_cpu=device == "cpu")
        best = max(tried.values())
        fast = [size for size, rate in tried.items() if rate >= HOPELESS * best]
        turns = _take_turns(calls, fast, seconds * (1 - TRIED))
    say(f"{stage.name}: no larger batch: {ended}")
    rates = tried | {size: max(turns) / statistics.median(turns[size]) for size in turns}
    return Found(smallest(turns), rates, ended)


class Calls:
    """A stage's step, over calls of any number of rows; each call is one batch of the network."""

    def __init__(self, stage: AnyStage, params: Any, rows: pa.Table, device: str) -> None:
        self.around = stage.rows_around
        self.step = stage.build(params.model_copy(update={"batch": LIMIT}), Resources(device))
        self.rows = rows
        self.most = min(LIMIT, rows.num_rows)

    def seconds(self, size: int, count: int) -> float:
        """Of the step over the first `count` rows in calls of `size`; `MemoryError` if too many."""
        taken = 0.0
        for start in range(0, count, size):
            table = a_call(self.rows, start, min(start + size, count), self.around)
            ready = self.step.prepare(table)
            begin = time.perf_counter()
            try:
                self.step(ready)
            except Exception as error:
                if out_of_memory(error):
                    raise MemoryError from None
                raise
            taken += time.perf_counter() - begin
        return taken


def a_call(rows: pa.Table, start: int, stop: int, around: int) -> pa.Table:
    """The table of a step's call over rows start to stop of a shard, as the engine gives it."""
    first, last = max(0, start - around), min(rows.num_rows, stop + around)
    table = rows.slice(first, last - first)
    if not around:
        return table
    return table.append_column("own", pa.array([start <= n < stop for n in range(first, last)]))


def out_of_memory(error: BaseException | None) -> bool:
    """Whether memory ran out, on the GPU or here; a backend may have wrapped the error."""
    while error is not None:
        kinds = {kind.__name__ for kind in type(error).__mro__}
        if kinds & {"OutOfMemoryError", "MemoryError"} or "can't allocate memory" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _try_sizes(calls: Calls, seconds: float, *, on_cpu: bool) -> tuple[dict[int, float], str]:
    """Images/s of 1, 2, 4, ... rows a call, roughly; and why there is no larger size."""
    rates: dict[int, float] = {}
    with suppress(MemoryError):  # which the loop meets again
        calls.seconds(1, 1)  # outside the clock: a library's first call sets up much
    begin, slower, size = time.perf_counter(), 0, 1
    while size <= calls.most:
        try:
            first = calls.seconds(size, size)
            again = [calls.seconds(size, size) for _ in range(2) if first < TRY_SECONDS]
        except MemoryError:
            _free_memory()
            if not rates:
                raise ReidError("not even one image fits into the memory") from None
            return rates, f"{size} images do not fit into the memory"
        rates[size] = size / min(first, *again) if again else size / first
        slower = slower + 1 if rates[size] < SLOWER * max(rates.values()) else 0
        if on_cpu and slower == 2:
            return rates, "larger batches are slower"
        if time.perf_counter() - begin + 2 * first > seconds:
            return rates, "larger ones would take too long to measure"
        size *= 2
    return (
        rates,
        f"{LIMIT} is the limit" if calls.most == LIMIT else f"{calls.most} rows to measure",
    )


def _take_turns(calls: Calls, sizes: Sequence[int], seconds: float) -> dict[int, list[float]]:
    """Seconds of each size over the same rows, round by round as far as the time goes."""
    taken: dict[int, list[float]] = {size: [] for size in sizes}
    until = time.perf_counter() + seconds
    for turn in range(ROUNDS):
        begin = time.perf_counter()
        for size in sorted(taken, reverse=turn % 2 == 1):
            try:
                taken[size].append(calls.seconds(size, max(sizes)))
            except MemoryError:  # other rows than in the trial, or memory in pieces
                _free_memory()
                del taken[size]
                if not taken:
                    raise ReidError("not even one image fits into the memory") from None
        if 2 * time.perf_counter() - begin > until:
            break
    return taken


def smallest(taken: dict[int, list[float]]) -> int:
    """The smallest size within `WITHIN` of the fastest, compared round by round."""
    best = min(taken, key=lambda size: statistics.median(taken[size]))

    def share(size: int) -> float:
        return statistics.median(b / s for b, s in zip(taken[best], taken[size], strict=True))

    return next(size for size in sorted(taken) if share(size) >= 1 - WITHIN)


@contextmanager
def _as_a_worker(workers: int, device: str) -> Iterator[None]:
    """The threads, and the share of the GPU's memory, that one of so many workers has."""
    import cv2
    import torch

    before = torch.get_num_threads(), cv2.getNumThreads()
    if workers > 1:
        threads = max(1, cores() // workers)
        torch.set_num_threads(threads)
        cv2.setNumThreads(threads)
    if device.startswith("cuda"):
        torch.cuda.set_per_process_memory_fraction(MEMORY / workers)
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        cv2.setNumThreads(before[1])
        if device.startswith("cuda"):
            _free_memory()
            torch.cuda.set_per_process_memory_fraction(1.0)


def _free_memory() -> None:
    import gc

    import torch

    gc.collect()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()
