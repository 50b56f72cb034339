"""What an experiment reads, derived once more from another source, and all that comes of it.

A stage with a `backend` looks at the images itself; the other stages derive from what it found. A
source says where such stages have their output from:

    truth         the truth of the rendered world (`backend: given`)
    networks      the stage's network with the weights fitted to rendered worlds (`weights: world`),
                  where this package has such weights of each stage that is asked
    weight-free   each backend that needs no network, such as crops by depth

Writes  2-derived/<stage>/<build>~<source>, such as parts/street~truth; where params.yaml has such
        a build already, that one
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.backends.choices import Choice, world_file
from pipeline.builds import variants
from pipeline.engine import inputs
from pipeline.stages import stage as find_stage
from reid.project import params
from reid.project.errors import ReidError
from reid.project.layout import Project
from reid.project.params import DerivedParams

TRUTH, NETWORKS, WEIGHT_FREE = KINDS = ("truth", "networks", "weight-free")
GIVEN = "given"
OF_BACKEND = ("model", "weights", "trusted", "path")  # that another backend would not understand

Build = tuple[str, str]  # a stage, and one of its builds by name


@dataclass(frozen=True)
class Source:
    """Where stages have their output from: parameters by stage, under a name for their builds."""

    kind: str
    name: str
    wanted: dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Chain:
    """What an experiment reads, from one source."""

    kind: str
    name: str
    dataset: str  # its own, or the one that a stage has made in its place
    builds: dict[str, str]  # by stage, those that were asked for
    found: dict[str, str]  # by stage with a backend the build that all comes from


def from_sources(
    project: Project, dataset: str, builds: Mapping[str, str], kinds: Collection[str] = ()
) -> list[Chain]:
    """Build what an experiment over `dataset` reads, `builds` by stage, from each source.

    `kinds` are of `KINDS`, by default all; none comes back where no source is of these. Raises
    `ReidError` where the world's truth is not known, or nothing is read that a source could give.
    """
    for kind in kinds:
        if kind not in KINDS:
            raise ReidError(f"no source `{kind}` (there are {', '.join(KINDS)})")
    chains = []
    for source in sources(project, dataset, builds):
        if not kinds or source.kind in kinds:
            walk = Walk(project, source)
            made = {stage: walk.build(stage, build) for stage, build in builds.items()}
            chains.append(Chain(source.kind, source.name, walk.dataset(dataset), made, walk.found))
    return chains


def sources(project: Project, dataset: str, builds: Mapping[str, str]) -> list[Source]:
    """The sources that there are of what an experiment reads."""
    roots = _roots(project, dataset, builds)
    if not roots:
        raise ReidError(f"{dataset}: nothing that is read of it comes from a stage with a backend")
    truth = _truth(project, dataset)
    free = {stage: _backends(stage, network=False) for stage in roots}
    networks = {stage: _backends(stage, network=True)[0] for stage in roots}
    fitted = all(world_file(Choice(*of, "", "world")).is_file() for of in networks.items())
    of_networks = {s: {"backend": name, "weights": "world"} for s, name in networks.items()}
    return [
        Source(TRUTH, TRUTH, {stage: {"backend": GIVEN, "path": truth} for stage in roots}),
        *([Source(NETWORKS, NETWORKS, of_networks)] if fitted else []),
        *(
            Source(WEIGHT_FREE, name, {s: {"backend": name} for s in roots if name in free[s]})
            for name in dict.fromkeys(name for names in free.values() for name in names)
        ),
    ]


def _truth(project: Project, dataset: str) -> str:
    """The path of the truth of a data set's world, as params.yaml writes it."""
    of_world = params.ingested(params.load(project.root), dataset)
    folder = project.raw(f"{of_world}.truth")
    if not folder.is_dir():
        raise ReidError(
            f"{folder}: no such folder; the truth is known of rendered worlds alone (`reid world`)"
        )
    return folder.relative_to(project.root).as_posix()


def _backends(stage: str, *, network: bool) -> list[str]:
    """The backends of a stage that run a network, or that need none; without `given`."""
    of = find_stage(stage)
    runs = {n: of.needs_device(of.params.model_construct(backend=n)) for n in of.backends()}
    return [name for name, runs_one in runs.items() if name != GIVEN and runs_one == network]


def _roots(project: Project, dataset: str, builds: Mapping[str, str]) -> list[str]:
    """The stages with a backend that a data set and `builds` over it come from."""
    walk = Walk(project)
    walk.dataset(dataset)
    for stage, build in builds.items():
        walk.build(stage, build)
    return list(walk.found)


@dataclass
class Walk:
    """Goes back from builds to what they come from, and builds forth what `source` changes.

    Without a source nothing is built.
    """

    project: Project
    source: Source | None = None
    found: dict[str, str] = field(default_factory=dict)  # builds of the stages with a backend
    names: dict[Build, str] = field(default_factory=dict)  # what stands for each build

    def dataset(self, name: str) -> str:
        """The data set that stands for one: `crops/topview~truth` for `crops/topview`."""
        stage, _, build = name.rpartition("/")
        return f"{stage}/{self.build(stage, build)}" if stage else name

    def build(self, stage: str, build: str) -> str:
        """The build that stands for one of params.yaml, itself where nothing of it changes."""
        if (stage, build) not in self.names:
            self.names[stage, build] = self._build(stage, build)
        return self.names[stage, build]

    def _build(self, stage: str, build: str) -> str:
        of, loaded = find_stage(stage), params.load(self.project.root)
        own = params.stage_params(loaded, stage, build, of.params)
        before = own.dataset or build
        dataset = self.dataset(before)
        changed: dict[str, Any] = {}
        read = self._inputs(inputs.find(of, before, own, self.project))
        if any(name != old for name, old in read.values()):
            changed["builds"] = {**own.builds, **{n: name for n, (name, _) in read.items()}}
        like, wanted = build, self.source.wanted.get(stage) if self.source else None
        if wanted:
            like = _having(loaded, stage, build, own, wanted)
            changed |= {} if like != build else _overrides(own, wanted)
        label = self.source.name if self.source else ""
        made = (
            variants.build(self.project, stage, dataset, changed, like=like, label=label)
            if wanted or changed or dataset != before
            else build
        )
        if of.backends():
            self.found[stage] = made
        return made

    def _inputs(self, read: inputs.Inputs) -> dict[str, tuple[str, str]]:
        """By name of an input the build that stands for it, and the one that it stands for.

        An input with another name than its stage's is something else, such as masks of hair: no
        source gives that.
        """
        own = {n: folder.name for n, folder in read.folders.items() if folder.parent.name == n}
        return {name: (self.build(name, build), build) for name, build in own.items()}


def _having(
    loaded: Mapping[str, Any], stage: str, build: str, own: DerivedParams, wanted: Mapping[str, Any]
) -> str:
    """The first build in params.yaml over the same rows that has what is wanted, else `build`."""
    for name in [build, *params.section(loaded, stage, "on")]:
        other = params.stage_params(loaded, stage, name, type(own))
        same = (other.dataset or name) == (own.dataset or build)
        has = other.model_dump()
        if same and all(has[key] == value for key, value in wanted.items()):
            return name
    return build


def _overrides(own: DerivedParams, wanted: Mapping[str, Any]) -> dict[str, Any]:
    """What is wanted, and of another backend no parameter of the one before."""
    if own.model_dump().get("backend") == wanted.get("backend"):
        return dict(wanted)
    known = type(own).model_fields
    return {**{n: known[n].default for n in OF_BACKEND if n in known}, **wanted}
