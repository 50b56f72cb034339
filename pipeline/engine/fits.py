# pyarrow, whose tables pass through here, has no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""A stage's fit over the training rows: computed once, kept under its key, read by the workers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.engine.inputs import Inputs
from pipeline.engine.stage import AnyStage, Fit
from reid.project.layout import Project, as_json, key_of, sha256_of, this_process, write_atomically
from reid.project.params import DerivedParams
from reid.shards.folder import Shard, write_shard


@dataclass(frozen=True)
class Kept:
    """A finished fit below `.work/<stage>`."""

    key: str
    facts: dict[str, Any]
    sha256: str = ""  # of the table's file, where there is one
    path: Path | None = None

    @property
    def identity(self) -> Any:
        """The part of it that decides the rows."""
        return {"facts": self.facts, "table": self.sha256} if self.path else self.facts

    @property
    def keys(self) -> list[str]:
        """Names, without their last ending, of the files that `reid gc` must keep."""
        return [self.key, f"{self.key}.fit"] if self.path else [self.key]

    def load(self) -> dict[str, Any] | Fit:
        """What the stage's `build` gets."""
        return Fit(self.facts, Shard(self.path).table()) if self.path else self.facts

    def published(self) -> dict[str, bytes]:
        """The files beside the stage's rows."""
        table = {"fit.parquet": self.path.read_bytes()} if self.path else {}
        return {"fit.json": as_json(self.facts), **table}


def run(
    stage: AnyStage, params: DerivedParams, project: Project, inputs: Inputs, identity: Any
) -> Kept | None:
    """The fit of a stage that has one, by its key: computed now, or by an earlier run."""
    if stage.fit is None:
        return None
    key = key_of(["fit", identity])
    folder = project.work / stage.name
    kept = _kept(folder, key)
    if kept is None:
        _keep(folder, key, stage.fit(inputs.training_rows(), params))
        kept = _kept(folder, key)
    return kept


def adopt(stage: AnyStage, project: Project, former: Any, identity: Any) -> None:
    """Let the fit that earlier code made, known by its identity, count as made by the code now."""
    old, new = key_of(["fit", former]), key_of(["fit", identity])
    folder = project.work / stage.name
    if _kept(folder, old) is None or _kept(folder, new) is not None:
        return
    for ending in (".fit.parquet", ".fit"):
        if (folder / f"{old}{ending}").is_file():
            write_atomically(folder / f"{new}{ending}", (folder / f"{old}{ending}").read_bytes())


def _kept(folder: Path, key: str) -> Kept | None:
    note, table = folder / f"{key}.fit", folder / f"{key}.fit.parquet"
    if not note.is_file():
        return None
    noted = json.loads(note.read_text("utf-8"))
    if "table_sha256" not in noted:
        return Kept(key, noted)
    return Kept(key, noted["facts"], noted["table_sha256"], table) if table.is_file() else None


def _keep(folder: Path, key: str, fitted: dict[str, Any] | Fit) -> None:
    """Write a fit, the table first: a fit whose note is there is whole."""
    note: dict[str, Any]
    if isinstance(fitted, Fit):
        folder.mkdir(parents=True, exist_ok=True)
        temporary = folder / f".{key}.fit.{this_process()}.tmp"
        write_shard(temporary, fitted.table, {})
        note = {"facts": fitted.facts, "table_sha256": sha256_of(temporary)}
        temporary.replace(folder / f"{key}.fit.parquet")
    else:
        note = fitted
    write_atomically(folder / f"{key}.fit", as_json(note))
