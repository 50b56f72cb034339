"""Takes data sets, builds and experiments out of params.yaml; what is on disk stays.

With a data set go its stages' builds and its experiments that are named after it, and the measured
accuracy of its world. Whatever else reads what would go is a reason to refuse, with its name.

Reads   params.yaml
Writes  params.yaml, all other entries and all comments kept
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.builds.params_edit import without_entries
from pipeline.stages import STAGES
from reid.papers import PAPERS
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project, write_atomically
from reid.project.names import unknown

RUN = "run"  # beside a stage's name: what an experiment makes
PATHS = re.compile(r"data/(?:0-raw/([\w-]+)|(3-runs)/([^/]+))")


class Entry(NamedTuple):
    """`<section>.<group>.<key>` of params.yaml, and its values with the section's `with`."""

    section: str
    group: str
    key: str
    values: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.section}.{self.group}.{self.key}"

    @property
    def name(self) -> str:
        """As commands name it: a data set, an experiment, or `parts/street`."""
        return f"{self.section}/{self.key}" if self.section in STAGES else self.key

    @property
    def made(self) -> tuple[str, str]:
        """What it makes: ('ingest', data set), (stage, build) or ('run', experiment)."""
        if self.section == "world":
            return "ingest", self.key
        return (RUN if self.section in PAPERS else self.section), self.key

    @property
    def dataset(self) -> str:
        """Whose rows it is of, such as crops/topview; its own name by default."""
        return str(self.values.get("dataset") or self.values.get("world") or self.key)

    def reads(self) -> Iterator[tuple[str, str]]:
        """What must be there for it."""
        if self.section in ("world", "ingest"):
            return
        yield _made_of(self.dataset)
        yield from ((str(s), str(b)) for s, b in (self.values.get("builds") or {}).items())
        if self.section == "accuracy":
            yield str(self.values.get("stage")), str(self.values.get("build"))
        for value in self.values.values():
            for raw, run, name in PATHS.findall(value) if isinstance(value, str) else ():
                yield (RUN, name) if run else ("ingest", raw)


class Removal(NamedTuple):
    """What goes, and params.yaml without it."""

    entries: list[Entry]
    text: str


def remove(root: Path, names: Iterable[str]) -> list[str]:
    """Take what is named out of the project's params.yaml; returns what to tell the user.

    `ReidError` for a name that is not there, and where something that stays reads what would go.
    """
    path = root / params.PARAMS_FILE
    found = removal(path, path.read_text("utf-8"), params.load(root), list(names))
    write_atomically(path, found.text.encode())
    lines = [f"{params.PARAMS_FILE}: took out {', '.join(map(str, found.entries))}"]
    return [*lines, *on_disk(Project(root), found.entries)]


def removal(path: Path, text: str, loaded: dict[str, Any], names: list[str]) -> Removal:
    """What goes with `names`, and `text`, the content of `path`, without it."""
    every = list(entries_of(loaded))
    known = dict.fromkeys(entry.name for entry in every if entry.section != "accuracy")
    for name in names:
        if name not in known:
            what = unknown("data set, build or experiment", name, known)
            raise ReidError(f"{params.PARAMS_FILE}: {what}")
    going = [entry for entry in every if entry.name in names]
    sets = {entry.key for entry in going if entry.section in ("world", "ingest")}
    roots = _root_of(every)
    while reading := _readers(going, every):
        staying = [
            entry for entry in reading
            if entry.section != "accuracy" and not _is_of(entry, roots(entry.dataset), sets)
        ]  # fmt: skip
        if staying:
            raise ReidError(
                f"{', '.join(names)}: {' and '.join(map(str, staying))} would lack what goes; to "
                f"remove them too: reid remove {' '.join([*names, *(e.name for e in staying)])}"
            )
        going += reading
    gone = [_name_of(entry.made) for entry in going if entry.section not in PAPERS]
    scales = [
        Entry(paper, "scale", key, {})
        for paper in PAPERS
        for key in params.section(loaded, paper, "scale")
        if key in gone
    ]
    order = {id(entry): number for number, entry in enumerate(every)}
    going.sort(key=lambda entry: order[id(entry)])
    out = [*going, *scales]
    return Removal(out, without_entries(path, text, [(e.section, e.group, e.key) for e in out]))


def entries_of(loaded: dict[str, Any]) -> Iterator[Entry]:
    """All that params.yaml names, in the order of the flow."""
    for section in ("world", "ingest", *STAGES, "accuracy", *PAPERS):
        shared = params.section(loaded, section, "with")
        for key in params.section(loaded, section, "on"):
            yield Entry(
                section, "on", key, {**shared, **params.section(loaded, section, "on", key)}
            )


def _made_of(dataset: str) -> tuple[str, str]:
    stage, _, build = dataset.rpartition("/")
    return stage or "ingest", build


def _name_of(made: tuple[str, str]) -> str:
    return made[1] if made[0] == "ingest" else "/".join(made)


def _readers(going: list[Entry], every: list[Entry]) -> list[Entry]:
    """The entries that read what goes, and do not go yet."""
    made = {entry.made for entry in going}
    return [entry for entry in every if entry not in going and made & {*entry.reads()}]


def _root_of(every: list[Entry]) -> Callable[[str], str]:
    """From a data set such as crops/topview to the one that was ingested."""
    builds = {entry.made: entry.dataset for entry in every if entry.section in STAGES}

    def root(dataset: str) -> str:
        walked: set[str] = set()
        while "/" in dataset and dataset not in walked:  # a ring of builds has no end
            walked.add(dataset)
            dataset = builds.get(_made_of(dataset), dataset)
        return dataset

    return root


def _is_of(entry: Entry, root: str, sets: set[str]) -> bool:
    """Whether an entry goes with its data set: it is of that one, and named after it."""
    return root in sets and (entry.key == root or entry.key.startswith(f"{root}-"))


# -- what stays ------------------------------------------------------------------------------


def on_disk(project: Project, entries: Iterable[Entry]) -> list[str]:
    """Lines on what is built of removed entries, and the commands that remove it."""
    paths = list(dict.fromkeys(path for entry in entries for path in _paths(project, entry)))
    there = [path for path in paths if path.is_symlink() or path.exists()]
    if not there:
        return []
    links = [path for path in there if path.is_symlink()]
    lines = [f"stays on disk: {', '.join(map(str, there))}"]
    lines += [f"{path}: a link to {path.readlink()}, which is not touched" for path in links]
    shown = [shlex.quote(str(path)) for path in there]
    return [*lines, f"to remove it: rm -r {' '.join(shown)} && reid gc"]


def _paths(project: Project, entry: Entry) -> list[Path]:
    if entry.section in ("world", "ingest"):
        raw = project.raw(entry.key)
        truth = raw.with_name(f"{entry.key}.truth")
        keys = project.work / "ingest" / f"{entry.key}.keys"
        told = [project.digest(entry.key), *map(project.folders, (raw.name, truth.name))]
        return [raw, truth, *told, project.shards(entry.key), keys]
    if entry.section in STAGES:
        keys = project.work / entry.section / f"{entry.key}.keys"
        return [project.derived(entry.section, entry.key), keys]
    if entry.section == "accuracy":
        return [project.reports / "accuracy" / f"{entry.key}.json"]
    if entry.group != "on":
        return []
    begun = sorted(project.work.glob("train/*/experiment"))
    work = [path.parent for path in begun if path.read_text("utf-8") == entry.key]
    return [project.run(entry.key), *work]
