# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""Runs a stage over shards: plan, reuse, compute what is missing, publish.

A stage says what it does in a `Plan`; all the rest is here and the same for every stage: the work
journal and its keys, resuming after a kill, rejects, the lock, progress, the log, publishing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.engine.executors.choose import chosen
from pipeline.engine.executors.work import Executor, PayloadLost, Work
from pipeline.engine.journal import Journal, Outcome, note_keys
from reid.code.fingerprint import Code
from reid.code.published import FILE, as_file
from reid.project.errors import ReidError
from reid.project.layout import Project, as_json, link
from reid.project.locks import lock
from reid.project.progress import Meter, count_into, log_file
from reid.project.publish import publishing
from reid.shards.folder import write_shard
from reid.shards.protocol import protocols_of

REJECT = pa.schema([("image_id", pa.string()), ("reason", pa.string())])


@dataclass(frozen=True)
class Task:
    """One shard to make: its published name, the key of its content, and what the worker needs."""

    name: str
    key: str
    rows: int
    bytes: int  # estimate, for the disk space that `reid plan` shows
    payload: Any  # a function makes it where it is worked on
    former: str = ""  # its key under the code that was before, where that is asked for


@dataclass
class Plan:
    """All that decides one built data set."""

    stage: str
    dataset: str
    tasks: list[Task]
    work: Work
    manifest: dict[str, Any]  # what the manifest says beside its shards
    max_reject_rate: float
    code: Code
    rejects: list[tuple[str, str]] = field(default_factory=list)  # those known before any task
    finish: Callable[[list[Path], list[tuple[str, str]]], dict[str, bytes]] | None = None
    keys: list[str] = field(default_factory=list)  # further keys in use, such as a fit's
    skip_empty: bool = False  # whether a shard without rows is left out of what is published


@dataclass(frozen=True)
class Finished:
    """What a run did."""

    rows: int
    rejects: int
    computed: int  # shards
    reused: int
    folder: Path
    published: bool  # False where the folder was already exactly this


def generator(seed: int, image_id: str) -> np.random.Generator:
    """Random numbers that depend on the row alone, not on workers, shards or order."""
    digest = hashlib.blake2b(f"{seed}\0{image_id}".encode(), digest_size=16).digest()
    return np.random.default_rng(int.from_bytes(digest, "little"))


def missing(plan: Plan, project: Project, *, repair: bool = False) -> list[Task]:
    """The tasks whose shard is not in the journal; with `repair`, or is not as it was written."""
    journal = Journal(project.work / plan.stage)
    for task in plan.tasks:
        if repair and journal.outcome(task.key) and not journal.sound(task.key):
            journal.drop(task.key)
    return [task for task in plan.tasks if journal.outcome(task.key) is None]


def run(
    plan: Plan, project: Project, *,
    executor: str | Executor = "pool", workers: int = 0, repair: bool = False,
) -> Finished:  # fmt: skip
    """Compute what is missing and publish. Raises `ReidError`; what was finished is kept."""
    execute = chosen(executor) if isinstance(executor, str) else executor
    title = f"{plan.stage} {plan.dataset}"
    log_path = project.work / "logs" / f"{plan.stage}-{plan.dataset}.log"
    with (
        lock(project.work / "locks" / f"{plan.stage}-{plan.dataset}", title),
        log_file(log_path) as log,
    ):
        todo = missing(plan, project, repair=repair)
        journal = Journal(project.work / plan.stage)
        log.info("%s: %d of %d shards to compute", title, len(todo), len(plan.tasks))
        total = sum(t.rows for t in plan.tasks)
        done, counts = total - sum(t.rows for t in todo), project.work / "counts" / log_path.stem
        try:
            payloads = [(task.key, task.payload) for task in todo]
            with (
                Meter(title, total, done, log=log_path, counts=counts) as meter,
                closing(
                    execute(Keeping(plan.work, journal.folder, counts), payloads, workers)
                ) as outcomes,
            ):
                for index, (rows, rejects) in outcomes:
                    done += todo[index].rows
                    meter.reach(done)
                    meter.rejects += rejects
                    log.info("%s: %d rows, %d rejects", todo[index].name, rows, rejects)
        except KeyboardInterrupt:
            kept = len(plan.tasks) - len(missing(plan, project))
            raise ReidError(
                f"{title}: stopped; {kept} of {len(plan.tasks)} shards are kept; "
                "run the same command to go on"
            ) from None
        except PayloadLost as error:
            raise ReidError(f"{title}: shard {todo[error.index].name}: {error}") from None
        journal.refresh()
        done = [journal.outcome(task.key) for task in plan.tasks]
        whole = [outcome for outcome in done if outcome is not None]
        published = _publish(plan, project, journal, whole, anew=bool(todo))
        log.info("%s: published %s", title, published)
    rows = sum(o.rows for o in done if o is not None)
    rejects = len(plan.rejects) + sum(len(o.rejects) for o in done if o is not None)
    folder = project.built(plan.stage, plan.dataset)
    reused_shards = len(plan.tasks) - len(todo)
    return Finished(rows, rejects, len(todo), reused_shards, folder, published)


@dataclass(frozen=True)
class Keeping(Work):
    """A worker's function that also keeps what it computes; the outcome that travels is small."""

    work: Work
    folder: Path
    counts: Path | None = None  # where a worker counts its rows for the meter

    def start(self) -> Callable[[Any], tuple[int, int]]:
        function, journal = self.work.start(), Journal(self.folder)
        if self.counts:
            count_into(self.counts)

        def step(keyed: tuple[str, Any]) -> tuple[int, int]:
            key, payload = keyed
            made = payload() if callable(payload) else payload
            table, rejects, metadata = function(made)
            journal.keep(key, table, [list(r) for r in rejects], metadata)
            return table.num_rows, len(rejects)

        return step

    def needs_gpu(self) -> bool:
        return self.work.needs_gpu()

    def ended(self, process: str) -> None:
        Journal(self.folder).sweep(process)


def _publish(
    plan: Plan, project: Project, journal: Journal, done: Sequence[Outcome], *, anew: bool
) -> bool:
    """Link the shards into the published folder, with manifest, rejects and the stage's extras."""
    rejects = sorted([*plan.rejects, *((i, r) for o in done for i, r in o.rejects)])
    _check_rejects(plan, rejects)
    target = project.built(plan.stage, plan.dataset)
    made = {t.name: t.key for t, o in zip(plan.tasks, done, strict=True) if _shown(plan, o)}
    if not made:
        few = f" First rejects: {_few(rejects)}" if rejects else ""
        title = f"{plan.stage} {plan.dataset}"
        raise ReidError(f"{title}: no rows were made; nothing was published.{few}")
    shards = [
        {"name": t.name, "rows": o.rows, "bytes": o.bytes, "sha256": o.sha256}
        | ({"adopted": o.adopted} if o.adopted else {})
        for t, o in zip(plan.tasks, done, strict=True)
        if t.name in made
    ]
    rows = sum(o.rows for o in done)
    manifest = as_json({**plan.manifest, "rows": rows, "rejects": len(rejects), "shards": shards})
    note_keys(project.work, plan.stage, plan.dataset, [*plan.keys, *(t.key for t in plan.tasks)])
    if not anew and _is_published(plan, target, manifest, shards):
        return False
    with publishing(target, project.publishing / f"{plan.stage}@{plan.dataset}") as folder:
        (folder / "rows").mkdir()
        for name, key in made.items():
            link(journal.shard(key), folder / "rows" / name)
        columns = {"image_id": [i for i, _ in rejects], "reason": [r for _, r in rejects]}
        write_shard(folder / "rejects.parquet", pa.table(columns, REJECT), {})
        paths = [folder / "rows" / name for name in made]
        extras = plan.finish(paths, rejects) if plan.finish else {}
        extras |= {FILE: as_file(plan.code), "manifest.json": manifest}
        for name, data in extras.items():
            (folder / name).write_bytes(data)
    return True


def _shown(plan: Plan, outcome: Outcome) -> bool:
    return outcome.rows > 0 or not plan.skip_empty


def _is_published(plan: Plan, target: Path, manifest: bytes, shards: list[dict[str, Any]]) -> bool:
    """Whether the published folder is already exactly this one, its texts sound."""
    try:
        if plan.stage == "ingest" or plan.manifest.get("new_rows"):
            protocols_of(target)
        same = (target / "manifest.json").read_bytes() == manifest
        sizes = {p.name: p.stat().st_size for p in (target / "rows").iterdir()}
    except (OSError, ReidError):
        return False
    return same and sizes == {s["name"]: s["bytes"] for s in shards}


def _check_rejects(plan: Plan, rejects: list[tuple[str, str]]) -> None:
    total = max(1, sum(task.rows for task in plan.tasks) + len(plan.rejects))
    if len(rejects) / total > plan.max_reject_rate:
        raise ReidError(
            f"{plan.stage} {plan.dataset}: {len(rejects)} of {total} rows rejected, more than "
            f"max_reject_rate {plan.max_reject_rate:g}; nothing was published. "
            f"First: {_few(rejects)}"
        )


def _few(rejects: list[tuple[str, str]]) -> str:
    return "; ".join(f"{image_id}: {reason}" for image_id, reason in rejects[:3])
