# pyarrow has no types:
# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false, reportUnknownParameterType=false
"""What a stage reads: the folders of its data set, their manifests, and columns side by side.

An input is `rows`, the shards of the data set itself, ingested or made by a stage, or is named
after the stage that made it; a stage's `stage_of` names the stage of an input that is called
otherwise, such as a second build of one stage.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.engine.stage import AnyStage, Reads
from reid.project.errors import ReidError
from reid.project.layout import Project, builder_of
from reid.project.params import DerivedParams
from reid.shards.folder import Shard
from reid.shards.footer import check_digest
from reid.shards.manifest import Entry, ImageSource, manifest_of
from reid.shards.schema import RANDOM_SPLITS


@dataclass(frozen=True)
class Inputs:
    """All that one build of a stage reads."""

    dataset: str
    folders: dict[str, Path]  # by input, `rows` first
    shards: dict[str, dict[str, Entry]]  # manifest entries by input and shard name
    reads: Reads  # of each row, for the stage's step
    fit_reads: Reads  # of training rows, for its fit
    anywhere: Reads  # of any row, for its step
    fit_unlabelled: bool = False  # whether the fit uses no labels
    source: ImageSource | None = None  # of the data set's images, where its manifest says it

    def of_shard(self, name: str) -> dict[str, str]:
        """The content hash of a shard in each input, all with as many rows."""
        return {n: self._same_shard(n, name) for n in self.folders}

    def of_all(self, inputs: Mapping[str, Any]) -> list[list[str]]:
        """The content hashes of all shards of some inputs."""
        return [[n, s, e["sha256"]] for n in inputs for s, e in self.shards[n].items()]

    def _same_shard(self, name: str, shard: str) -> str:
        base, other = self.shards["rows"][shard], self.shards[name].get(shard)
        if other is None or other["rows"] != base["rows"]:
            folder = self.folders[name]
            raise ReidError(
                f"{folder}: shard {shard} is missing or has other rows than the base; "
                f"run `reid {folder.parent.name} {folder.name}`"
            )
        return other["sha256"]

    def check(self, files: Mapping[str, Path]) -> None:
        """Raises `ReidError` where a shard, by its input, is not as its stage wrote it."""
        for name, path in files.items():
            check_digest(path, self.shards[name][path.name]["sha256"])

    def training_rows(self) -> Iterator[pa.Table]:
        """The training rows, a shard at a time: the columns of `fit_reads`, and `position`.

        The position is a row's number among all rows of the data set. For a fit without labels all
        rows of shards called `all` are training rows: their data set draws its splits at random.
        """
        first = 0
        for name in sorted(self.shards["rows"]):
            files = {n: folder / "rows" / name for n, folder in self.folders.items()}
            self.check(files)
            shard = Shard(files["rows"])
            table = side_by_side(files, self.fit_reads, 0, shard.num_rows)
            position = np.arange(first, first + shard.num_rows, dtype=np.int32)
            first += shard.num_rows
            table = table.append_column("position", pa.array(position))
            if self.fit_unlabelled and name.startswith(RANDOM_SPLITS):
                yield table
            else:
                yield table.filter(shard.table(["train"])["train"])


def find(stage: AnyStage, dataset: str, params: DerivedParams, project: Project) -> Inputs:
    """The inputs of a stage over `dataset`; `ReidError` with the command that builds one."""
    folders = {"rows": project.shards(dataset)}
    manifests = {"rows": manifest_of(folders["rows"], builder_of(dataset))}
    columns = manifests["rows"].get("columns", [])
    reads, fit_reads = stage.reads_of(params, columns), stage.fit_reads_of(params, columns)
    anywhere = stage.reads_anywhere_of(params)
    names = {*reads, *fit_reads, *anywhere} - {"rows"}
    unknown = set(params.builds) - names
    if unknown:
        raise ReidError(f"builds: this stage does not read {', '.join(sorted(unknown))}")
    for name in sorted(names):
        made_by = stage.stage_of.get(name, name)
        build = params.builds.get(name, dataset)
        if "/" in build:
            raise ReidError(
                f"{dataset}: say in `builds` which build of {made_by} is of it, such as "
                f"{name}: {build.rpartition('/')[2]}-{build.partition('/')[0]}"
            )
        folders[name] = project.derived(made_by, build)
        manifests[name] = manifest_of(folders[name], f"reid {made_by} {build}")
        if manifests[name]["dataset"] != dataset:
            raise ReidError(f"{folders[name]}: is of {manifests[name]['dataset']}, not {dataset}")
    shards = {n: {s["name"]: s for s in m["shards"]} for n, m in manifests.items()}
    source = manifests["rows"].get("source")
    unlabelled = stage.fit_unlabelled
    return Inputs(dataset, folders, shards, reads, fit_reads, anywhere, unlabelled, source)


def side_by_side(files: Mapping[str, Path], reads: Reads, start: int, stop: int) -> pa.Table:
    """image_id and the columns of `reads`, each from its input, of one shard's rows start to stop.

    A column whose name is taken is called `<input>.<column>`.
    """
    table = Shard(files["rows"]).table(["image_id", *reads.get("rows", [])], start, stop)
    for name in sorted(set(reads) - {"rows"}):
        other = Shard(files[name]).table(["image_id", *reads[name]], start, stop)
        if other["image_id"] != table["image_id"]:
            raise ReidError(f"{files[name]}: its rows are not the base's; run `reid {name}` again")
        for column in reads[name]:
            free = column if column not in table.column_names else f"{name}.{column}"
            table = table.append_column(free, other[column])
    return table
