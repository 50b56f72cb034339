"""From a derived-data stage's module to the engine's plan.

A stage is a module `pipeline/derive/<name>.py` with

    VERSION      a number, raised when the stage's output changes
    READS        columns by folder: {"rows": ["image"], "joints": ["joints"]}
    SCHEMA       the columns it adds (image_id is added here)
    Params       its checked parameters
    build(params, device, fitted) -> step; step(table) -> table of SCHEMA's columns, same rows,
                 and optionally `reject`, a string column: null, or why the row has nulls
    step.prepare(table)               optional: runs ahead in a thread (decoding)
    fit(tables, params) -> dict       optional: once over the training rows (FIT_READS)
    weights(params, root) -> str      optional: content hash of outside files that decide the output
    batch_rows(params) -> int         optional: rows of one call; 256 by default
    needs_device(params) -> bool      optional: whether it runs a network
"""

from __future__ import annotations

import importlib
import json
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pyarrow as pa

from pipeline.core.engine import Plan, Task
from pipeline.core.errors import ReidError
from pipeline.core.params import StageParams
from pipeline.core.project import Project, as_json, key_of, manifest_of, write_atomically
from pipeline.core.schema import SCHEMA_VERSION
from pipeline.core.shards import Shard

LIBRARIES = ("numpy", "opencv-contrib-python", "pyarrow", "simplejpeg")
NO_KEY = {"max_reject_rate"}  # parameters that do not change a shard's content


def module(stage: str) -> ModuleType:
    """The module of a derived-data stage."""
    return importlib.import_module(f"pipeline.derive.{stage}")


def libraries(names: Iterable[str] = LIBRARIES) -> dict[str, str]:
    """Versions of what is installed, for the footer."""
    found: dict[str, str] = {}
    for name in names:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def plan(stage: str, dataset: str, params: StageParams, project: Project, device: str) -> Plan:
    """What makes the derived data of `stage` over `dataset`: one task a base shard."""
    code = module(stage)
    inputs = {
        name: _input(project, name, dataset) for name in ("rows", *sorted({*code.READS} - {"rows"}))
    }
    manifests = {
        name: manifest_of(folder, f"reid {'ingest' if name == 'rows' else name} {dataset}")
        for name, folder in inputs.items()
    }
    shards = {n: {s["name"]: s for s in m["shards"]} for n, m in manifests.items()}
    weights = code.weights(params, project.root) if hasattr(code, "weights") else ""
    parameters = json.loads(params.model_dump_json(exclude=NO_KEY))
    identity = [stage, SCHEMA_VERSION, code.VERSION, parameters, weights]
    fitted, fit_key = _fit(code, params, project, inputs, [*identity, _hashes(shards)])
    described = {
        "stage": stage, "dataset": dataset, "schema_version": SCHEMA_VERSION,
        "stage_version": code.VERSION, "parameters": parameters, "weights": weights,
        "columns": ["image_id", *code.SCHEMA.names],
        "libraries": libraries([*LIBRARIES, *getattr(code, "LIBRARIES", ())]),
    }  # fmt: skip
    footer = {
        f"reid.{name}": value if isinstance(value, str) else json.dumps(value, sort_keys=True)
        for name, value in described.items()
        if name not in {"dataset", "columns", "schema_version"}
    }
    tasks = []
    for name, base in shards["rows"].items():
        hashes = {n: _same_shard(found, name, base, n, dataset) for n, found in shards.items()}
        files = {n: folder / "rows" / name for n, folder in inputs.items()}
        key = key_of([*identity, fitted, name, hashes])
        tasks.append(Task(name, key, base["rows"], base["rows"] * 512, files))
    work = MapWork(stage, params, device, fitted, footer)

    def finish(paths: list[Path], rejects: list[tuple[str, str]]) -> dict[str, bytes]:
        card = data_card(f"{stage} of {dataset}", described, paths, len(rejects))
        return {"README.md": card, **({"fit.json": as_json(fitted)} if fitted else {})}

    keys = [fit_key] if fit_key else []
    return Plan(
        stage, dataset, tasks, work, described, params.max_reject_rate, finish=finish, keys=keys
    )


def _input(project: Project, name: str, dataset: str) -> Path:
    return project.shards(dataset) if name == "rows" else project.derived(name, dataset)


def _hashes(shards: dict[str, dict[str, Any]]) -> list[list[str]]:
    return [[n, name, s["sha256"]] for n, found in shards.items() for name, s in found.items()]


def _same_shard(
    found: dict[str, Any], name: str, base: dict[str, Any], folder: str, dataset: str
) -> str:
    """The content hash of a shard's counterpart, which must be there with as many rows."""
    other = found.get(name)
    if other is None or other["rows"] != base["rows"]:
        raise ReidError(
            f"data/2-derived/{folder}/{dataset}: shard {name} is missing or has other rows than "
            f"the base; run `reid {folder} {dataset}`"
        )
    return other["sha256"]


def _fit(
    code: ModuleType, params: StageParams, project: Project, inputs: dict[str, Path], identity: Any
) -> tuple[dict[str, Any] | None, str]:
    """The stage's fit over the training rows, computed once and kept under its own key."""
    if not hasattr(code, "fit"):
        return None, ""
    key = key_of(["fit", identity])
    kept = project.work / code.__name__.rsplit(".", 1)[-1] / f"{key}.fit"
    if kept.is_file():
        return json.loads(kept.read_text("utf-8")), key
    fitted = code.fit(_training_rows(inputs, getattr(code, "FIT_READS", code.READS)), params)
    write_atomically(kept, as_json(fitted))
    return json.loads(as_json(fitted)), key  # as it will be read back: floats and all


def _training_rows(inputs: dict[str, Path], reads: dict[str, list[str]]) -> Iterator[pa.Table]:
    for path in sorted((inputs["rows"] / "rows").glob("*.parquet")):
        files = {name: folder / "rows" / path.name for name, folder in inputs.items()}
        shard = Shard(path)
        train = shard.table(["train"])["train"]
        yield _side_by_side(files, reads, 0, shard.num_rows).filter(train)


def _side_by_side(
    files: dict[str, Path], reads: dict[str, list[str]], start: int, stop: int
) -> pa.Table:
    """The columns that a stage reads, and image_id, of rows start to stop."""
    table = Shard(files["rows"]).table(["image_id", *reads.get("rows", [])], start, stop)
    for name in sorted(set(reads) - {"rows"}):
        other = Shard(files[name]).table(["image_id", *reads[name]], start, stop)
        if other["image_id"] != table["image_id"]:
            raise ReidError(f"{files[name]}: its rows are not the base's; run `reid {name}` again")
        for column in reads[name]:
            table = table.append_column(column, other[column])
    return table


@dataclass(frozen=True)
class MapWork:
    """Runs a stage over one base shard: batches read and prepared ahead, rejects taken out."""

    stage: str
    params: StageParams
    device: str
    fitted: dict[str, Any] | None
    footer: dict[str, str]

    def start(self) -> Callable[[dict[str, Path]], Any]:
        code = module(self.stage)
        step = code.build(self.params, _device(code, self.params, self.device), self.fitted)
        batch = code.batch_rows(self.params) if hasattr(code, "batch_rows") else 256
        prepare = getattr(step, "prepare", lambda table: table)

        def function(files: dict[str, Path]) -> Any:
            rows = Shard(files["rows"]).num_rows
            tables = (
                _side_by_side(files, code.READS, start, min(start + batch, rows))
                for start in range(0, rows, batch)
            )
            prepared = ahead((table["image_id"], prepare(table)) for table in tables)
            done = [_with_ids(ids, step(ready)) for ids, ready in prepared]
            schema = pa.schema([pa.field("image_id", pa.string(), nullable=False), *code.SCHEMA])
            table = pa.concat_tables(done) if done else schema.empty_table()
            return table.select(schema.names).cast(schema), _rejects(table), self.footer

        return function


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


def _device(code: ModuleType, params: StageParams, device: str) -> str:
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


def data_card(title: str, described: dict[str, Any], paths: list[Path], rejects: int) -> bytes:
    """README.md of a built folder; its header names the parts for `datasets.load_dataset`."""
    parts = sorted({p.name.split("-")[0] for p in paths})
    rows = sum(Shard(p).num_rows for p in paths)
    head = ["---", "configs:", "- config_name: default", "  data_files:"]
    for part in parts:
        head += [f"  - split: {part}", f"    path: rows/{part}-*.parquet"]
    facts = [
        f"- {name}: {json.dumps(value, sort_keys=True)}"
        for name, value in sorted(described.items())
        if name != "libraries"
    ]
    body = ["---", f"# {title}", "", f"{rows:,} rows in {len(paths)} shards, {rejects} rejects "
            "(see rejects.parquet).", "", *facts, ""]  # fmt: skip
    return "\n".join([*head, *body]).encode()
