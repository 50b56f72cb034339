# fsspec has no types:
# pyright: reportMissingTypeStubs=false
"""Which folders hold a data set: its own rows, and the build of each stage that a column is of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from reid.project.errors import ReidError
from reid.project.layout import builder_of
from reid.project.names import did_you_mean, unknown
from reid.shards.manifest import listed_of, read_manifest
from reid.shards.remote import Remote, place_of

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

Folder = Path | Remote


def datasets(root: str | Path, *, filesystem: AbstractFileSystem | None = None) -> list[str]:
    """The names of the data sets that are built below the data folder `root`, as `open` takes them.

    Ingested ones come first, then those that a stage made of others, such as `swaps/mall`. `root`
    and `filesystem` are those of `open`. Raises `ReidError` where folders cannot be listed, as by
    plain http.
    """
    home = place_of(root, filesystem)
    if _names(home / "1-shards") is None:
        raise ReidError(f"{home / '1-shards'}: cannot be listed; open a data set by its name")
    return [*_datasets(home)]


def _datasets(home: Folder) -> Iterator[str]:
    for name in _names(home / "1-shards") or ():
        if listed_of(home / "1-shards" / name) is not None:
            yield name
    for stage in _names(home / "2-derived") or ():
        for build in _names(home / "2-derived" / stage) or ():
            described = read_manifest(home / "2-derived" / stage / build)
            new_rows = described is not None and described.get("new_rows")
            if new_rows and "~" not in build:  # a variant is no one's data set
                yield f"{stage}/{build}"


def _names(folder: Folder) -> list[str] | None:
    """What is in a folder, sorted; None where that cannot be told."""
    if isinstance(folder, Remote):
        return folder.names()
    if not folder.is_dir():
        return None
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def base_of(home: Folder, dataset: str) -> Folder:
    """The folder of a data set's own rows: ingested, or made by a stage, such as swaps/mall."""
    folders = home / "1-shards" / dataset, home / "2-derived" / dataset
    for folder in folders:
        if listed_of(folder) is not None:
            return folder
    nearest = did_you_mean(dataset, [*_datasets(home)])
    if isinstance(home, Remote):
        raise ReidError(
            f"{folders[0]}: no manifest.json; no data set `{dataset}` is built there{nearest}"
        )
    raise ReidError(f"{folders[0]}: not built{nearest}; run `{builder_of(dataset)}`")


def derived_of(home: Folder, dataset: str, builds: Mapping[str, str], stage: str) -> Folder:
    """The folder of a stage's build over a data set."""
    return home / "2-derived" / stage / builds.get(stage, dataset)


def check_builds(home: Folder, dataset: str, builds: Mapping[str, str]) -> None:
    """`ReidError` where a build that is named is not there, or not of this data set."""
    for stage, build in builds.items():
        folder = derived_of(home, dataset, builds, stage)
        described = read_manifest(folder)
        if described is None:
            stages = _names(home / "2-derived")
            if stages is not None and stage not in stages:
                raise ReidError(f"builds: {unknown('built stage', stage, stages)}")
            known = _names(home / "2-derived" / stage) or ()
            raise ReidError(f"builds: {folder}: {unknown(f'build of {stage}', build, known)}")
        if described.get("new_rows"):
            raise ReidError(
                f"builds: {stage}/{build} is a data set of its own; open `{stage}/{build}`"
            )
        if described["dataset"] != dataset:
            raise ReidError(
                f"builds: {stage}/{build} is of {described['dataset']}, not of {dataset}"
            )


def stage_of(
    home: Folder, dataset: str, builds: Mapping[str, str], column: str, own: list[str]
) -> tuple[str, str]:
    """Which derived stage holds a column, and the column's own name; `own` are the base's."""
    wanted, _, name = column.rpartition(".")
    stages = [wanted] if wanted else _stages(home, name)
    holding = [s for s in stages if name in _columns(home, dataset, builds, s)]
    if len(holding) == 1:
        return holding[0], name
    if holding:
        choices = ", ".join(f"{stage}.{name}" for stage in holding)
        raise ReidError(
            f"column `{column}` of {dataset} is in several stages; say which: {choices}"
        )
    known = [*own]
    for stage in _stages(home, name):
        of_stage = _columns(home, dataset, builds, stage)
        known += [f"{stage}.{other}" if wanted else other for other in of_stage]
    known = list(dict.fromkeys(n for n in known if n != "image_id" and not n.endswith("_size")))
    hint = "`reid status` lists the stages that are built"
    if isinstance(home, Remote):
        hint = f"where folders cannot be listed, name the stage too: `<stage>.{name}`"
    raise ReidError(
        f"{dataset} has no column `{column}` in {home}/1-shards or {home}/2-derived"
        f"{did_you_mean(column, known)} (it has {', '.join(known)}); {hint}"
    )


def _columns(home: Folder, dataset: str, builds: Mapping[str, str], stage: str) -> list[str]:
    """The columns of a stage's build that stand beside the rows of this data set."""
    described = read_manifest(derived_of(home, dataset, builds, stage))
    if described is None or described["dataset"] != dataset or described.get("new_rows"):
        return []
    return described["columns"]


def _stages(home: Folder, name: str) -> list[str]:
    """The stages that may hold a column: those built; the one of its name where none are listed."""
    listed = _names(home / "2-derived")
    return listed or ([name] if isinstance(home, Remote) else [])
