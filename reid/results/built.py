"""What the sections read: the built data sets and the finished runs of a project.

Reads   1-shards, 2-derived, 3-runs; each folder is taken as it lies there
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from reid.data.dataset import Data
from reid.data.dataset import open as open_data
from reid.papers import PAPERS
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, builder_of, read_object
from reid.shards.folder import Shard
from reid.shards.manifest import Manifest, manifest_of
from reid.training.published import read_history

BESIDE = (  # opened where they are built
    "joints", "parts", "parts_source", "joints_filled", "mask", "mask_score", "mask_area",
)  # fmt: skip


@dataclass(frozen=True)
class Build:
    """One published build of a stage."""

    stage: str
    name: str
    dataset: str  # whose rows it is of
    folder: Path
    manifest: Manifest

    @property
    def label(self) -> str:
        """The stage, and the build where it is not named after its data set."""
        return self.stage if self.name == self.dataset else f"{self.stage} {self.name}"

    @property
    def new_rows(self) -> bool:
        """Whether it is a data set of its own, and not columns beside the rows of one."""
        return bool(self.manifest.get("new_rows"))

    @property
    def parameters(self) -> dict[str, Any]:
        return self.manifest.get("parameters", {})

    @property
    def rejects(self) -> pa.Table:
        """image_id and reason of each rejected row."""
        path = self.folder / "rejects.parquet"
        if not path.is_file():
            return pa.table(
                {"image_id": pa.array([], pa.string()), "reason": pa.array([], pa.string())}
            )
        return Shard(path).table(["image_id", "reason"])


@dataclass(frozen=True)
class BuiltData:
    """A data set, ingested or made by a stage, with all that is derived from it."""

    name: str
    project: Project

    @cached_property
    def origin(self) -> Build:
        """What made the rows themselves."""
        stage, _, build = self.name.rpartition("/")
        folder = self.project.shards(self.name)
        manifest = manifest_of(folder, builder_of(self.name))
        return Build(stage or "ingest", build, manifest["dataset"], folder, manifest)

    @cached_property
    def derived(self) -> list[Build]:
        """Every build of a stage over this data set, also those that are new data sets."""
        found = sorted((self.project.root / "data" / "2-derived").glob("*/*/manifest.json"))
        builds = [_derived(path.parent) for path in found]
        return [build for build in builds if build.dataset == self.name]

    @cached_property
    def shown(self) -> dict[str, Build]:
        """By stage the build that is shown: the one named after the data set, else the first."""
        out: dict[str, Build] = {}
        for build in self.derived:
            if not build.new_rows and (build.stage not in out or build.name == self.name):
                out[build.stage] = build
        return out

    def has(self, column: str) -> bool:
        """Whether the rows, or one of the stages shown, hold a column of this name."""
        builds = [self.origin, *self.shown.values()]
        return sum(column in b.manifest.get("columns", ()) for b in builds) == 1

    @cached_property
    def data(self) -> Data:
        """The rows, with images and those columns of `BESIDE` that are built."""
        return self.open(["image", *(c for c in BESIDE if self.has(c))])

    def open(self, columns: list[str], **builds: str) -> Data:
        """The rows with other columns, of the builds shown or of those named here by stage."""
        shown = {stage: build.name for stage, build in self.shown.items()}
        return open_data(self.project.root / "data", self.name, columns, {**shown, **builds})

    @property
    def rule(self) -> dict[str, Any]:
        """The default protocol's rule."""
        return (self.data.protocol.get("protocols") or [{}])[0].get("rule", {})

    @cached_property
    def persons(self) -> np.ndarray:
        """(N,) persons; 0 in rows of junk and distractors, which are no identities."""
        person = self.data.labels("person").astype(np.int64)
        others = [*self.rule.get("junk", [-1]), *self.rule.get("distractors", [0])]
        return np.where(np.isin(person, others) | (person < 0), 0, person)

    @cached_property
    def parts(self) -> dict[str, np.ndarray]:
        """(N,) masks of the rows for training and for testing, where there are any."""
        train, query, gallery = (
            self.data.labels(r).astype(bool) for r in ("train", "query", "gallery")
        )
        found = {"training": train, "test": (query | gallery) & ~train}
        return {name: mask for name, mask in found.items() if mask.any()}

    @cached_property
    def positions(self) -> dict[str, int]:
        """A row's position by its image_id."""
        return {image_id: i for i, image_id in enumerate(self.data.rows["image_id"].to_pylist())}


@dataclass(frozen=True)
class Run:
    """One experiment's published folder: trained, evaluated, or both."""

    name: str
    folder: Path
    trained: dict[str, Any] | None  # experiment.json
    metrics: dict[str, Any] | None  # metrics.json

    @property
    def described(self) -> dict[str, Any]:
        return self.metrics or self.trained or {}

    @property
    def paper(self) -> str:
        return str(self.described.get("paper", ""))

    @property
    def params(self) -> dict[str, Any]:
        return self.described.get("params", {})

    @property
    def dataset(self) -> str:
        return str(self.params.get("dataset", ""))

    @cached_property
    def history(self) -> dict[str, tuple[list[float], list[float]]]:
        """For each column of history.csv its epochs and values, where it has any."""
        lines = read_history(self.folder)
        out: dict[str, tuple[list[float], list[float]]] = {}
        for column in lines[0] if lines else ():
            kept = [(float(x["epoch"]), float(x[column])) for x in lines if x[column]]
            if kept:
                out[column] = ([e for e, _ in kept], [v for _, v in kept])
        return out

    @cached_property
    def ranked(self) -> dict[str, dict[str, Any]]:
        """Each query's first gallery images, by the query's image_id; none before an evaluation."""
        if self.metrics is None:
            return {}
        path = self.folder / "evaluate" / "ranked.parquet"
        if not path.is_file():
            raise ReidError(
                f"{path}: no such file; run `reid evaluate {self.name}`, or the `reid table` or "
                "`reid claims` that trained it, if params.yaml does not name it"
            )
        return {row["query"]: row for row in Shard(path).table().to_pylist()}


@dataclass(frozen=True)
class Runs:
    """The runs over one data set. `named` are params.yaml's, `others` rows of papers' tables."""

    built: BuiltData
    named: list[Run]
    others: list[Run]

    @property
    def shown(self) -> list[Run]:
        """Those that plots and pictures show: params.yaml's, or all where it names none."""
        return self.named or self.others

    @property
    def evaluated(self) -> list[Run]:
        return [run for run in [*self.named, *self.others] if run.metrics is not None]


def built_data(project: Project) -> list[BuiltData]:
    """Every data set: those ingested by name, then those that stages made of them."""
    found = sorted(project.shards("x").parent.glob("*/manifest.json"))
    made = sorted((project.root / "data" / "2-derived").glob("*/*/manifest.json"))
    new = [
        build
        for path in made
        if (build := _derived(path.parent)).new_rows and "~" not in build.name  # no variants
    ]
    names = [path.parent.name for path in found] + [f"{b.stage}/{b.name}" for b in new]
    return [BuiltData(name, project) for name in names]


def _derived(folder: Path) -> Build:
    stage, name = folder.parent.name, folder.name
    manifest = manifest_of(folder, f"reid {stage} {name}")
    return Build(stage, name, str(manifest.get("dataset", name)), folder, manifest)


def runs(project: Project, built: list[BuiltData]) -> list[Runs]:
    """The finished runs by data set; runs whose data set is not built any more are left out."""
    loaded = params.load(project.root)
    order = [name for paper in PAPERS for name in params.section(loaded, paper, "on")]
    found = {path.name: _run(path) for path in sorted(project.run("x").parent.glob("*"))}
    named = [found[n] for n in order if n in found]
    others = [run for name, run in found.items() if name not in order]
    out = []
    for data in built:
        sides = [[r for r in side if r.dataset == data.name] for side in (named, others)]
        if any(sides):
            out.append(Runs(data, *sides))
    return out


def _run(folder: Path) -> Run:
    name = folder.name
    trained = read_object(folder / "train" / "experiment.json", {}, f"reid train {name}")
    metrics = read_object(folder / "evaluate" / "metrics.json", {}, f"reid evaluate {name}")
    return Run(name, folder, trained, metrics)


def by_precision(done: Sequence[Run]) -> list[str]:
    """Queries with a match that all runs ranked, best first; equal ones in order of their names."""
    common = set.intersection(*(set(run.ranked) for run in done)) if done else set()
    mean = {
        query: float(np.mean([run.ranked[query]["average_precision"] for run in done]))
        for query in sorted(common)
    }
    return sorted((q for q in mean if not np.isnan(mean[q])), key=lambda q: -mean[q])
