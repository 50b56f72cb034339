"""What is built, what would run and why, and whether what is built is sound."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pipeline.engine.run import Plan, missing
from pipeline.stages import STAGES
from reid.code.published import differences
from reid.code.published import published as published_code
from reid.papers import PAPERS
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.progress import Meter, advance
from reid.shards.manifest import manifest_of, read_manifest

WATCHED = {  # what a plan shares with a manifest, and how a change of it reads
    "schema_version": "the schema's version",
    "parameters": "parameters",
    "weights": "weights",
}
# Keys lie in .work alone: without it, as after `dvc pull`, the two cannot be told apart.
UNKNOWN = "its input changed, or its finished work is not in .work"


def plan(found: Plan, project: Project) -> dict[str, Any]:
    """Each shard with its state (reuse, compute) and the reason, and the bytes needed and free."""
    todo = {task.name for task in missing(found, project)}
    reason = _reason(found, project)
    shards = [
        {
            "name": task.name,
            "rows": task.rows,
            "state": "compute" if task.name in todo else "reuse",
            "why": reason if task.name in todo else "finished before",
        }
        for task in found.tasks
    ]
    needed = sum(task.bytes for task in found.tasks if task.name in todo)
    return {"shards": shards, "bytes": needed, "free": shutil.disk_usage(project.root).free}


def _reason(found: Plan, project: Project) -> str:
    """Why shards are missing: never built, or what differs from what is published."""
    try:
        published = read_manifest(project.built(found.stage, found.dataset))
    except ReidError as error:
        return str(error)
    if published is None:
        return "never built, or not finished"
    changed = []
    for key, words in WATCHED.items():
        old, new = published.get(key), found.manifest.get(key)
        if old != new and isinstance(old, dict) and isinstance(new, dict):
            names = sorted(k for k in {*old, *new} if old.get(k) != new.get(k))
            changed += [f"{n}: {old.get(n)} -> {new.get(n)}" for n in names]
        elif old != new:
            changed.append(f"{words}: {old} -> {new}")
    told = differences(published_code(project.built(found.stage, found.dataset)), found.code)
    if told:
        changed.append(told)
    elif published.get("code") != found.code.fingerprint:
        changed.append("code")
    return "; ".join(changed) or UNKNOWN


def status(project: Project, make_plan: Callable[..., Plan]) -> list[dict[str, Any]]:
    """A line for each stage and data set that params.yaml names."""
    loaded = params.load(project.root)
    out = []
    for stage in ("ingest", *STAGES):
        for dataset in params.section(loaded, stage, "on"):
            out.append(_state(stage, dataset, project, make_plan))
    return out


def _state(
    stage: str, dataset: str, project: Project, make_plan: Callable[..., Plan]
) -> dict[str, Any]:
    line: dict[str, Any] = {
        "stage": stage,
        "dataset": dataset,
        "rows": "",
        "rejects": "",
        "shards": "",
    }
    try:
        manifest = read_manifest(project.built(stage, dataset))
    except ReidError as error:
        return {**line, "state": f"damaged: {error}"}
    if manifest is None:
        return {**line, "state": "not built"}
    line |= {k: manifest[k] for k in ("rows", "rejects")} | {"shards": len(manifest["shards"])}
    try:
        found = make_plan(stage, dataset, project)
    except ReidError as error:
        return {**line, "state": f"built; cannot be planned: {error}"}
    todo = len(missing(found, project))
    same = all(manifest.get(key) == found.manifest.get(key) for key in (*WATCHED, "code"))
    if todo == 0 and same:
        return {**line, "state": "built"}
    return {**line, "state": f"stale: {_reason(found, project)} ({todo} shards to compute)"}


def experiments(project: Project) -> list[dict[str, Any]]:
    """A line for each experiment of params.yaml: its paper, data set, state, rank-1 and mAP.

    A network library is loaded only where something is trained.
    """
    loaded = params.load(project.root)
    return [
        _experiment(paper, name, params.section(loaded, paper, "on", name), project)
        for paper in PAPERS
        for name in params.section(loaded, paper, "on")
    ]


def _experiment(paper: str, name: str, values: dict[str, Any], project: Project) -> dict[str, Any]:
    line: dict[str, Any] = {"experiment": name, "paper": paper, "rank1": "", "map": ""}
    line["dataset"] = values.get("dataset", "")
    folder = project.run(name) / "train"
    if not (folder / "experiment.json").is_file():
        return {**line, "state": "not trained"}
    from reid import experiments as named
    from reid.evaluation.trained import training_key
    from reid.results.evaluated import metrics_of

    try:
        experiment = named.load(project, name)
        if training_key(experiment.name, project) != experiment.key(project):
            told = differences(published_code(folder), experiment.code(project))
            return {**line, "state": f"stale: {told or 'its parameters or its data changed'}"}
        metrics = metrics_of(project, experiment)
    except ReidError as error:
        return {**line, "state": f"trained; cannot be checked: {error}"}
    if metrics is None:
        return {**line, "state": "trained, not evaluated as it is now"}
    shares = {n: f"{100 * v:.2f}" for n in ("rank1", "map") if (v := metrics.get(n)) is not None}
    return {**line, **shares, "state": "evaluated"}


def experiment(project: Project, name: str) -> dict[str, Any]:
    """One experiment: what it reads, its parameters, state, figures, the next command."""
    from reid import experiments as named

    loaded = named.load(project, name)
    own = params.section(params.load(project.root), loaded.paper.name, "on", name)
    line = _experiment(loaded.paper.name, name, own, project)
    reads = {
        f"{stage} {build}": read_manifest(project.built(stage, build)) is not None
        for stage, build in loaded.reads().items()
    }
    state = line["state"]
    if not all(reads.values()):
        then = f"dvc repro {loaded.paper.name}_evaluate@{name}"
    elif state == "evaluated":
        then = f"reid search {name} IMAGE"
    else:
        then = f"reid {'evaluate' if state.startswith('trained,') else 'train'} {name}"
    return {
        **line, "reads": {k: "built" if there else "not built" for k, there in reads.items()},
        "parameters": loaded.described(), "next": then,
    }  # fmt: skip


def report(project: Project) -> str:
    """Whether the report is written, and no evaluation is younger than it."""
    path = project.reports / "report.html"
    if not path.is_file():
        return "not written; `reid report` writes it"
    metrics = project.run("x").parent.glob("*/evaluate/metrics.json")
    written = path.stat().st_mtime_ns
    newer = sorted(file.parts[-3] for file in metrics if file.stat().st_mtime_ns > written)
    return f"older than the evaluation of {', '.join(newer)}" if newer else f"written: {path}"


def verify(project: Project, dataset: str = "") -> dict[str, list[str]]:
    """Problems by built folder; of one data set, or of all. Raises where nothing is built."""
    from reid.shards.verify import verify as verify_folder

    found: dict[str, list[str]] = {}
    folders = built(project, dataset)
    with Meter("verify", len(folders), unit="folders"):
        for folder, base in folders:
            found[str(folder)] = [str(problem) for problem in verify_folder(folder, base)]
            advance()
    if not found:
        raise ReidError(f"nothing is built{f' of {dataset}' if dataset else ''}; run `dvc repro`")
    return found


def built(project: Project, dataset: str = "") -> list[tuple[Path, Path | None]]:
    """The built folders, each derived one with its base."""
    bases = sorted(p.parent for p in project.shards("x").parent.glob("*/manifest.json"))
    chosen = [p for p in bases if dataset in ("", p.name)]
    out: list[tuple[Path, Path | None]] = [(p, None) for p in chosen]
    names = {p.name: p for p in chosen}
    for stage in STAGES:
        for path in sorted(project.derived(stage, "x").parent.glob("*/manifest.json")):
            manifest = manifest_of(path.parent, f"reid {stage} {path.parent.name}")
            of = manifest["dataset"]
            if of in names or ("/" in of and (not dataset or of.endswith(f"/{dataset}"))):
                out.append((path.parent, None if manifest.get("new_rows") else project.shards(of)))
    return out
