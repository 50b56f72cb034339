"""What the sections read: the built data sets and the finished runs of a project.

Reads   1-shards, 2-derived, 3-runs; each folder is taken as it lies there
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.core import params
from pipeline.core.errors import ReidError
from pipeline.core.project import Project, manifest_of
from pipeline.core.shards import Shard
from reid.data import Data
from reid.data import open as open_data
from reid.papers import PAPERS

BESIDE = ("joints", "parts", "parts_source", "joints_filled")  # opened where they are built


@dataclass(frozen=True)
class BuiltData:
    """A built data set with the stages that are derived from it."""

    name: str
    project: Project

    @cached_property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """By stage, `ingest` first."""
        derived = sorted(
            p.parent.parent.name for p in self._derived.glob(f"*/{self.name}/manifest.json")
        )
        return {
            s: manifest_of(self.folder(s), f"reid {s} {self.name}") for s in ("ingest", *derived)
        }

    @property
    def _derived(self) -> Path:
        return self.project.root / "data" / "2-derived"

    def folder(self, stage: str) -> Path:
        return self.project.built(stage, self.name)

    def has(self, column: str) -> bool:
        """Whether one built stage holds a column of this name."""
        return sum(column in m.get("columns", ()) for m in self.manifests.values()) == 1

    @cached_property
    def data(self) -> Data:
        """The rows, with images and those columns of `BESIDE` that are built."""
        columns = ["image", *(c for c in BESIDE if self.has(c))]
        return open_data(self.project.root / "data", self.name, columns)

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

    def rejects(self, stage: str) -> pa.Table:
        """image_id and reason of each rejected row of a stage."""
        path = self.folder(stage) / "rejects.parquet"
        if not path.is_file():
            return pa.table(
                {"image_id": pa.array([], pa.string()), "reason": pa.array([], pa.string())}
            )
        return Shard(path).table(["image_id", "reason"])


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
        path = self.folder / "train" / "history.csv"
        if not path.is_file():
            return {}
        with path.open(newline="", encoding="utf-8") as file:
            lines = list(csv.DictReader(file))
        out: dict[str, tuple[list[float], list[float]]] = {}
        for column in lines[0] if lines else ():
            kept = [(float(x["epoch"]), float(x[column])) for x in lines if x[column]]
            if kept:
                out[column] = ([e for e, _ in kept], [v for _, v in kept])
        return out

    @cached_property
    def ranked(self) -> dict[str, dict[str, Any]]:
        """Each query's first gallery images, by the query's image_id."""
        path = self.folder / "evaluate" / "ranked.parquet"
        return (
            {row["query"]: row for row in Shard(path).table().to_pylist()} if path.is_file() else {}
        )


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
    """Every data set with base shards, sorted by name."""
    found = sorted(project.shards("x").parent.glob("*/manifest.json"))
    return [BuiltData(path.parent.name, project) for path in found]


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
    trained = _read(folder / "train" / "experiment.json", f"reid train {folder.name}")
    metrics = _read(folder / "evaluate" / "metrics.json", f"reid evaluate {folder.name}")
    return Run(folder.name, folder, trained, metrics)


def _read(path: Path, hint: str) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise ReidError(f"{path}: cannot be read ({error}); run `{hint}`") from None
