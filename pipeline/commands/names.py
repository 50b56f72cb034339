"""The names that commands take: checked before a network library is loaded, and completed by tab.

Each check raises `ReidError` with the known names and the nearest of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import typer

from pipeline.commands.here import project
from pipeline.stages import STAGES
from reid.papers import PAPERS
from reid.project.errors import ReidError
from reid.project.layout import Project, builder_of
from reid.project.names import did_you_mean, unknown

# -- what there is ---------------------------------------------------------------------------


def experiments(home: Project) -> list[str]:
    """Those that params.yaml names, in its order."""
    return [name for paper in PAPERS for name in _section(home, paper)]


def builds(home: Project, stage: str) -> list[str]:
    """A stage's builds: those that params.yaml names, then further ones that are built."""
    folder = home.built(stage, "x").parent
    built = sorted(p.parent.name for p in folder.glob("*/manifest.json"))
    return list(dict.fromkeys([*_section(home, stage), *built]))


def datasets(home: Project) -> list[str]:
    """Ingested data sets and those that stages make, named in params.yaml or built."""
    made = [stage for stage, listed in STAGES.items() if listed.new_rows]
    return [
        *builds(home, "ingest"),
        *(f"{stage}/{build}" for stage in made for build in builds(home, stage)),
    ]


def _section(home: Project, name: str) -> dict[str, Any]:
    from reid.project import params

    return params.section(params.load(home.root), name, "on")


# -- checks ----------------------------------------------------------------------------------


def check_experiment(home: Project, name: str) -> None:
    """An experiment of params.yaml."""
    _check("experiment", name, experiments(home), "params.yaml: ")


def check_run(home: Project, name: str) -> None:
    """An experiment of params.yaml, or a training that a table has left in data/3-runs."""
    trained = sorted(path.name for path in home.run("x").parent.glob("*") if path.is_dir())
    _check("experiment", name, list(dict.fromkeys([*experiments(home), *trained])))


def check_build(home: Project, stage: str, name: str, also: Iterable[str] = ()) -> None:
    """A stage, and a build of it; `also` are words that a command takes in a stage's place."""
    _check("stage", stage, ["ingest", *STAGES, *also])
    known = builds(home, stage)
    if name not in known:
        raise ReidError(
            f"params.yaml: {stage}.on has no `{name}`{did_you_mean(name, known)} "
            f"(it has {', '.join(known) or 'none'})"
        )


def check_dataset(home: Project, name: str | None) -> None:
    """A data set; None is the experiment's own."""
    if name is not None:
        _check("data set", name, datasets(home), "params.yaml: ")


def folder_of(home: Project, name: str) -> Path:
    """The folder of a data set, or of a build such as `parts/street`; an error if not built."""
    from reid.shards.manifest import manifest_of

    _check("shard, data set, build or experiment", name, [*_inspected(home), *experiments(home)])
    folder = home.shards(name)
    manifest_of(folder, builder_of(name))
    return folder


def is_built_name(name: str) -> bool:
    """Whether a name is of a shard, a built folder, a data set or a build."""
    return is_shard(Path(name)) or name in _inspected(project())


def is_shard(path: Path) -> bool:
    """Whether a path is of a shard, or of a folder of them."""
    return path.is_file() or (path / "rows").is_dir() or path.suffix == ".parquet"


def is_dataset(name: str) -> bool:
    """Whether this is a project, and one of its data sets is called so."""
    return name in _begin(datasets, name)


def is_experiment(name: str) -> bool:
    """Whether params.yaml names an experiment so."""
    return name in experiments(project())


def _inspected(home: Project) -> list[str]:
    derived = [f"{stage}/{build}" for stage in STAGES for build in builds(home, stage)]
    return [*builds(home, "ingest"), *derived]


def check_paper(name: str) -> None:
    _check("paper", name, PAPERS)


def _check(what: str, name: str, known: Iterable[str], where: str = "") -> None:
    names = list(known)
    if name not in names:
        raise ReidError(where + unknown(what, name, names))


# -- completion ------------------------------------------------------------------------------


def complete_experiment(incomplete: str) -> list[str]:
    return _begin(experiments, incomplete)


def complete_dataset(context: typer.Context, incomplete: str) -> list[str]:
    """A stage's builds behind its own command or its name; elsewhere data sets."""
    stage = context.params.get("stage") or context.info_name
    if stage in ("ingest", "world", *STAGES):
        return _begin(lambda home: builds(home, str(stage)), incomplete)
    return _begin(datasets, incomplete)


def complete_built(incomplete: str) -> list[str]:
    """Data sets, the builds of stages as `parts/street`, and experiments."""
    return _begin(lambda home: [*_inspected(home), *experiments(home)], incomplete)


def complete_removable(incomplete: str) -> list[str]:
    from pipeline.builds.remove import entries_of
    from reid.project import params

    def known(home: Project) -> list[str]:
        found = entries_of(params.load(home.root))
        return list(dict.fromkeys(entry.name for entry in found if entry.section != "accuracy"))

    return _begin(known, incomplete)


def complete_stage(incomplete: str) -> list[str]:
    return [name for name in ("ingest", *STAGES) if name.startswith(incomplete)]


def complete_paper(incomplete: str) -> list[str]:
    return [name for name in PAPERS if name.startswith(incomplete)]


def _begin(known: Callable[[Project], list[str]], incomplete: str) -> list[str]:
    try:
        return [name for name in known(project()) if name.startswith(incomplete)]
    except ReidError:  # outside a project nothing is known, and a tab is no place for a message
        return []
