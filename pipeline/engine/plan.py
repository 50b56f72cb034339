"""From a derived-data stage's module to the engine's plan.

A stage is a module `pipeline/derive/<name>.py` with

    VERSION      a number, raised when the stage's output changes
    READS        columns by input: {"rows": ["image"], "joints": ["joints"]}
    SCHEMA       the columns it adds (image_id is added here)
    Params       its checked parameters
    build(params, device, fitted) -> step; step(table) -> table of SCHEMA's columns, same rows,
                 and optionally `reject`, a string column: null, or why the row has nulls
    step.prepare(table)               optional: runs ahead in a thread (decoding)
    step.finish(made)                 optional: runs behind in a thread (encoding), on what the
                 step made; its result counts in its place
    fit(tables, params) -> dict | Fit optional: once over the training rows (FIT_READS, else READS)
    FIT_UNLABELLED  optional, True: the fit uses no labels; where a data set draws its splits at
                 random it gets all rows
    weights(params, root) -> str      optional: content hash of outside files that decide the output
    batch_rows(params) -> int         optional: rows of one call; 256 by default
    ROWS_AROUND  optional: a call's table has so many rows more before and after its own, as far as
                 the shard has them; its column `own` says which are the call's, and the step
                 returns rows for these alone
    needs_device(params) -> bool      optional: whether it runs a network
    reads(params, columns), fit_reads(params, columns)   optional: READS and FIT_READS where they
                 depend on the parameters, or on the columns that the base shards have
    STAGE_OF     optional: the stage of an input that has another name
    READS_ANYWHERE  optional: columns by input that a step reads of other rows than its own; its
                 `build` gets one argument more, {input: Shards}
    NEW_ROWS     optional, True: the rows are a new data set's: step(table) -> (table of the base
                 columns and SCHEMA's, any rows; list of (image_id, reason) of rejects)

A data set of new rows may be what another stage derives from: as `dataset: crops/topview`, in a
build with a name of its own, such as topview-crops.
"""

from __future__ import annotations

import importlib
import json
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from pipeline.engine import fits, inputs, protocols
from pipeline.engine.data_card import card
from pipeline.engine.run import Plan, Task
from reid.project.errors import ReidError
from reid.project.layout import Project, key_of
from reid.project.params import DerivedParams
from reid.shards.folder import Shard, Shards
from reid.shards.schema import ORDER, ROW, SCHEMA_VERSION

LIBRARIES = ("numpy", "opencv-contrib-python", "pyarrow", "simplejpeg")
NO_KEY = set(DerivedParams.model_fields)  # they do not change a shard's content, or its inputs do


def module(stage: str) -> ModuleType:
    """The module of a derived-data stage."""
    return importlib.import_module(f"pipeline.stages.{stage}")


def libraries(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Versions of what is installed, for the footer."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plan(stage: str, build: str, params: DerivedParams, project: Project, device: str) -> Plan:
    """What makes a build of `stage`, by default the one named after its data set: a task a shard.

    A build that is named otherwise says in `params.dataset` whose rows it is of.
    """
    if "/" in build:
        raise ReidError(
            f"{stage}: a build's name has no slash; name it otherwise, with `dataset: {build}`"
        )
    code = module(stage)
    read = inputs.find(code, params.dataset or build, params, project)
    weights = code.weights(params, project.root) if hasattr(code, "weights") else ""
    parameters = json.loads(params.model_dump_json(exclude=NO_KEY))
    identity = [stage, SCHEMA_VERSION, code.VERSION, parameters, weights]
    fitted = fits.run(code, params, project, read, [*identity, read.of_all(read.folders)])
    described = _described(code, stage, read.dataset, parameters, weights)
    footer = {
        f"reid.{name}": value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in described.items()
        if name not in {"dataset", "columns", "schema_version", "new_rows"}
    }
    described |= {"source": read.source} if read.source else {}
    identity += [fitted.identity if fitted else None]
    elsewhere = [read.of_all(read.anywhere)] if read.anywhere else []
    tasks = []
    for name, base in read.shards["rows"].items():
        key = key_of([*identity, name, read.of_shard(name), *elsewhere])
        files = {n: folder / "rows" / name for n, folder in read.folders.items()}
        tasks.append(Task(name, key, base["rows"], base["rows"] * 512, files))
    work = MapWork(stage, params, device, fitted, footer, read)

    def finish(paths: list[Path], rejects: list[tuple[str, str]]) -> dict[str, bytes]:
        own = protocols.carried(read.folders["rows"], paths) if is_new(code) else {}
        rules = json.loads(own["protocol.json"]) if own else None
        folders = read.folders.values()
        text = card(stage, build, described, paths, rejects, inputs=folders, protocol=rules)
        return {"README.md": text, **(fitted.published() if fitted else {}), **own}

    return Plan(
        stage, build, tasks, work, described, params.max_reject_rate, finish=finish,
        keys=fitted.keys if fitted else [], skip_empty=is_new(code),
    )  # fmt: skip


def is_new(code: ModuleType) -> bool:
    """Whether a stage makes a new data set, and not columns beside the rows of one."""
    return getattr(code, "NEW_ROWS", False)


def schema_of(code: ModuleType) -> pa.Schema:
    """The columns of a stage's shards."""
    before = ROW if is_new(code) else [pa.field("image_id", pa.string(), nullable=False)]
    return pa.schema([*before, *code.SCHEMA])


def _described(
    code: ModuleType, stage: str, dataset: str, parameters: dict[str, Any], weights: str
) -> dict[str, Any]:
    """What the manifest says beside the shards."""
    found = {
        "stage": stage, "dataset": dataset, "schema_version": SCHEMA_VERSION,
        "stage_version": code.VERSION, "parameters": parameters, "weights": weights,
        "columns": schema_of(code).names,
        "libraries": libraries([*LIBRARIES, *getattr(code, "LIBRARIES", ())]),
    }  # fmt: skip
    return {**found, "new_rows": True} if is_new(code) else found


@dataclass(frozen=True)
class MapWork:
    """Runs a stage over one base shard: batches read and prepared ahead, rejects taken out."""

    stage: str
    params: DerivedParams
    device: str
    fitted: fits.Kept | None
    footer: dict[str, str]
    read: inputs.Inputs | None = None  # None reads the stage's READS, and its row's shard alone

    def start(self) -> Callable[[dict[str, Path]], Any]:
        code = module(self.stage)
        step = self._build(code)
        reads = self.read.reads if self.read else code.READS
        batch = code.batch_rows(self.params) if hasattr(code, "batch_rows") else 256
        prepare = getattr(step, "prepare", lambda table: table)
        finish = getattr(step, "finish", lambda made: made)
        collect = _new_rows if is_new(code) else _same_rows

        def function(files: dict[str, Path]) -> Any:
            if self.read:
                self.read.check(files)
            tables = _tables(files, reads, batch, getattr(code, "ROWS_AROUND", 0))
            prepared = ahead((ids, prepare(table)) for ids, table in tables)
            done = ((ids, step(ready)) for ids, ready in prepared)
            finished = behind(done, lambda call: (call[0], finish(call[1])))
            table, rejects = collect(finished)
            schema = schema_of(code)
            table = table if table.num_rows else schema.empty_table()
            return table.select(schema.names).cast(schema), rejects, self.footer

        return function

    def needs_gpu(self) -> bool:
        """Whether it runs a network, and not by choice on the processor."""
        code = module(self.stage)
        needs = getattr(code, "needs_device", lambda _: False)(self.params)
        return self.device != "cpu" and needs

    def _build(self, code: ModuleType) -> Any:
        """Load what the stage needs."""
        further = []
        if self.read and self.read.anywhere:
            further = [{n: Shards(self.read.folders[n]) for n in self.read.anywhere}]
            for shards in further[0].values():
                shards.check()
        fitted = self.fitted.load() if self.fitted else None
        return code.build(self.params, _device(code, self.params, self.device), fitted, *further)


def _tables(
    files: dict[str, Path], reads: inputs.Reads, batch: int, around: int
) -> Iterator[tuple[pa.ChunkedArray, pa.Table]]:
    """The calls of a step over one shard: the image_ids of their rows, and their tables."""
    rows = Shard(files["rows"]).num_rows
    for start in range(0, rows, batch):
        stop = min(start + batch, rows)
        first, last = max(0, start - around), min(rows, stop + around)
        table = inputs.side_by_side(files, reads, first, last)
        if around:
            own = [start <= row < stop for row in range(first, last)]
            table = table.append_column("own", pa.array(own))
        yield table["image_id"].slice(start - first, stop - start), table


Batches = Iterable[tuple[pa.ChunkedArray, Any]]  # image_ids, and what the step made of them


def _same_rows(done: Batches) -> tuple[pa.Table, list[tuple[str, str]]]:
    """All batches as one table with their image_ids, and its rejects."""
    tables = [_with_ids(ids, table) for ids, table in done]
    table = pa.concat_tables(tables) if tables else pa.table({})
    return table, _rejects(table)


def _new_rows(done: Batches) -> tuple[pa.Table, list[tuple[str, str]]]:
    """All batches as one table in the order of rows, and the rejects."""
    made = [result for _, result in done]
    tables = [table for table, _ in made if table.num_rows]
    table = pa.concat_tables(tables) if tables else pa.table({})
    if tables:
        table = table.sort_by([(name, "ascending") for name in ORDER])
    return table, [reject for _, rejects in made for reject in rejects]


def _with_ids(ids: pa.ChunkedArray, result: pa.Table) -> pa.Table:
    if result.num_rows != len(ids):
        raise RuntimeError(f"a stage returned {result.num_rows} rows for {len(ids)}")
    if "reject" not in result.column_names:
        result = result.append_column("reject", pa.nulls(len(ids), pa.string()))
    if "image_id" in result.column_names:
        result = result.drop_columns(["image_id"])
    return result.add_column(0, "image_id", ids)


def _rejects(table: pa.Table) -> list[tuple[str, str]]:
    if "reject" not in table.column_names:
        return []
    bad = table.select(["image_id", "reject"]).filter(table["reject"].is_valid())
    return list(zip(bad["image_id"].to_pylist(), bad["reject"].to_pylist(), strict=True))


def _device(code: ModuleType, params: DerivedParams, device: str) -> str:
    """`auto` is CUDA where there is one and the stage runs a network."""
    if device != "auto":
        return device
    if not getattr(code, "needs_device", lambda _: False)(params):
        return "cpu"
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def ahead(items: Iterable[Any], depth: int = 2) -> Iterator[Any]:
    """Iterate in a thread up to `depth` items ahead: decoding overlaps computing."""
    ready: queue.Queue[tuple[str, Any]] = queue.Queue(depth)
    stop = threading.Event()

    def offer(kind: str, value: Any) -> None:
        while not stop.is_set():
            try:
                ready.put((kind, value), timeout=0.2)
            except queue.Full:
                continue
            return

    def read() -> None:
        try:
            for item in items:
                offer("item", item)
                if stop.is_set():
                    return
            offer("end", None)
        except BaseException as error:  # handed to the consumer, which raises it
            offer("error", error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    try:
        while True:
            kind, value = ready.get()
            if kind == "error":
                raise value
            if kind == "end":
                return
            yield value
    finally:
        stop.set()
        thread.join()


def behind(items: Iterable[Any], function: Callable[[Any], Any], depth: int = 2) -> Iterator[Any]:
    """`function` of each item, in order, in a thread up to `depth` items behind the iteration."""
    waiting: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(1) as pool:
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > depth:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
