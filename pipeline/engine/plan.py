# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""From a derived-data stage and its parameters to what the engine runs: a task a shard."""

from __future__ import annotations

import json
import queue
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipeline.engine import code as codes
from pipeline.engine import fits, inputs, protocols
from pipeline.engine.data_card import card
from pipeline.engine.executors.work import Work
from pipeline.engine.run import Plan, Task
from pipeline.engine.stage import AnyStage, Reads, Resources, Step
from reid.code.fingerprint import Code
from reid.project.errors import ReidError
from reid.project.layout import Project, key_of
from reid.project.params import DerivedParams
from reid.project.progress import advance
from reid.shards.folder import Shard, Shards
from reid.shards.schema import ORDER, SCHEMA_VERSION

LIBRARIES = ("numpy", "opencv-contrib-python", "pyarrow", "simplejpeg")
NO_KEY = set(DerivedParams.model_fields)  # what they change of a shard is in its inputs


def libraries(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Versions of what is installed, for the footer."""
    versions: dict[str, str] = {}
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def plan(
    stage: AnyStage, build: str, params: DerivedParams, project: Project, device: str,
    former: Code | None = None,
) -> Plan:  # fmt: skip
    """The plan of a build of `stage`: one task for each shard.

    A build is of the data set that it is named after, or of `params.dataset`. With the `former`
    code, tasks also tell the keys that they had under it, and its fit counts as made by the code
    now.
    """
    if "/" in build:
        raise ReidError(
            f"{stage.name}: a build's name has no slash; name it otherwise, with `dataset: {build}`"
        )
    read = inputs.find(stage, params.dataset or build, params, project)
    weights = stage.weights(params, project.root)
    parameters = json.loads(params.model_dump_json(exclude=NO_KEY))
    code = codes.of_stage(stage, params, project)
    identity = [stage.name, SCHEMA_VERSION, parameters, weights]
    fit_identity = [*identity, read.of_all(read.folders)]
    if former:
        fits.adopt(
            stage, project, [former.fingerprint, fit_identity], [code.fingerprint, fit_identity]
        )
    fitted = fits.run(stage, params, project, read, [code.fingerprint, fit_identity])
    described = _described(stage, read.dataset, parameters, weights)
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
        content = [*identity, name, read.of_shard(name), *elsewhere]
        key = key_of([code.fingerprint, content])
        old_key = key_of([former.fingerprint, content]) if former else ""
        files = {n: folder / "rows" / name for n, folder in read.folders.items()}
        tasks.append(Task(name, key, base["rows"], base["rows"] * 512, files, old_key))
    work = MapWork(stage, params, device, fitted, footer, read)

    def finish(paths: list[Path], rejects: list[tuple[str, str]]) -> dict[str, bytes]:
        own = protocols.carried(read.folders["rows"], paths) if stage.new_rows else {}
        protocol = json.loads(own["protocol.json"]) if own else None
        folders = read.folders.values()
        text = card(stage.name, build, described, paths, rejects, inputs=folders, protocol=protocol)
        return {"README.md": text, **(fitted.published() if fitted else {}), **own}

    described |= {"code": code.fingerprint, "texts": codes.of_texts(project)}
    return Plan(
        stage.name, build, tasks, work, described, params.max_reject_rate, code, finish=finish,
        keys=fitted.keys if fitted else [], skip_empty=stage.new_rows,
    )  # fmt: skip


def _described(
    stage: AnyStage, dataset: str, parameters: dict[str, Any], weights: str
) -> dict[str, Any]:
    """What the manifest says beside the shards."""
    return {
        "stage": stage.name, "dataset": dataset, "schema_version": SCHEMA_VERSION,
        "parameters": parameters, "weights": weights,
        "columns": stage.columns().names,
        "libraries": libraries([*LIBRARIES, *stage.libraries]),
        **({"new_rows": True} if stage.new_rows else {}),
    }  # fmt: skip


@dataclass(frozen=True)
class MapWork(Work):
    """Runs a stage over one base shard: batches read and prepared ahead, rejects taken out."""

    stage: AnyStage
    params: DerivedParams
    device: str
    fitted: fits.Kept | None
    footer: dict[str, str]
    read: inputs.Inputs | None = None  # None reads what the stage says, of its row's shard alone

    def start(self) -> Callable[[dict[str, Path]], Any]:
        stage, step = self.stage, self._build()
        reads = self.read.reads if self.read else stage.reads_of(self.params, ())
        batch, schema = stage.batch_rows(self.params), stage.columns()
        collect = _new_rows if stage.new_rows else _same_rows

        def function(files: dict[str, Path]) -> Any:
            if self.read:
                self.read.check(files)
            tables = _tables(files, reads, batch, stage.rows_around)
            prepared = ahead((ids, step.prepare(table)) for ids, table in tables)
            done = ((ids, step(ready)) for ids, ready in prepared)
            finished = behind(done, lambda call: (call[0], step.finish(call[1])))
            table, rejects = collect(_counted(finished))
            table = table if table.num_rows else schema.empty_table()
            return table.select(schema.names).cast(schema), rejects, self.footer

        return function

    def needs_gpu(self) -> bool:
        """Whether it runs a network, and its user did not choose the CPU."""
        return self.device != "cpu" and self.stage.needs_device(self.params)

    def _build(self) -> Step:
        """Load what the stage needs."""
        anywhere: dict[str, Shards] = {}
        if self.read:
            anywhere = {name: Shards(self.read.folders[name]) for name in self.read.anywhere}
        for shards in anywhere.values():
            shards.check()
        fitted = self.fitted.load() if self.fitted else None
        device = _device(self.stage, self.params, self.device)
        return self.stage.build(self.params, Resources(device, fitted, anywhere))


def _tables(
    files: dict[str, Path], reads: Reads, batch: int, around: int
) -> Iterator[tuple[pa.ChunkedArray, pa.Table]]:
    """The image_ids and the table of each call of a step over one shard."""
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


def _counted(done: Batches) -> Batches:
    for ids, result in done:
        advance(len(ids))
        yield ids, result


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


def _device(stage: AnyStage, params: DerivedParams, device: str) -> str:
    """`auto` is CUDA where there is one and the stage runs a network."""
    if device != "auto":
        return device
    if not stage.needs_device(params):
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
